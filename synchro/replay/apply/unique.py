"""
Write rows that hand unique values to each other: they cannot be written one after the other.

So all of them go, and those that are to be deleted anyway, before all of them come.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Model

from synchro.keys import AnyField, Key, key_fields
from synchro.relations import is_done_by_the_database, pointing_at
from synchro.replay.apply.blocking import Blocking
from synchro.replay.apply.deletions import delete_rows, park, refuse_dangling
from synchro.replay.apply.statements import Group, Statements
from synchro.replay.apply.unique_chains import holders
from synchro.replay.columns import Codec
from synchro.replay.identity.identities import Identities
from synchro.replay.plan import Plan, Prerequisites
from synchro.replay.quarantine.diagnosis import Attempt, Diagnosis, FailedRows
from synchro.replay.quarantine.remote_table import caused_by, row_is_missing
from synchro.replay.rows import as_key, as_values, select
from synchro.replay.session import Session


class UniqueValues:
    def __init__(
        self,
        session: Session,
        plan: Plan,
        identities: Identities,
        statements: Statements,
        diagnosis: Diagnosis,
    ) -> None:
        self._session, self._plan, self._identities, self._statements = session, plan, identities, statements
        self._diagnosis = diagnosis
        self._blocking = Blocking(session, plan, identities)
        self._connection, self._backend = session.remote.connection, session.remote.backend
        #: Models whose rows were written while foreign keys were not checked, and are not checked later.
        self.unverified: set[type[Model]] = set()
        #: Objects whose rows had to give way before their deletion was due.
        self._parked: dict[type[Model], dict[Key, Model]] = {}
        #: What rows of other models may point at, of rows that were written anew or deleted, with LOCAL's keys.
        self._uprooted: dict[type[Model], dict[AnyField, dict[Any, Key | None]]] = {}

    def parked(self, model: type[Model]) -> dict[Key, Model]:
        """Objects whose rows had to give way before their deletion was due."""
        return self._parked.get(model, {})

    def write(self, group: Group, error: IntegrityError, plainly: Attempt) -> None:
        """Write the rows, after `error` came when they were written `plainly`."""
        early = self._plan.deletions.get(group.model, {})
        going = {self._identities.of(group.model, key).remote: key for key in group.old} | early
        if not self.can_make_way(group):
            found = self._diagnosis.of_group(
                FailedRows(self._session, group.model, group.rows, error, plainly)
            )
            raise found from caused_by(found, error)
        self.uproot(group.model, going)
        self._parked[group.model] = park(self._session, group.model, list(early))
        columns = self._columns(group.model)
        kept = self._whole_rows(group, columns)

        def go() -> None:
            delete_rows(self._session, group.model, list(going))

        def come(keys: Sequence[Key]) -> None:
            part = group.part(keys)
            self._statements.insert(part)
            missing = [key for key in part.old if key not in kept]
            if missing:
                raise row_is_missing(group.model, missing)
            rows = [kept[key] for key in part.old]
            self._backend.insert(group.model._meta.db_table, columns, rows)

        if not self._backend.defers_foreign_keys:
            self.unverified.add(group.model)
        with self._backend.without_foreign_key_checks():
            try:
                with transaction.atomic(using=self._session.remote.alias):
                    go()
                    come(list(group.rows))
            except Exception as second:  # noqa: BLE001  it is raised again
                failed = FailedRows(self._session, group.model, group.rows, second, come, go)
                refusal = self._diagnosis.of_group(failed)
                raise refusal from caused_by(refusal, second)

    def can_make_way(self, group: Group) -> bool:
        """
        Whether there are rows that can go before those of the group come.

        Raises `Prerequisites` where more have to be part of the batch for that.
        """
        going = {self._identities.of(group.model, key).remote for key in group.old}
        going |= self._plan.deletions.get(group.model, {}).keys()
        self._take_along(group, going)
        return bool(going) and not self._is_cascaded(group.model)

    def uproot(self, model: type[Model], going: Mapping[Key, Key | None]) -> None:
        """Remember what other rows may point at in these rows of REMOTE, which are given with LOCAL's keys."""
        own = key_fields(model)
        targets = {column.target_field for column, _rule in pointing_at(model)}
        values = [as_values(key) for key in going]
        for target in targets:
            found = select(self._session.remote, model, [*own, target], own, values)
            self._uprooted.setdefault(model, {}).setdefault(target, {}).update(
                {value: going.get(as_key(pk)) for *pk, value in found}
            )

    def refuse_dangling(self) -> None:
        """Where another row of REMOTE points at a value that is gone for good, the batch is refused."""
        for model, values in self._uprooted.items():
            refuse_dangling(self._session, model, values, self._blocking.take_along)

    def refuse_dangling_to(self, model: type[Model]) -> None:
        """The same before the rows of `model` are gone."""
        values = self._uprooted.get(model, {})
        refuse_dangling(self._session, model, values, self._blocking.take_along, still_exists=True)

    def _take_along(self, group: Group, going: Iterable[Key]) -> None:
        """Have the batch begin again with the objects that hold the values these rows are to get."""
        asked = self._plan.objects(group.model)
        others = holders(self._session, self._identities, group.model, group.rows, set(going), asked)
        if others:
            raise Prerequisites((group.model, key) for key in others)

    def _is_cascaded(self, model: type[Model]) -> bool:
        """Whether other rows would not survive that a row of `model` goes and comes again."""
        declared = any(
            is_done_by_the_database(relation.on_delete) for relation in model._meta.related_objects
        )
        return declared or self._backend.is_cascading(model._meta.db_table)

    def _columns(self, model: type[Model]) -> list[str]:
        """All columns of REMOTE's table, those of fields first: it may have more than the model says."""
        fields: tuple[AnyField, ...] = model._meta.local_concrete_fields
        known = [field.column for field in fields]
        others = self._backend.other_columns(model._meta.db_table, known)
        return [field.column for field in _stored(model)] + others

    def _whole_rows(self, group: Group, names: Sequence[str]) -> dict[Key, Sequence[Any]]:
        """The rows that REMOTE has, by LOCAL's keys: the columns `names`, with what is to be written in place."""
        columns = _stored(group.model)
        own = key_fields(group.model)
        by_key = {self._identities.of(group.model, key).remote: key for key in group.old}
        values = Codec(own, self._connection)
        asked = [values.encode(as_values(k)) for k in by_key]
        table = group.model._meta.db_table
        codec = Codec(columns, self._connection)
        remote_rows = self._backend.select(
            table, names, [f.column for f in own], asked, spelled=codec.spelled
        )
        places = [columns.index(f) for f in own]
        rows: dict[Key, Sequence[Any]] = {}
        for stored in remote_rows:
            row = codec.decode(stored)
            key = by_key[as_key([row[place] for place in places])]
            for f, value in zip(group.fields, group.rows[key], strict=True):
                if group.is_written(key, f):
                    row[columns.index(f)] = value
            rows[key] = codec.encode(row)
        return rows


def _stored(model: type[Model]) -> list[AnyField]:
    """All columns that a row has of its own, skipped ones too."""
    return [field for field in model._meta.local_concrete_fields if not field.generated]
