"""Log rows of LOCAL once more, for a REMOTE that passes on what its log names."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from django.db import transaction
from django.db.models import Model

from synchro.conf import LOCAL
from synchro.keys import Key, to_text
from synchro.models import CHANGE, ChangeLog
from synchro.replay.session import Database

#: How many entries one statement writes.
PART = 1_000


def log_rows(model: type[Model], keys: Iterable[Key]) -> None:
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
