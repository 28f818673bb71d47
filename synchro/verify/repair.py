"""Send rows that differ once more: as changes of LOCAL, which the next run brings to REMOTE like any other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from django.db import transaction
from django.db.models import Model

from synchro.conf import LOCAL
from synchro.keys import Key, to_text
from synchro.models import CHANGE, ChangeLog
from synchro.replay import call_synchronize
from synchro.replay.session import Database
from synchro.verify.results import DIFFERENT, MISSING, ModelResult

#: How many entries one statement writes.
PART = 1_000


def repair(alias: str, results: Iterable[ModelResult]) -> int:
    """
    Log the rows that the database `alias` lacks or has otherwise, and replay; return how many these are.

    A row of REMOTE that REMOTE changes meanwhile is a conflict like any other. Raises what a run raises.
    """
    count = 0
    for result in results:
        keys = [d.key for d in result.differences if d.kind in (MISSING, DIFFERENT) and d.key is not None]
        log_rows(result.model, keys)
        count += len(keys)
    if count:
        call_synchronize(remote=alias)
    return count


def log_rows(model: type[Model], keys: Sequence[Key]) -> None:
    """Write an entry for each of these rows of LOCAL: any of its columns may have changed."""
    kind, left = Database(LOCAL).content_type_id(model), iter(keys)
    with transaction.atomic(using=LOCAL):
        while part := list(islice(left, PART)):
            ChangeLog.objects.using(LOCAL).bulk_create(
                [
                    ChangeLog(content_type_id=kind, object_id=to_text(model, key), action=CHANGE)
                    for key in part
                ]
            )
