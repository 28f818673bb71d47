"""
Write to REMOTE what the plan says.

Plain models go in bulk, others in groups of rows, and object by object only where there are receivers; then the same
statements run once more, so that the columns hold LOCAL's values whatever the receivers did to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

from django.db import IntegrityError, transaction
from django.db.models import DO_NOTHING, Model

from synchro.exceptions import Refused
from synchro.keys import AnyField, Key, key_fields
from synchro.relations import (
    children_first,
    is_done_by_the_database,
    parents_first,
    pointing_at,
    same_key_parents,
)
from synchro.replay.apply.blocking import Blocking
from synchro.replay.apply.bulk.eligible import NotBulk
from synchro.replay.apply.bulk.entries import Named
from synchro.replay.apply.bulk.writing import bulk_writers
from synchro.replay.apply.deletions import delete_objects, delete_rows
from synchro.replay.apply.objects import Objects
from synchro.replay.apply.other_rows import OtherRows, find_doubles
from synchro.replay.apply.receivers import (
    announced,
    has_receivers_of_deletes,
    has_receivers_of_saves,
    has_receivers_of_sets,
)
from synchro.replay.apply.release import Release, is_by_the_server
from synchro.replay.apply.server_cascades import refuse_server_cascades
from synchro.replay.apply.statements import Group, Statements
from synchro.replay.apply.translate import Translator
from synchro.replay.apply.unique import UniqueValues
from synchro.replay.apply.untouched import Untouched
from synchro.replay.conflicts.members import name_deleted_pairs
from synchro.replay.guests.recorder import Recorder, recording
from synchro.replay.identity.identities import Identities
from synchro.replay.identity.successors import keep_taken_over
from synchro.replay.log.remote_log import RemoteLog
from synchro.replay.plan import Plan, Prerequisites, Tally
from synchro.replay.quarantine.diagnosis import Attempt, Diagnosis, FailedDeletions, FailedRows, refuse_lost
from synchro.replay.quarantine.remote_table import caused_by
from synchro.replay.rows import Rows, as_key, select
from synchro.replay.session import Session


class Writer:
    def __init__(
        self,
        session: Session,
        log: RemoteLog,
        plan: Plan,
        rows: Rows,
        identities: Identities,
        diagnosis: Diagnosis,
        in_bulk: Mapping[type[Model], Named],
    ) -> None:
        self._session, self._plan, self._rows, self._identities = session, plan, rows, identities
        self._diagnosis = diagnosis
        self._alias = session.remote.alias
        self.tally = Tally()
        self._translator = Translator(session, plan, rows, identities)
        self._statements = Statements(session.remote, identities)
        self._swaps = UniqueValues(session, plan, identities, self._statements, diagnosis)
        self._blocking = Blocking(session, plan, identities)
        self._release = Release(session, plan, self._blocking, self._swaps)
        self._objects = Objects(session, identities, self._statements, self._swaps, diagnosis)
        self._recorder = Recorder(session)
        self._others = OtherRows(session, log, plan, rows, identities, self._statements, self._swaps)
        self._bulk = bulk_writers(session, in_bulk, plan, identities)

    def write(self) -> None:
        with recording(self._recorder):
            self._write()

    def _write(self) -> None:
        has_receivers = self._has_receivers()
        if has_receivers:
            self._refuse_cascaded()
        untouched = Untouched(self._session, self._plan, self._identities) if has_receivers else None
        groups = self._put_all()
        self._settle([group.only(group.unsettled) for group in groups if group.unsettled])
        for bulk in self._bulk.values():
            bulk.plan_deletions()
        if self._bulk:  # what rows in bulk point at was looked for as they were written
            keep_taken_over(self._plan, self._rows, self._identities)
        self._remove()
        self._refuse_touched()
        if untouched is not None:
            self._settle(groups)  # receivers may have touched rows of any group
            self._put_back(groups, untouched)
        self._others.settle(self._recorder)  # code of others may also run for what goes along with a removal
        self._swaps.refuse_dangling()
        refuse_lost(self._session, self._plan, self._identities, self._unverified(groups))
        self._statements.pass_sequences()

    def _has_receivers(self) -> bool:
        """Return whether code of others runs for what is written object by object."""
        writes, deletions = self._plan.writes, self._plan.deletions
        return (
            any(has_receivers_of_saves(model) for model in writes)
            or any(has_receivers_of_deletes(model) for model in deletions)
            or any(has_receivers_of_sets(model) for model in (*writes, *deletions))
        )

    def _refuse_cascaded(self) -> None:
        """Raise `NotBulk` for models whose rows the database itself touches with others, which nobody would see."""
        touched = [
            model
            for model in self._bulk
            if any(is_done_by_the_database(f.remote_field.on_delete) for f in foreign_keys(model))
        ]
        if touched:
            raise NotBulk(*touched)

    def _refuse_touched(self) -> None:
        """Raise `NotBulk` for models to whose tables code of others wrote: their rows are written once more then."""
        touched = [model for model in self._bulk if model._meta.db_table.lower() in self._recorder.written]
        if touched:
            raise NotBulk(*touched)

    def _put_all(self) -> list[Group]:
        """Write the rows of all models, parents first; return those that are not written in bulk."""
        writes = self._plan.writes
        models = parents_first({*writes, *self._bulk})
        self._statements.reserve_keys({model: writes[model] for model in models if model in writes})
        groups = []
        for model in models:
            if model in self._bulk:
                self._put_in_bulk(model)
            else:
                groups.append(self._put(model))
        return groups

    def _put_in_bulk(self, model: type[Model]) -> None:
        bulk = self._bulk[model]
        bulk.put()
        self._count(self.tally.added, model, bulk.added)
        self._count(self.tally.changed, model, bulk.changed)

    def _unverified(self, groups: Iterable[Group]) -> set[type[Model]]:
        """The models whose foreign keys the server has not looked at."""
        return {group.model for group in groups if group.dangling} | self._swaps.unverified

    def _put(self, model: type[Model]) -> Group:
        find_doubles(self._recorder, self._identities, self._translator, model)
        group = self._translator.group(model)
        if _is_pointed_at_by_value(model):
            self._swaps.uproot(model, {self._identities.of(model, key).remote: key for key in group.old})
        if has_receivers_of_sets(model):
            self._try(group, group.new, partial(self._add_members, group))
        elif has_receivers_of_saves(model):
            parts, own = self._split(group)
            group = self._write_group(parts).joined(self._save(own))
        else:
            group = self._write_group(group)
        self._written(group)
        return group

    def _written(self, group: Group) -> None:
        self._count(self.tally.added, group.model, len(group.new))
        self._count(self.tally.changed, group.model, len(group.old))
        known = self._identities.known(group.model)
        for key in group.new:
            known[key].exists = True

    def _split(self, group: Group) -> tuple[Group, Group]:
        """Rows that are part of a child's object, of which Django sends no signal, and objects of their own."""
        children = [child for child in self._plan.writes if group.model in same_key_parents(child)]
        parts = {key for child in children for key in self._plan.writes[child]}
        return group.only(parts & group.rows.keys()), group.only(group.rows.keys() - parts)

    def _save(self, group: Group) -> Group:
        """Save each object by itself; return the group as it was written."""
        try:
            with transaction.atomic(using=self._alias):
                self._objects.save(group)
        except Refused as error:
            waiting = self._waiting(group) if isinstance(error.__cause__, IntegrityError) else None
            if waiting is None:
                raise
            group = waiting
            self._objects.save(group)
        self._try(group, list(group.rows), partial(self._write_again, group))
        return group

    def _write_again(self, group: Group, keys: Sequence[Key]) -> None:
        with self._statements.unchecked(group):
            self._statements.update(group, keys)

    def _waiting(self, group: Group) -> Group | None:
        """
        The group in an order in which rows come after those that they point at, or wait for them; None where it is
        like that already.
        """
        found = self._translator.group(group.model, with_early=True).only(group.rows.keys())
        return None if found.unsettled <= group.unsettled and found.new == group.new else found

    def _write_group(self, group: Group) -> Group:
        """Write the rows all at once; return the group as it was written."""
        try:
            with transaction.atomic(using=self._alias), self._statements.unchecked(group):
                self._statements.insert(group)
                self._statements.update(group, group.old)
        except IntegrityError as error:
            waiting = self._waiting(group)
            if waiting is not None:
                return self._write_group(waiting)
            self._swaps.write(group, error, partial(self._write_part, group))
        except Exception as error:  # noqa: BLE001  it is raised again
            write = partial(self._write_part, group)
            found = self._diagnosis.of_group(FailedRows(self._session, group.model, group.rows, error, write))
            raise found from caused_by(found, error)
        return group

    def _write_part(self, group: Group, keys: Sequence[Key]) -> None:
        part = group.part(keys)
        with self._statements.unchecked(part):
            self._statements.insert(part)
            self._statements.update(part, part.old)

    def _add_members(self, group: Group, keys: Sequence[Key]) -> None:
        """Those that receivers have not added by now."""
        own = key_fields(group.model)
        pairs = {key: as_key(group.rows[key]) for key in keys}
        present = {
            as_key(row) for row in select(self._session.remote, group.model, own, own, list(pairs.values()))
        }
        missing = {key: pair for key, pair in pairs.items() if pair not in present}
        with announced(self._session, group.model, list(missing.values()), "add"):
            self._write_part(group, list(missing))

    def _settle(self, groups: Iterable[Group]) -> None:
        """Write the rows once more, now that every key is known and every receiver has run."""
        for group in groups:
            again = self._translator.again(group)
            self._try(again, list(again.rows), partial(self._statements.update, again))

    def _put_back(self, groups: Iterable[Group], untouched: Untouched) -> None:
        """Undo what receivers did to other columns of the rows."""
        for group in groups:
            changed = untouched.changed(group, self._translator)
            if changed is not None:
                self._try(changed, list(changed.rows), partial(self._statements.update, changed))

    def _try(self, group: Group, keys: Sequence[Key], write: Attempt) -> None:
        try:
            with transaction.atomic(using=self._alias):
                write(keys)
        except Exception as error:  # noqa: BLE001  it is raised again
            rows = {key: group.rows[key] for key in keys}
            failed = FailedRows(self._session, group.model, rows, error, write)
            found = self._diagnosis.of_group(failed)
            raise found from caused_by(found, error)

    def _remove(self) -> None:
        for model in children_first(self._plan.deletions):
            deletions = self._plan.deletions[model]
            if model in self._bulk:
                self._count(self.tally.deleted, model, self._bulk[model].remove(list(deletions)))
                continue
            refuse_server_cascades(self._session, self._plan, self._identities, model, deletions)
            if any(rule is DO_NOTHING for _column, rule in pointing_at(model)):
                self._swaps.uproot(model, deletions)
            delete = partial(self._release.delete, model, partial(self._delete, model))
            try:
                count = delete(list(deletions))
            except Prerequisites:
                raise
            except Exception as error:  # noqa: BLE001  it is raised again
                if is_by_the_server(error):
                    self._swaps.refuse_dangling_to(model)
                if model._meta.auto_created:
                    name_deleted_pairs(self._plan, self._identities, model)
                found = self._diagnosis.of_deletions(
                    FailedDeletions(self._session, model, deletions, error, delete)
                )
                raise found from caused_by(found, error)
            self._count(self.tally.deleted, model, count)

    def _delete(self, model: type[Model], keys: Sequence[Key]) -> int:
        if has_receivers_of_sets(model):
            with announced(self._session, model, keys, "remove"):
                delete_rows(self._session, model, keys)
            return len(keys)
        parked, look = self._swaps.parked(model), self._blocking.take_along_below
        names = self._plan.deletions[model]
        return delete_objects(self._session, model, keys, self._with_parents(model), parked, names, look)

    def _with_parents(self, model: type[Model]) -> set[Key]:
        """Keys of the rows whose rows in the parents' tables go as well."""
        several = [set(self._plan.deletions.get(parent, {})) for parent in same_key_parents(model)]
        return set.intersection(*several) if several else set()

    @staticmethod
    def _count(counts: dict[type[Model], int], model: type[Model], number: int) -> None:
        if number:
            counts[model] = counts.get(model, 0) + number


def foreign_keys(model: type[Model]) -> Iterator[AnyField]:
    """The columns of `model` that are foreign keys."""
    yield from (field for field in model._meta.local_concrete_fields if field.remote_field is not None)


def _is_pointed_at_by_value(model: type[Model]) -> bool:
    """Whether foreign keys point at a column of `model` other than its key."""
    return any(not column.target_field.primary_key for column, _rule in pointing_at(model))
