"""
Repair: send rows that differ once more, as changes of LOCAL, which the next run brings to REMOTE like any other.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import IO

from django.db import transaction
from django.db.models import Model

from synchro.conf import LOCAL
from synchro.keys import Key, from_text, to_text
from synchro.models import CHANGE, ChangeLog
from synchro.replay import call_synchronize
from synchro.replay.session import Database
from synchro.verify.results import EXTRA, Difference

#: How many entries one statement writes.
PART = 1_000


class Collected:
    """The keys of rows that differ, in temporary files, so that memory does not grow with their number."""

    def __init__(self) -> None:
        self._files: dict[tuple[type[Model], bool], IO[str]] = {}

    def __call__(self, model: type[Model], differences: Sequence[Difference]) -> None:
        """Add rows that differ."""
        for difference in differences:
            is_extra = difference.kind == EXTRA
            key = difference.remote_key if is_extra else difference.key
            if key is not None:
                self._file(model, is_extra).write(json.dumps(to_text(model, key)) + "\n")

    def _file(self, model: type[Model], is_extra: bool) -> IO[str]:
        if (model, is_extra) not in self._files:
            self._files[model, is_extra] = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115
        return self._files[model, is_extra]

    def close(self) -> None:
        """Remove the files."""
        for file in self._files.values():
            file.close()

    def models(self, *, is_extra: bool) -> list[type[Model]]:
        """Return the models of which REMOTE alone has rows, or the others that differ."""
        return [model for model, extra in self._files if extra is is_extra]

    def parts(self, model: type[Model], *, is_extra: bool) -> Iterator[list[Key]]:
        """Yield REMOTE's keys of the rows that it alone has, or LOCAL's of the others, some at a time."""
        file = self._files[model, is_extra]
        file.seek(0)
        while lines := list(islice(file, PART)):
            yield [from_text(model, json.loads(line)) for line in lines]


def repair(alias: str, found: Collected) -> int:
    """
    Log the rows that the database `alias` lacks or has otherwise, and replay; return how many these are.

    A row of REMOTE that REMOTE changes meanwhile is a conflict like any other. Raises what a run raises.
    """
    count = 0
    for model in found.models(is_extra=False):
        for keys in found.parts(model, is_extra=False):
            log_rows(model, keys)
            count += len(keys)
    if count:
        call_synchronize(remote=alias)
    return count


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


__all__ = ["Collected", "log_rows", "repair"]
