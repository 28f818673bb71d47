"""
Sift: which rows of a group REMOTE refuses, all of them, so that the others can go on without them.

It is done inside a transaction that will be rolled back anyway, by trying parts of the group in savepoints. What
looks like a culprit is tried by itself first; what is left is halved until the culprits stand alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from django.db import DatabaseError, transaction
from django.db.models import Model, ProtectedError, RestrictedError
from django.utils.translation import gettext as _

from synchro.conf import conf
from synchro.exceptions import Culprit, Refused, SynchroError
from synchro.keys import Key, key_fields
from synchro.registry import Table
from synchro.replay.blame import RemoteTable, blame, blame_one, blame_removal
from synchro.replay.columns import Codec
from synchro.replay.identify import Identities
from synchro.replay.link import Link
from synchro.replay.read import as_key, as_values, select
from synchro.replay.resolve import Plan

#: Writes, or deletes, the rows with these keys.
Attempt = Callable[[Sequence[Key]], object]
Rows = Mapping[Key, Sequence[Any]]


def nothing() -> None:
    """What most attempts begin with."""


logger = logging.getLogger(__name__)


class Judge(Protocol):
    """Says what to raise when REMOTE refuses a group, and whether to go on without a row."""

    def of_group(
        self,
        link: Link,
        model: type[Model],
        rows: Rows,
        error: Exception,
        attempt: Attempt,
        begin: Callable[[], None] = nothing,
    ) -> Exception:
        """The error in place of `error`; `attempt` writes a part of the group, after one call of `begin`."""

    def of_row(self, link: Link, model: type[Model], rows: Rows, error: Exception) -> Exception | None:
        """The error in place of `error`, about the single row; None to go on with the next row, and `close` at last."""

    def close(self) -> None:
        """Raise what is left of a group whose rows have all had their turn."""

    def of_removals(
        self,
        link: Link,
        model: type[Model],
        removals: Mapping[Key, Key | None],
        error: Exception,
        attempt: Attempt,
    ) -> Exception:
        """The error in place of `error`; `removals` are REMOTE's keys with LOCAL's, `attempt` deletes some."""


class FirstFault:
    """The run stops: the first row that is found is named."""

    def of_group(
        self,
        link: Link,
        model: type[Model],
        rows: Rows,
        error: Exception,
        attempt: Attempt,
        begin: Callable[[], None] = nothing,
    ) -> Exception:
        return blame(link, model, rows, error)

    def of_row(self, link: Link, model: type[Model], rows: Rows, error: Exception) -> Exception | None:
        return blame(link, model, rows, error)

    def close(self) -> None:
        pass

    def of_removals(
        self,
        link: Link,
        model: type[Model],
        removals: Mapping[Key, Key | None],
        error: Exception,
        attempt: Attempt,
    ) -> Exception:
        return blame_removal(model, error)


class NoLook(FirstFault):
    """The batch is tried once more anyway: it would be time lost to look for the culprits."""

    def of_group(
        self,
        link: Link,
        model: type[Model],
        rows: Rows,
        error: Exception,
        attempt: Attempt,
        begin: Callable[[], None] = nothing,
    ) -> Exception:
        return Refused(type(error).__name__) if is_about_a_row(link, error) else error

    def of_row(self, link: Link, model: type[Model], rows: Rows, error: Exception) -> Exception | None:
        return Refused(type(error).__name__) if is_about_an_object(link, error) else error

    def of_removals(
        self,
        link: Link,
        model: type[Model],
        removals: Mapping[Key, Key | None],
        error: Exception,
        attempt: Attempt,
    ) -> Exception:
        return Refused(type(error).__name__) if is_about_an_object(link, error) else error


class EveryFault:
    """All rows of the group that REMOTE refuses are found."""

    def __init__(self) -> None:
        self._refused: list[tuple[Refused, Exception]] = []
        self._tables: dict[type[Model], RemoteTable] = {}
        #: Rows whose errors are in the log of this process.
        self._told: set[tuple[type[Model], Key]] = set()

    def of_group(
        self,
        link: Link,
        model: type[Model],
        rows: Rows,
        error: Exception,
        attempt: Attempt,
        begin: Callable[[], None] = nothing,
    ) -> Exception:
        if isinstance(error, SynchroError) or not is_about_a_row(link, error):
            return error
        begin()
        table = self._table(link, model)
        suspects = table.suspects(rows)
        parts: list[Sequence[Key]] = [[key for key in rows if key not in suspects]]
        parts += [[key] for key in rows if key in suspects]
        refused = {
            key: blame_one(table, model, key, rows[key], cause)
            for key, cause in _refused(link, parts, attempt, is_about_a_row)
        }
        culprits = [culprit for each in refused.values() for culprit in each.culprits]
        return Refused(str(next(iter(refused.values()), error)), culprits)

    def of_row(self, link: Link, model: type[Model], rows: Rows, error: Exception) -> Exception | None:
        if isinstance(error, SynchroError) or not is_about_an_object(link, error):
            return error
        ((key, row),) = rows.items()
        if not isinstance(error, DatabaseError) and (model, key) not in self._told:
            # Its own words may hold values, which belong into no log unless somebody is debugging.
            detail = error if conf.debug else None
            cause = type(error).__name__
            logger.warning("REMOTE refuses %s %s (%s).", model._meta.label, key, cause, exc_info=detail)
            self._told.add((model, key))
        self._refused.append((blame_one(self._table(link, model), model, key, row, error), error))
        return None

    def close(self) -> None:
        if self._refused:
            # Where rows may only stand in each other's way, another way is tried.
            first, error = max(self._refused, key=lambda pair: isinstance(pair[1], DatabaseError))
            culprits = [culprit for refused, _error in self._refused for culprit in refused.culprits]
            self._refused = []
            raise Refused(str(first), culprits) from error

    def of_removals(
        self,
        link: Link,
        model: type[Model],
        removals: Mapping[Key, Key | None],
        error: Exception,
        attempt: Attempt,
    ) -> Exception:
        if isinstance(error, SynchroError) or not is_about_an_object(link, error):
            return error
        refused = dict(_refused(link, [list(removals)], attempt, is_about_an_object))
        culprits = [
            Culprit(model, removals[remote], _cause_of_removal(cause)) for remote, cause in refused.items()
        ]
        text = str(blame_removal(model, error))
        return Refused(text, [culprit for culprit in culprits if culprit.key is not None])

    def _table(self, link: Link, model: type[Model]) -> RemoteTable:
        if model not in self._tables:
            self._tables[model] = RemoteTable(link.remote, model)
        return self._tables[model]


def is_about_a_row(link: Link, error: Exception) -> bool:
    """Whether statements failed for what they were to write, and not for the state of the server."""
    if isinstance(error, DatabaseError):
        return link.remote.engine.refuses_row(error)
    return isinstance(error, ValueError | OverflowError)


def is_about_an_object(link: Link, error: Exception) -> bool:
    """The same where receivers and methods of the project run, which may raise anything."""
    if isinstance(error, DatabaseError):
        return link.remote.engine.refuses_row(error)
    return not isinstance(error, MemoryError)


def _refused(
    link: Link,
    parts: Sequence[Sequence[Key]],
    attempt: Attempt,
    is_refusal: Callable[[Link, Exception], bool],
) -> Iterator[tuple[Key, Exception]]:
    """Keys that cannot be written even alone, after what could be."""
    waiting = [part for part in reversed(parts) if part]
    while waiting:
        part = waiting.pop()
        error = _error_of(link, part, attempt, is_refusal)
        if error is None:
            continue
        if len(part) == 1:
            yield part[0], error
        else:
            middle = len(part) // 2
            waiting += [part[middle:], part[:middle]]


def _error_of(
    link: Link, part: Sequence[Key], attempt: Attempt, is_refusal: Callable[[Link, Exception], bool]
) -> Exception | None:
    try:
        with transaction.atomic(using=link.remote.alias):
            attempt(part)
    except Exception as error:
        if isinstance(error, SynchroError) and not isinstance(error, Refused):
            raise
        if not is_refusal(link, error):
            raise
        return error
    return None


def _cause_of_removal(error: Exception) -> str:
    if isinstance(error, ProtectedError | RestrictedError):
        return _("REMOTE has rows that protect it from being deleted")
    return _("REMOTE refuses to delete it (%(cause)s)") % {"cause": type(error).__name__}


def refuse_lost(link: Link, plan: Plan, identities: Identities) -> None:
    """Raise `Refused` where rows of the plan, as they are on REMOTE now, point at rows that it has not."""
    culprits = [culprit for model in plan.puts for culprit in _lost(link, plan, identities, model)]
    if culprits:
        raise Refused(culprits[0].cause, culprits)


def _lost(link: Link, plan: Plan, identities: Identities, model: type[Model]) -> Iterator[Culprit]:
    side, table = link.remote, model._meta.db_table
    with side.connection.cursor() as cursor:
        constraints = side.connection.introspection.get_constraints(cursor, table).values()
    known = identities.known(model)
    ours = {known[key].remote: key for key in plan.puts[model]}
    by_column = {field.column: field for field in Table(model).fields}
    own = key_fields(model)
    for constraint in constraints:
        columns, there = constraint["columns"] or (), constraint["foreign_key"]
        if not there or len(columns) != 1 or columns[0] not in by_column:
            continue
        field = by_column[columns[0]]
        rows = select(side, model, [*own, field], own, [as_values(remote) for remote in ours])
        pointing = {as_key(pk): value for *pk, value in rows if value is not None}
        values = Codec([field], side.connection)
        encoded = {value: values.encode([value]) for value in set(pointing.values())}
        column = [there[1]]
        found = side.engine.select(side.connection, there[0], column, column, list(encoded.values()))
        present = {values.decode(row)[0] for row in found}
        for remote, value in pointing.items():
            if value not in present and remote in ours:
                cause = _("column %(fields)s: it points at a row that REMOTE does not have")
                yield Culprit(model, ours[remote], cause % {"fields": field.name})
