"""
Undo what code of others did to rows of REMOTE that the batch is not about.

What capture sees of such code on LOCAL travels by entries of its own. So REMOTE's rows are put back as they were: made
again on REMOTE, the same change would be there twice, or differ from LOCAL's for good. What signals do not see of a
tree that numbers its nodes anew ends as LOCAL has it; of other models it is left to that code, as documented.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import partial
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Model
from django.utils.translation import gettext as _

from synchro.conf import conf
from synchro.keys import AnyField, Key, key_fields
from synchro.natural import natural_fields
from synchro.registry import Table
from synchro.relations import parents_first
from synchro.replay.apply.restored_rows import RestoredRows, lacking_values, refused_deletion
from synchro.replay.apply.statements import Group, Statements
from synchro.replay.apply.translate import Translator
from synchro.replay.apply.unique import UniqueValues
from synchro.replay.guests.recorder import Recorder, columns
from synchro.replay.guests.touched import Touched
from synchro.replay.identity.identities import Identities, existing_keys
from synchro.replay.identity.models import keeps_references
from synchro.replay.identity.natural_keys import finder
from synchro.replay.identity.owners import known_owners
from synchro.replay.log.remote_log import RemoteLog
from synchro.replay.plan import Plan
from synchro.replay.rows import Rows
from synchro.replay.session import Session

#: By REMOTE's keys.
Several = Mapping[Key, Touched]


class OtherRows:
    def __init__(
        self,
        session: Session,
        log: RemoteLog,
        plan: Plan,
        rows: Rows,
        identities: Identities,
        statements: Statements,
        swaps: UniqueValues,
    ) -> None:
        self._session, self._log, self._plan, self._rows = session, log, plan, rows
        self._identities, self._statements, self._swaps = identities, statements, swaps
        self._remote = session.remote

    def settle(self, recorder: Recorder) -> None:
        """Have the rows that were recorded end as they should, or say what is not known of them."""
        for (table, _code), guest in recorder.too_many_deleted.items():
            raise refused_deletion(guest, table)
        models = parents_first(recorder.touched)
        now = {model: recorder.read(model, recorder.touched[model]) for model in models}
        deleted: dict[type[Model], Several] = {}
        for model in models:
            batch_keys = self._keys_of_the_batch(model)
            touched = recorder.touched[model].items()
            deleted[model] = {k: each for k, each in touched if k not in batch_keys and k not in now[model]}
        owners = {model: self._local_keys(model, several) for model, several in deleted.items()}
        for model, rows in RestoredRows(self._session, deleted, owners).insert().items():
            self._write(model, rows, recorder.read(model, rows))
        for model in models:  # what they point at is there again by now
            self._settle_changed(recorder, model, now[model])
        self._tell_of_added(recorder)
        self._tell_of_unknown(recorder)

    def _settle_changed(self, recorder: Recorder, model: type[Model], now: Mapping[Key, list[Any]]) -> None:
        batch_keys, touched = self._keys_of_the_batch(model), recorder.touched[model].items()
        changed = {key: each for key, each in touched if key in now and each.before != now[key]}
        captured = {
            key for key in changed if conf.capture == "triggers" or (model, key) in recorder.signalled
        }
        others = captured - batch_keys
        self._put_back(model, {k: each for k, each in changed.items() if k in others}, now)
        akin = {k: each for k, each in changed.items() if each.is_akin and k not in captured}
        if akin:
            self._bring_locals(model, akin, now)

    def _keys_of_the_batch(self, model: type[Model]) -> set[Key]:
        """REMOTE's keys of the rows that the batch is about."""
        known = self._identities.known(model)
        puts = {known[key].remote for key in self._plan.writes.get(model, ())}
        return puts | self._plan.deletions.get(model, {}).keys()

    # -- as it was ----------------------------------------------------------------------------------------------

    def _put_back(self, model: type[Model], changed: Several, now: Mapping[Key, list[Any]]) -> None:
        """But for rows that REMOTE alone has: of these nothing travels, so they are left to whoever runs there."""
        local_keys: Collection[Key] = self._local_keys(model, changed)
        if keeps_references(model) and finder(model) is not None:
            local_keys = changed  # nobody but the model's own manager could say which of them LOCAL has
        wanted = {key: list(changed[key].before) for key in local_keys}
        self._leave_dangling(model, wanted, now)
        self._write(model, wanted, now)

    def _leave_dangling(
        self, model: type[Model], wanted: Mapping[Key, list[Any]], now: Mapping[Key, list[Any]]
    ) -> None:
        """Foreign keys to rows that are gone stay as they are now: LOCAL's entries about them are still to come."""
        for place, column in enumerate(columns(model)):
            values = {row[place] for key, row in wanted.items() if row[place] != now[key][place]} - {None}
            if not values or column.remote_field is None or not column.db_constraint:
                continue
            lost = lacking_values(self._remote, column.target_field, values)
            for key, row in wanted.items():
                if row[place] in lost:
                    row[place] = now[key][place]

    def _local_keys(self, model: type[Model], keys: Collection[Key]) -> dict[Key, Key]:
        """LOCAL's keys of those of these rows of REMOTE that it has, or has had."""
        found = known_owners(self._session, self._identities, model, keys)
        rest = [key for key in keys if key not in found]
        if rest and keeps_references(model) and natural_fields(model) is not None:
            found = self._identities.natural_owners(model, rest) | found
        return found

    def _write(
        self, model: type[Model], wanted: Mapping[Key, list[Any]], now: Mapping[Key, list[Any]]
    ) -> None:
        """Have rows of REMOTE, which are there, hold these values, in the order of `columns`; not in skipped ones."""
        fields = columns(model)
        travelling = set(Table(model).fields).difference(key_fields(model))
        names: dict[Key, frozenset[str] | None] = {}
        for key, row in wanted.items():
            differ = {
                f.name for f, a, b in zip(fields, row, now[key], strict=True) if a != b and f in travelling
            }
            if differ:
                names[key] = frozenset(differ)
        if not names:
            return
        rows = {key: list(wanted[key]) for key in names}
        group = Group(model, fields, rows, [], names, set())
        try:
            with transaction.atomic(using=self._remote.alias):
                self._statements.update(group, names)
        except IntegrityError as error:  # code of others may have handed a unique value from one to another
            self._make_way(group, error)

    def _make_way(self, group: Group, error: IntegrityError) -> None:
        """Write rows of REMOTE that stand in each other's way, `group` has them by REMOTE's keys."""
        local_keys = self._local_keys(group.model, group.old.keys())
        found = self._identities.find(group.model, list(local_keys.values()))
        if len(local_keys) < len(group.old) or any(
            found[key].remote != remote_key for remote_key, key in local_keys.items()
        ):
            raise error
        rows = {local_keys[remote_key]: row for remote_key, row in group.rows.items()}
        names = {local_keys[remote_key]: several for remote_key, several in group.old.items()}
        by_locals = Group(group.model, group.fields, rows, [], names, set())
        self._swaps.write(by_locals, error, partial(self._statements.update, by_locals))

    # -- as LOCAL has it ----------------------------------------------------------------------------------------

    def _bring_locals(self, model: type[Model], akin: Several, now: Mapping[Key, list[Any]]) -> None:
        """The columns that were changed; what REMOTE changed itself, and LOCAL has not heard of, is put back."""
        remote_keys = self._changed_on_remote(model, akin)
        self._write(model, {key: akin[key].before for key in remote_keys}, now)
        local_keys = self._local_keys(model, akin.keys() - remote_keys)
        found = self._identities.find(model, list(local_keys.values()))
        puts = {
            key: self._names(model, key, akin[remote_key], now[remote_key])
            for remote_key, key in local_keys.items()
            if found[key].exists and found[key].remote == remote_key and self._rows.present(model, [key])
        }
        plan = Plan(writes={model: {key: names for key, names in puts.items() if names}})
        if not plan.writes[model]:
            return
        group = Translator(self._session, plan, self._rows, self._identities).group(model)
        keys = {f.name for f in group.fields if f.remote_field is not None}
        for key in group.unsettled:  # it waits for a row that REMOTE will get later
            group.old[key] = (group.old[key] or frozenset()) - keys
        self._statements.update(group, [key for key, names in group.old.items() if names])

    def _names(self, model: type[Model], key: Key, touched: Touched, now: list[Any]) -> frozenset[str]:
        """The synchronized columns that were changed, and that the batch itself has not written."""
        written = self._plan.writes.get(model, {}).get(key, frozenset())
        if written is None:
            return frozenset()
        synchronized, own = set(Table(model).fields), key_fields(model)
        return frozenset(
            f.name
            for f, before, after in zip(columns(model), touched.before, now, strict=True)
            if before != after and f in synchronized and f not in own and f.name not in written
        )

    def _changed_on_remote(self, model: type[Model], keys: Collection[Key]) -> set[Key]:
        if self._session.peer_on_remote is None:
            return set()
        changes = self._log.unsent_changes({model: list(keys)})
        return {key for each, key in changes.rows if each is model and key in keys}

    # -- what is told -------------------------------------------------------------------------------------------

    def _tell_of_added(self, recorder: Recorder) -> None:
        for model, added in recorder.added.items():
            batch_keys = self._keys_of_the_batch(model)
            keys = [key for key in added if key is not None and key not in batch_keys]
            remote_rows = recorder.read(model, keys)
            local_keys = self._local_keys(model, remote_rows)
            present = (
                existing_keys(self._session.local, model, list(local_keys.values())) if local_keys else set()
            )
            left = [key for key in remote_rows if local_keys.get(key) not in present]
            for guest in {
                added[key].code: added[key] for key in (*left, *(k for k in added if k is None))
            }.values():
                self._session.warn(
                    _(
                        "%(code)s added rows of %(rows)s to the database “%(alias)s” as it ran for REMOTE's objects. "
                        "They stay there, and LOCAL lacks them. Where it adds such rows on LOCAL too, those arrive as "
                        "well, and there are two of each: leave it out (%(setting)s). Where each side is to have its "
                        "own, have it add them within DisableSynchroLog."
                    )
                    % {**guest.names(), "rows": model._meta.label, "alias": self._remote.alias}
                )

    def _tell_of_unknown(self, recorder: Recorder) -> None:
        for (table, _code), guest in recorder.unknown.items():
            self._session.warn(
                _(
                    "%(code)s wrote to %(table)s of the database “%(alias)s” by SQL of its own as it ran for REMOTE's "
                    "objects. Which rows it wrote is not known, so they may differ from LOCAL's now. Compare that "
                    "table on both sides, and leave it out: %(setting)s."
                )
                % {**guest.names(), "table": table, "alias": self._remote.alias}
            )
        for (table, _code), guest in recorder.too_many.items():
            self._session.warn(
                _(
                    "%(code)s wrote so many rows to %(table)s of the database “%(alias)s”, as it ran for the objects "
                    "of one batch, that they were not kept as they had been. They stay as it left them, and may differ "
                    "from LOCAL's now. Compare that table on both sides, and leave it out (%(setting)s), or lower "
                    "SYNCHRO_BATCH_SIZE."
                )
                % {**guest.names(), "table": table, "alias": self._remote.alias}
            )


def find_doubles(
    recorder: Recorder, identities: Identities, translator: Translator, model: type[Model]
) -> None:
    """Have new objects of `model`, which are about to be written, be the rows that were added meanwhile."""
    added = {key for key in recorder.added.get(model, ()) if key is not None}
    if not added:
        return
    known = identities.known(model)
    remote_rows = recorder.read(model, added)
    group = translator.group(model)
    for local, remote in _same(group, remote_rows).items():
        known[local].remote, known[local].exists = remote, True
    if keeps_references(model):
        for local in group.new:
            if known[local].remote in remote_rows and not known[local].exists:
                known[local].remote = None  # REMOTE has handed this key out once more


def _same(group: Group, remote_rows: dict[Key, list[object]]) -> dict[Key, Key]:
    """LOCAL's keys of the new rows of the group to REMOTE's of those that are there, where both are the same."""
    found: dict[Key, Key] = {}
    taken: set[Key] = set()
    fields = columns(group.model)
    for several in _unique_sets(group.model):
        places = [fields.index(field) for field in several]
        others = {tuple(row[place] for place in places): key for key, row in remote_rows.items()}
        places = [group.fields.index(field) for field in several]
        for local in group.new:
            values = tuple(group.rows[local][place] for place in places)
            if None not in values and values in others and local not in found and others[values] not in taken:
                found[local] = others[values]
                taken.add(others[values])
    return found


def _unique_sets(model: type[Model]) -> Iterator[tuple[AnyField, ...]]:
    """The synchronized fields, in groups, by whose values there is one row at the most."""
    own, fields = key_fields(model), Table(model).fields
    if not keeps_references(model):
        yield own
    names: list[tuple[str, ...]] = [
        (field.name,) for field in fields if field.unique and not field.primary_key
    ]
    names += [tuple(constraint.fields) for constraint in model._meta.total_unique_constraints]
    names += [tuple(several) for several in model._meta.unique_together]
    for each in names:
        found = tuple(field for field in fields if field.name in each)
        if found and len(found) == len(each):
            yield found
