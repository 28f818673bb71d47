"""
Diagnosis: which rows of a group REMOTE refuses, so that the others can go on without them.

The transaction is rolled back anyway, so parts of the group are tried in savepoints. Rows that look wrong are tried one
by one; the others are halved until the refused ones are alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import Model, ProtectedError, RestrictedError
from django.utils.translation import gettext as _

from synchro.conf import conf
from synchro.exceptions import Culprit, Refused, SynchroError, WrongDatabase
from synchro.keys import Key, key_fields, to_text
from synchro.registry import Table
from synchro.replay.columns import Codec
from synchro.replay.identity.identities import Identities
from synchro.replay.plan import Plan, Prerequisites
from synchro.replay.quarantine.remote_table import (
    RemoteTable,
    diagnose_row,
    is_about_a_row,
    is_of_guest,
    of_guest,
    refused_for,
    refused_together,
)
from synchro.replay.rows import as_key, as_values, select
from synchro.replay.session import Session

#: A function that writes, or deletes, the rows with these keys.
Attempt = Callable[[Sequence[Key]], object]
Rows = Mapping[Key, Sequence[Any]]


logger = logging.getLogger(__name__)


def nothing() -> None:
    """Do nothing before an attempt."""


@dataclass(frozen=True)
class FailedRows:
    """Rows of a model, by LOCAL's keys, as they were written to REMOTE, and the error that came of it."""

    session: Session
    model: type[Model]
    rows: Rows
    error: Exception
    #: Writes a part of them; `begin` is called once before.
    attempt: Attempt
    begin: Callable[[], None] = nothing


@dataclass(frozen=True)
class FailedRow:
    """One such row, which was saved as an object for receivers."""

    session: Session
    model: type[Model]
    key: Key
    row: Sequence[Any]
    error: Exception


@dataclass(frozen=True)
class FailedDeletions:
    """Rows of a model that were deleted, by REMOTE's keys with LOCAL's, and the error that came of it."""

    session: Session
    model: type[Model]
    deletions: Mapping[Key, Key | None]
    error: Exception
    #: Deletes a part of them.
    attempt: Attempt


class Diagnosis(Protocol):
    """Finds the error to raise when REMOTE refuses something, and whether to go on without a row."""

    def of_group(self, failed: FailedRows) -> Exception:
        """Return the error to raise."""

    def of_row(self, failed: FailedRow) -> Exception | None:
        """Return the error to raise; None to go on with the next row and call `close` after the last."""

    def close(self) -> None:
        """Raise the errors of a group that were kept until all its rows were tried."""

    def of_deletions(self, failed: FailedDeletions) -> Exception:
        """Return the error to raise."""


class FirstFault:
    """Names the first row that REMOTE refuses: the run stops there."""

    def of_group(self, failed: FailedRows) -> Exception:
        session, model, rows, error = failed.session, failed.model, failed.rows, failed.error
        if isinstance(error, SynchroError) or not is_about_a_row(session, error):
            return error
        table = RemoteTable(session.remote, model)
        suspects = table.suspects(rows)
        for key in (key for key in rows if key in suspects):
            for fields, cause in table.faults(rows[key]):
                return refused_for(model, key, fields, cause)
        if is_of_guest(error) and len(rows) > 1:
            return of_guest(error)
        failed.begin()
        for key, cause_of_it in _refused(session, [list(rows)], failed.attempt):
            return diagnose_row(table, model, key, rows[key], cause_of_it)
        return refused_together(model, list(rows), error)

    def of_row(self, failed: FailedRow) -> Exception | None:
        session, model, error = failed.session, failed.model, failed.error
        if isinstance(error, SynchroError) or not is_about_a_row(session, error):
            return error
        return diagnose_row(RemoteTable(session.remote, model), model, failed.key, failed.row, error)

    def close(self) -> None:
        pass

    def of_deletions(self, failed: FailedDeletions) -> Exception:
        session, model, error = failed.session, failed.model, failed.error
        is_known = isinstance(error, IntegrityError | SynchroError) or is_of_guest(error)
        if is_known or not is_about_a_row(session, error):
            return diagnose_deletion(model, error)
        for remote, cause in _refused(session, [list(failed.deletions)], failed.attempt):
            return diagnose_deletion(model, cause, failed.deletions[remote])
        return diagnose_deletion(model, error)


class NoLook(FirstFault):
    """Looks for no row, since the batch is tried once more anyway."""

    def of_group(self, failed: FailedRows) -> Exception:
        return _unlooked(failed.error, is_about_a_row(failed.session, failed.error))

    def of_row(self, failed: FailedRow) -> Exception | None:
        return _unlooked(failed.error, is_about_a_row(failed.session, failed.error))

    def of_deletions(self, failed: FailedDeletions) -> Exception:
        return _unlooked(failed.error, is_about_a_row(failed.session, failed.error))


def _unlooked(error: Exception, is_refusal: bool) -> Exception:
    return Refused(type(error).__name__) if is_refusal else error


class EveryFault:
    """Names all rows of the group that REMOTE refuses."""

    def __init__(self) -> None:
        self._refused: list[tuple[Refused, Exception]] = []
        self._tables: dict[type[Model], RemoteTable] = {}
        #: Rows whose errors were logged by this process.
        self._logged: set[tuple[type[Model], Key]] = set()

    def of_group(self, failed: FailedRows) -> Exception:
        session, model, rows, error = failed.session, failed.model, failed.rows, failed.error
        if not is_about_a_row(session, error):
            return error
        failed.begin()
        table = self._table(session, model)
        suspects = table.suspects(rows)
        parts: list[Sequence[Key]] = [[key for key in rows if key not in suspects]]
        parts += [[key] for key in rows if key in suspects]
        refused = {
            key: diagnose_row(table, model, key, rows[key], cause)
            for key, cause in _refused(session, parts, failed.attempt)
        }
        if not refused:
            return refused_together(model, list(rows), error)
        culprits = [culprit for each in refused.values() for culprit in each.culprits]
        return Refused(str(next(iter(refused.values()))), culprits)

    def of_row(self, failed: FailedRow) -> Exception | None:
        model, key, error = failed.model, failed.key, failed.error
        if not is_about_a_row(failed.session, error):
            return error
        if not isinstance(error, DatabaseError) and (model, key) not in self._logged:
            # The error's text may hold values, which are logged only for debugging.
            detail = error if conf.debug else None
            cause = type(error).__name__
            logger.warning("REMOTE refuses %s %s (%s).", model._meta.label, key, cause, exc_info=detail)
            self._logged.add((model, key))
        table = self._table(failed.session, model)
        self._refused.append((diagnose_row(table, model, key, failed.row, error), error))
        return None

    def close(self) -> None:
        if self._refused:
            # An error of the database may come from the order of writing, so that another order is tried.
            first, error = max(self._refused, key=lambda pair: isinstance(pair[1], DatabaseError))
            culprits = [culprit for refused, _error in self._refused for culprit in refused.culprits]
            self._refused = []
            raise Refused(str(first), culprits) from error

    def of_deletions(self, failed: FailedDeletions) -> Exception:
        session, model, error = failed.session, failed.model, failed.error
        if not is_about_a_row(session, error):
            return error
        refused = dict(_refused(session, [list(failed.deletions)], failed.attempt))
        culprits = [
            Culprit(model, failed.deletions[remote], _cause_of_deletion(cause))
            for remote, cause in refused.items()
        ]
        text = str(diagnose_deletion(model, error))
        return Refused(text, [culprit for culprit in culprits if culprit.key is not None])

    def _table(self, session: Session, model: type[Model]) -> RemoteTable:
        if model not in self._tables:
            self._tables[model] = RemoteTable(session.remote, model)
        return self._tables[model]


def _refused(
    session: Session, parts: Sequence[Sequence[Key]], attempt: Attempt
) -> Iterator[tuple[Key, Exception]]:
    """Yield the keys of rows that cannot be written even alone, after those that can."""
    waiting = [part for part in reversed(parts) if part]
    while waiting:
        part = waiting.pop()
        error = _error_of(session, part, attempt)
        if error is None:
            continue
        if len(part) == 1:
            yield part[0], error
        else:
            middle = len(part) // 2
            waiting += [part[middle:], part[:middle]]


def _error_of(session: Session, part: Sequence[Key], attempt: Attempt) -> Exception | None:
    try:
        with transaction.atomic(using=session.remote.alias):
            attempt(part)
    except Prerequisites:
        raise
    except Exception as error:
        if not isinstance(error, Refused) and not is_about_a_row(session, error):
            raise
        return error
    return None


def _cause_of_deletion(error: Exception) -> str:
    if isinstance(error, WrongDatabase):
        return error.cause
    if isinstance(error, ProtectedError | RestrictedError):
        return _("REMOTE has rows that protect it from being deleted")
    return _("REMOTE refuses to delete it (%(cause)s)") % {"cause": type(error).__name__}


def refuse_lost(
    session: Session, plan: Plan, identities: Identities, models: Collection[type[Model]] | None = None
) -> None:
    """
    Raise `Refused` where rows that the plan has written (of `models`, if given) point at rows that REMOTE lacks.
    """
    looked_at = [model for model in plan.writes if models is None or model in models]
    found = [refused for model in looked_at for refused in _lost(session, plan, identities, model)]
    if found:
        raise Refused(str(found[0]), [culprit for refused in found for culprit in refused.culprits])


def _lost(session: Session, plan: Plan, identities: Identities, model: type[Model]) -> Iterator[Refused]:
    """Yield an error for each row that the plan has written and that points at none, by REMOTE's foreign keys."""
    database, table = session.remote, model._meta.db_table
    with database.connection.cursor() as cursor:
        constraints = database.connection.introspection.get_constraints(cursor, table).values()
    known = identities.known(model)
    written = {known[key].remote: key for key in plan.writes[model]}
    by_column = {field.column: field for field in Table(model).fields}
    own = key_fields(model)
    for constraint in constraints:
        columns, target = constraint["columns"] or (), constraint["foreign_key"]
        if not target or len(columns) != 1 or columns[0] not in by_column:
            continue
        field = by_column[columns[0]]
        rows = select(database, model, [*own, field], own, [as_values(key) for key in written])
        pointing = {as_key(pk): value for *pk, value in rows if value is not None}
        values = Codec([field], database.connection)
        encoded = {value: values.encode([value]) for value in set(pointing.values())}
        column = [target[1]]
        spelled = dict.fromkeys(column, values.spelled.get(field.column, "{}"))
        found = database.backend.select(target[0], column, column, list(encoded.values()), spelled=spelled)
        present = {values.decode(row)[0] for row in found}
        for key, value in pointing.items():
            if value not in present and key in written:
                cause = _("it points at a row that REMOTE does not have")
                yield refused_for(model, written[key], [field.name], cause)


def diagnose_deletion(model: type[Model], error: Exception, key: Key | None = None) -> Exception:
    """
    Return the error to raise in place of `error`, which REMOTE gave when rows of `model` were deleted.

    `key` is LOCAL's key of the row, where it is known and the error is about one.
    """
    if key is not None and not isinstance(error, IntegrityError | SynchroError):
        return Refused(
            _(
                "REMOTE refuses to delete %(model)s %(key)s (%(cause)s). The batch was rolled back. Find out what "
                "refuses that on REMOTE, such as a trigger of its own, and synchronize again."
            )
            % {"model": model._meta.label, "key": to_text(model, key), "cause": type(error).__name__},
            [Culprit(model, key, _cause_of_deletion(error))],
        )
    if isinstance(error, ProtectedError | RestrictedError):
        return Refused(
            _(
                "%(model)s: REMOTE has rows that protect one from being deleted. The batch was rolled back. Let these "
                "rows of REMOTE point at another one, and synchronize again."
            )
            % {"model": model._meta.label}
        )
    if isinstance(error, IntegrityError):
        return Refused(
            _(
                "REMOTE refuses to delete rows of %(model)s (%(cause)s). The batch was rolled back. Let the rows of "
                "REMOTE that point at them point at others, and synchronize again."
            )
            % {"model": model._meta.label, "cause": type(error).__name__}
        )
    return of_guest(error) if is_of_guest(error) else error
