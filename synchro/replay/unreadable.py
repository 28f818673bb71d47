"""
Unreadable rows: those with values that cannot be read as they are. They are found and named.

A driver may raise any error where Python has no such value, and Django's converters may as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.db import DatabaseError
from django.db.models import Model
from django.utils.translation import gettext as _

from synchro.backends import Backend, Unfit
from synchro.exceptions import Culprit, Refused
from synchro.keys import AnyField, Key, to_text

#: Reads these fields of the rows with these keys.
Read = Callable[[Sequence[AnyField], Sequence[Key]], object]
#: The columns of a row that cannot be read, each with the cause.
Faults = Sequence[tuple[AnyField, str]]


class CannotRead(Refused):
    """Some of the rows that were asked for cannot be read."""

    def __init__(self, model: type[Model], alias: str, error: Exception) -> None:
        super().__init__(
            _(
                "A row of %(model)s in the database “%(alias)s” cannot be read (%(cause)s). Correct it and run "
                "synchronize again."
            )
            % {"model": model._meta.label, "alias": alias, "cause": type(error).__name__}
        )
        #: What is wrong with the value, as far as that is known.
        self.cause = str(error) if isinstance(error, Unfit) else type(error).__name__


def is_about_the_server(backend: Backend, error: Exception) -> bool:
    """Return whether an error has nothing to do with the rows that were written or read."""
    if isinstance(error, DatabaseError):
        return not backend.refuses_row(error)
    return isinstance(error, MemoryError)


def unreadable_columns(
    read: Read, fields: Iterable[AnyField], keys: Sequence[Key]
) -> dict[Key, list[tuple[AnyField, str]]]:
    """Return the rows, by key, of which some columns cannot be read, with these and the causes."""
    found: dict[Key, list[tuple[AnyField, str]]] = {}
    for field in fields:
        for key, cause in _alone(read, field, keys):
            found.setdefault(key, []).append((field, cause))
    return found


def _alone(read: Read, field: AnyField, keys: Sequence[Key]) -> Iterator[tuple[Key, str]]:
    """Yield the keys of the rows whose `field` cannot be read even alone, with the cause."""
    waiting = [keys]
    while waiting:
        part = waiting.pop()
        try:
            read([field], part)
        except CannotRead as error:
            if len(part) == 1:
                yield part[0], error.cause
            else:
                middle = len(part) // 2
                waiting += [part[middle:], part[:middle]]


def refuse_unreadable(model: type[Model], faults: Mapping[Key, Faults], keys: Iterable[Key]) -> None:
    """Raise `Refused` where one of these rows of LOCAL has columns that cannot be read."""
    several = [key for key in keys if key in faults] if faults else []
    if several:
        raise Refused(
            _text(
                _(
                    "%(model)s %(key)s, column %(fields)s: LOCAL's value cannot be read (%(cause)s). The batch was "
                    "rolled back; correct the row on LOCAL and run synchronize again."
                ),
                model,
                several[0],
                faults[several[0]],
            ),
            [_culprit(model, key, faults[key]) for key in several],
        )


def refuse_unreadable_on_remote(model: type[Model], alias: str, faults: Mapping[Key, Faults]) -> None:
    """Raise `Refused` for a row of REMOTE, by its own key, that has columns which cannot be read."""
    for key, several in faults.items():
        raise Refused(
            _text(
                _(
                    "%(model)s %(key)s of the database “%(alias)s”, column %(fields)s: its value cannot be read "
                    "(%(cause)s). The batch was rolled back; correct the row there and run synchronize again."
                ),
                model,
                key,
                several,
                alias=alias,
            )
        )


def _culprit(model: type[Model], key: Key, faults: Faults) -> Culprit:
    text = _text(_("column %(fields)s: LOCAL's value cannot be read (%(cause)s)"), model, key, faults)
    return Culprit(model, key, text)


def _text(template: str, model: type[Model], key: Key, faults: Faults, **more: Any) -> str:
    return template % {
        "model": model._meta.label,
        "key": to_text(model, key),
        "fields": ", ".join(field.name for field, _cause in faults),
        "cause": faults[0][1],
        **more,
    }


__all__ = [
    "CannotRead",
    "Faults",
    "is_about_the_server",
    "refuse_unreadable",
    "refuse_unreadable_on_remote",
    "unreadable_columns",
]
