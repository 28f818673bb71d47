"""
Rows of a load, straight into REMOTE's table: nothing is looked for there, and nothing is asked.

Why that loses and doubles nothing:

- All is one transaction of REMOTE with the receipt, as for any batch. Killed anywhere, both are there or neither is.
- It is an insertion. A row that somebody else has put there meanwhile, or has there all along, is never overwritten:
  the server refuses its key, or another unique value. Then all is rolled back, and the batch is applied as others are,
  which look for each row and decide about conflicts.
- A row that REMOTE deleted itself, and that LOCAL has not heard of, is in REMOTE's log. The log is asked before, and
  once more when the rows are written; where it says anything of the model, the batch is applied as others are.
- A row that LOCAL changes or deletes while it is read has an entry that is in no batch before this one: the change
  comes later, and brings the row as it is by then. A row whose very addition comes later is left to it: where there
  may be one, the batch is applied as others are (see `synchro.replay.apply.load.additions`).
- Where keys are handed out by REMOTE, no object of which a reference is known, or that is in both databases by a
  baseline, goes this way; and none that has a natural key, by which REMOTE may have it.
- What a row points at is asked for when all rows are there. Where REMOTE lacks it, the batch is applied as others are,
  which bring it along.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from django.db.models import Model

from synchro.backends.abilities import reserved_keys
from synchro.backends.base import quoted
from synchro.backends.copying import (
    LineReader,
    line_reader,
    numbers_of_lines,
    with_numbers,
    write_lines,
)
from synchro.exceptions import SynchroError
from synchro.keys import AnyField, Key, is_automatic, is_integer, key_fields
from synchro.models import Batch
from synchro.registry import Table
from synchro.relations import points_at_rows, target_of
from synchro.replay.apply.attempts import Strategy
from synchro.replay.apply.bulk.eligible import NotBulk, has_nothing_to_ask
from synchro.replay.apply.load.additions import added_later
from synchro.replay.apply.load.keys import Condition, condition_of, end_of_fitting_rows
from synchro.replay.apply.load.values import ValueReader
from synchro.replay.checkpoint import LoadedPart, Outcome, new_pairs
from synchro.replay.columns import is_plain, spells_all
from synchro.replay.conflicts.remote_changes import has_unsent_changes
from synchro.replay.identity.identities import Identities
from synchro.replay.identity.models import keeps_references, uses_same_key
from synchro.replay.identity.natural_keys import has_natural_key
from synchro.replay.log.changes import Changes
from synchro.replay.log.loads import LoadPart
from synchro.replay.log.remote_log import RemoteLog
from synchro.replay.plan import Plan, Tally
from synchro.replay.receipts import write_receipt
from synchro.replay.rows import Rows
from synchro.replay.session import Session
from synchro.replay.signals import announce

#: How many rows are read before what they point at is asked for.
PAGE = 20_000


def goes_straight(session: Session, model: type[Model]) -> bool:
    """Return whether rows of `model` may go so, as far as the model tells."""
    return (
        not model._meta.auto_created
        and model not in session.left_out
        and not session.forwards
        and has_nothing_to_ask(model)
        and all(is_integer(field) for field in Table(model).fields if points_at_rows(field))
        and not (keeps_references(model) and has_natural_key(model))
    )


def load_straight(
    session: Session, log: RemoteLog, batch: Batch, part: LoadPart, within: Any, strategy: Strategy
) -> Outcome | None:
    """Insert the rows of a part, and return what became of the batch; None where it is to be applied as others are."""
    if not goes_straight(session, part.model):
        return None
    log.note_received()
    try:
        with within() as finish:
            outcome = _apply(session, log, batch, part, strategy)
            finish(outcome)
    except NotBulk:
        return None
    return outcome


def _apply(session: Session, log: RemoteLog, batch: Batch, part: LoadPart, strategy: Strategy) -> Outcome:
    identities = Identities(session, Rows(session.local), {}, (), strategy.quarantine.all())
    _refuse_news(session, log, part.model)
    work = _Straight(session, part, identities)
    work.load()
    announce("read", batch)
    work.refuse_added_later(added_later(session, batch, part.model))
    work.refuse_missing_targets()
    _refuse_news(session, log, part.model)
    pairs = new_pairs(Plan(), identities)
    write_receipt(session, batch, pairs, Plan())
    announce("written", batch)
    return Outcome(
        batch=batch,
        entries=0,
        last=None,
        forgotten={},
        pairs=pairs,
        conflicts=(),
        recorded=0,
        tally=Tally(added={part.model: work.count}) if work.count else Tally(),
        kept={},
        quarantine=strategy.quarantine.update_by(Changes(), {}),
        loaded=LoadedPart(work.count, part.upto),
    )


def _refuse_news(session: Session, log: RemoteLog, model: type[Model]) -> None:
    """Raise `NotBulk` where REMOTE has changes of the model that LOCAL has not received."""
    if has_unsent_changes(log, [model], session.begun):
        raise NotBulk(model)


class _Straight:
    """The insertion of one part."""

    def __init__(self, session: Session, part: LoadPart, identities: Identities) -> None:
        self._session, self._part, self._identities = session, part, identities
        self._model, self._table = part.model, part.model._meta.db_table
        #: The key, then what points at other rows, then all else.
        self._fields: list[AnyField] = sorted(Table(part.model).fields, key=_rank)
        self._own, self._columns = self._fields[0], [field.column for field in self._fields]
        self._keeps = keeps_references(part.model)
        self.count = 0

    def load(self) -> None:
        """Write the rows. Raises `NotBulk` where the server refuses one."""
        local, remote = self._session.local.backend, self._session.remote.backend
        try:
            self._load()
        except (NotBulk, SynchroError):
            raise
        except Exception as error:
            if isinstance(error, MemoryError) or local.is_transient(error) or remote.is_transient(error):
                raise
            raise NotBulk(self._model) from error

    def _load(self) -> None:
        part, lines = self._part, self._line_reader()
        foreign = self._translated()
        if lines is not None and not self._keeps and not foreign:
            condition = condition_of(self._session.local, self._model, part.after, part.upto)
            rows = lines.read(self._table, *condition)
            self.count = write_lines(self._session.remote.connection, self._table, self._columns, rows)
        elif lines is not None:
            for condition in self._pages():
                self._put_lines(
                    [line for some in lines.read(self._table, *condition) for line in some], foreign
                )
        else:
            values = ValueReader(self._session, self._model, self._fields)
            for condition in self._pages():
                self._put_values(values, values.read(*condition), foreign)
        if self.count and not self._keeps and is_automatic(self._own):
            self._session.remote.backend.pass_sequence(self._table, self._own.column, part.upto[0])

    def _pages(self) -> Iterator[Condition]:
        """
        Yield conditions that each pick some rows of the part.

        While rows are being read, their connection can answer nothing else; and what they point at is to be asked.
        """
        local, after = self._session.local, self._part.after
        while (end := end_of_fitting_rows(local, self._model, after, PAGE, self._part.upto)) is not None:
            yield condition_of(local, self._model, after, end)
            after = end

    def _line_reader(self) -> LineReader | None:
        local, remote = self._session.local, self._session.remote
        if not is_integer(self._own) and self._translated():
            return None
        if not all(map(is_plain, self._fields)) or not spells_all(local, remote, self._model):
            return None
        return line_reader(local.connection, remote.connection, self._fields)

    def _put_lines(self, lines: Sequence[bytes], foreign: Sequence[AnyField]) -> None:
        numbers = numbers_of_lines(lines, 1 + len(foreign))
        keys: list[Key] = list(numbers[0]) if numbers else []
        there = [self._translate(field, column) for field, column in zip(foreign, numbers[1:], strict=True)]
        new = self._new_keys(keys) if self._keeps else keys
        rows = with_numbers(lines, [new, *there])
        remote = self._session.remote.connection
        self.count += write_lines(remote, self._table, self._columns, iter([rows]))
        self._note(keys, new)

    def _put_values(
        self, reader: ValueReader, rows: Sequence[Sequence[Any]], foreign: Sequence[AnyField]
    ) -> None:
        backend, columns = self._session.remote.backend, self._columns
        keys = [row[0] for row in rows]
        for place, field in enumerate(foreign, 1):
            there = self._translate(field, [row[place] for row in rows])
            rows = [
                (*row[:place], number, *row[place + 1 :]) for row, number in zip(rows, there, strict=True)
            ]
        new: Sequence[Key] = keys
        if not self._keeps:
            backend.insert(self._table, columns, reader.encoded(rows))
        elif backend.supports_reserved_keys:
            new = self._new_keys(keys)
            rows = [(key, *row[1:]) for key, row in zip(new, rows, strict=True)]
            backend.insert(self._table, columns, reader.encoded(rows))
        else:
            self._refuse_known(keys)
            others = [row[1:] for row in reader.encoded(rows)]
            new = backend.insert_returning(self._table, columns[1:], others, self._own.column)
        self.count += len(keys)
        self._note(keys, new)

    def _translated(self) -> list[AnyField]:
        """Return the foreign keys that may hold other numbers on REMOTE; they follow the key. All, or none."""
        foreign = [field for field in self._fields if points_at_rows(field)]
        targets = [target_of(field) for field in foreign]
        is_same = all(target is not None and _is_same(target) for target in targets)
        return [] if is_same and is_integer(self._own) else foreign

    def _translate(self, field: AnyField, numbers: Sequence[Any]) -> list[Any]:
        target = target_of(field)
        assert target is not None
        wanted = {number for number in numbers if number is not None}
        found = self._identities.remote_keys(target, wanted)
        if len(found) < len(wanted):
            raise NotBulk(self._model)
        return [None if number is None else found[number] for number in numbers]

    def _new_keys(self, keys: Sequence[Key]) -> list[Key]:
        self._refuse_known(keys)
        reserving = reserved_keys(self._session.remote.backend)
        assert reserving is not None, "REMOTE hands out no keys beforehand"
        return list(reserving.reserve_keys(self._table, self._own.column, len(keys), above=0))

    def _refuse_known(self, keys: Sequence[Key]) -> None:
        remembered, copied = self._identities.candidates(self._model, keys)
        if remembered or copied:
            raise NotBulk(self._model)

    def _note(self, keys: Sequence[Key], new: Sequence[Key]) -> None:
        if self._keeps:
            self._identities.note_written(self._model, keys, dict(zip(keys, new, strict=True)))

    def refuse_added_later(self, later: Collection[Key]) -> None:
        """Raise `NotBulk` where one of these objects may be in the part."""
        if not is_integer(self._own):
            if later:
                raise NotBulk(self._model)
            return
        (first,), (last,) = self._part.after or (None,), self._part.upto
        if any((first is None or key > first) and key <= last for key in later):
            raise NotBulk(self._model)

    def refuse_missing_targets(self) -> None:
        """Raise `NotBulk` where a row of the part points at one that REMOTE lacks."""
        foreign = [field for field in self._fields if points_at_rows(field)]
        if self._translated() or not foreign or self._keeps:
            return  # each was looked for
        remote = self._session.remote
        condition, values = condition_of(remote, self._model, self._part.after, self._part.upto)
        table = quoted(remote.connection, self._table)
        for field in foreign:
            target = target_of(field)
            assert target is not None
            place = f"{table}.{quoted(remote.connection, field.column)}"
            there = quoted(remote.connection, target._meta.db_table)
            key = quoted(remote.connection, key_fields(target)[0].column)
            sql = (
                f"SELECT 1 FROM {table} WHERE {condition} AND {place} IS NOT NULL AND NOT EXISTS "
                f"(SELECT 1 FROM {there} AS target WHERE target.{key} = {place}) LIMIT 1"
            )
            with remote.connection.cursor() as cursor:
                cursor.execute(sql, values)
                if cursor.fetchone() is not None:
                    raise NotBulk(self._model)


def _rank(field: AnyField) -> int:
    return 0 if field.primary_key else 1 if points_at_rows(field) else 2


def _is_same(target: type[Model]) -> bool:
    return uses_same_key(target) or not is_automatic(key_fields(target)[0])
