"""
Write: bring REMOTE's rows to what the plan says, whole groups at a time.

Object by object only where somebody listens; then the same statements run once more, so that the columns hold
LOCAL's values whatever the listeners did to them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import DO_NOTHING, Model, ProtectedError, QuerySet, RestrictedError
from django.utils.translation import gettext as _

from synchro.exceptions import Refused
from synchro.keys import AnyField, Key, is_automatic, key_fields, normalize, to_text
from synchro.registry import Table, generic_keys
from synchro.replay.blame import blame
from synchro.replay.coalesce import same_key_parents
from synchro.replay.columns import Codec, default_of, to_attribute
from synchro.replay.delete import (
    delete_objects,
    delete_rows,
    is_done_by_the_database,
    park,
    pointing_at,
    refuse_dangling,
)
from synchro.replay.entangled import Entangled, holders
from synchro.replay.identify import Identities, existing, keeps_references, target_of
from synchro.replay.link import Link
from synchro.replay.listeners import hears_saves, hears_sets
from synchro.replay.members import change_members
from synchro.replay.order import parents_first
from synchro.replay.parents import generic_places, generic_targets, generic_value
from synchro.replay.passing import write_lines
from synchro.replay.read import Rows, as_key, as_values, select
from synchro.replay.resolve import Plan

#: An automatic key that no database hands out.
NOWHERE = 0


@dataclass
class Tally:
    """How many rows of each model were written."""

    added: dict[type[Model], int] = field(default_factory=dict)
    changed: dict[type[Model], int] = field(default_factory=dict)
    deleted: dict[type[Model], int] = field(default_factory=dict)


@dataclass
class Group:
    """The rows of one model that are written together, as REMOTE will have them, in the order of `fields`."""

    model: type[Model]
    fields: tuple[AnyField, ...]
    #: By LOCAL's key.
    rows: dict[Key, list[Any]]
    #: Keys of the rows that REMOTE lacks, and for the others the names of the fields to write; None for all.
    new: list[Key]
    old: dict[Key, frozenset[str] | None]
    #: Rows in which a foreign key waits for a row that REMOTE has not got a key for yet.
    unsettled: set[Key]

    def only(self, keys: Collection[Key]) -> Group:
        """The part of the group with these keys; rows are shared."""
        return Group(
            self.model,
            self.fields,
            {key: row for key, row in self.rows.items() if key in keys},
            [key for key in self.new if key in keys],
            {key: names for key, names in self.old.items() if key in keys},
            {key for key in self.unsettled if key in keys},
        )


class Writer:
    def __init__(self, link: Link, plan: Plan, rows: Rows, identities: Identities) -> None:
        self._link, self._plan, self._rows, self._identities = link, plan, rows, identities
        self._connection, self._engine = link.remote.connection, link.remote.engine
        self._alias = link.remote.alias
        self.tally = Tally()
        #: Highest explicit key written, by model: the database must not hand it out again.
        self._highest: dict[type[Model], int] = {}
        #: Objects whose rows had to give way before their deletion was due.
        self._parked: dict[type[Model], dict[Key, Model]] = {}
        #: What new rows got for references to nowhere.
        self._verbatim: dict[tuple[type[Model], Key, tuple[AnyField, ...]], Any] = {}
        #: What rows of other models may point at, of rows that were written anew or deleted.
        self._uprooted: dict[type[Model], dict[AnyField, set[Any]]] = {}
        #: Whether anybody listens to what is written.
        self._is_heard = True

    def write(self) -> None:
        models = parents_first(self._plan.puts)
        self._is_heard = any(hears_saves(model) or hears_sets(model) for model in models)
        self._reserve_keys(models)
        groups = [self._put(model) for model in models]
        self._settle([group for group in groups if group.unsettled])
        self._remove()
        if any(hears_saves(group.model) for group in groups):
            self._settle(groups)  # listeners may have touched rows of any group
        for model, values in self._uprooted.items():
            refuse_dangling(self._link, model, values)
        for model, highest in self._highest.items():
            table, column = model._meta.db_table, key_fields(model)[0].column
            self._engine.pass_sequence(self._connection, table, column, highest)

    # -- keys ---------------------------------------------------------------------------------------------------

    def _reserve_keys(self, models: Iterable[type[Model]]) -> None:
        """Where REMOTE can hand out keys beforehand, every foreign key is known before the first row is written."""
        if not self._engine.reserves_keys:
            return
        for model in models:
            if not is_automatic(key_fields(model)[0]):
                continue
            known = self._identities.known(model)
            identities = [known[key] for key in self._plan.puts[model]]
            new = [identity for identity in identities if identity.remote is None]
            explicit = [identity.remote for identity in identities if identity.remote is not None]
            if new:
                table, column = model._meta.db_table, key_fields(model)[0].column
                above = max(explicit, default=0)
                keys = self._engine.reserve_keys(self._connection, table, column, len(new), above)
                for identity, key in zip(new, keys, strict=True):
                    identity.remote = key

    # -- rows ---------------------------------------------------------------------------------------------------

    def _put(self, model: type[Model]) -> Group:
        passed = self._pass(model)
        if passed is not None:
            return passed
        group = self._group(model)
        if _is_pointed_at_by_value(model):
            self._uproot(model, [self._identities.of(model, key).remote for key in group.old])
        if hears_sets(model):
            change_members(self._link, model, [as_key(group.rows[key]) for key in group.new], "add")
        elif hears_saves(model):
            parts, own = self._split(group)
            self._write_group(parts)
            self._save_objects(own)
            self._run(own, lambda: self._update(own, own.rows))
        else:
            self._write_group(group)
        self._written(group)
        return group

    def _written(self, group: Group) -> None:
        self._count(self.tally.added, group.model, len(group.new))
        self._count(self.tally.changed, group.model, len(group.old))
        known = self._identities.known(group.model)
        for key in group.new:
            known[key].exists = True

    def _pass(self, model: type[Model]) -> Group | None:
        """Write rows that need not become values; None where they have to, and then nothing is written."""
        lines, planned = self._rows.lines.get(model), self._plan.puts[model]
        if (
            lines is None
            or self._is_heard
            or not planned.keys() <= lines.keys()
            or _is_pointed_at_by_value(model)
        ):
            return None
        known = self._identities.known(model)
        new = [key for key in planned if not known[key].exists]
        old = {key: names for key, names in planned.items() if known[key].exists}
        if not write_lines(self._link.remote, model, lines, known, new, old):
            return None
        group = Group(model, Table(model).fields, {}, new, old, set())
        if new:
            self._note_explicit(group)
        self._written(group)
        return group

    def _split(self, group: Group) -> tuple[Group, Group]:
        """Rows that are part of a child's object, of which Django sends no signal, and objects of their own."""
        children = [child for child in self._plan.puts if group.model in same_key_parents(child)]
        parts = {key for child in children for key in self._plan.puts[child]}
        return group.only(parts & group.rows.keys()), group.only(group.rows.keys() - parts)

    def _group(self, model: type[Model]) -> Group:
        planned = self._plan.puts[model]
        rows, unsettled = self._translated(model, list(planned))
        known = self._identities.known(model)
        return Group(
            model,
            Table(model).fields,
            rows,
            new=[key for key in rows if not known[key].exists],
            old={key: planned[key] for key in rows if known[key].exists},
            unsettled=unsettled,
        )

    def _translated(self, model: type[Model], keys: Sequence[Key]) -> tuple[dict[Key, list[Any]], set[Key]]:
        """LOCAL's rows with REMOTE's keys in them, and those of them where such a key is not known yet."""
        fields = Table(model).fields
        here = self._rows.load(model, keys)
        rows = {key: list(row) for key, row in here.items()}
        unsettled: set[Key] = set()
        for place, column in enumerate(fields):
            if column.remote_field is not None:
                self._translate(model, column, place, rows, unsettled)
        for generic in generic_keys(model):
            self._translate_generic(model, generic, here, rows, unsettled)
        self._set_own_keys(model, fields, rows)
        return rows, unsettled

    def _translate(
        self,
        model: type[Model],
        column: AnyField,
        place: int,
        rows: Mapping[Key, list[Any]],
        unsettled: set[Key],
    ) -> None:
        there = self._identities.translate(column, {row[place] for row in rows.values()})
        target = target_of(column)
        for key, row in rows.items():
            value = row[place]
            row[place] = there[value]
            if value is None or row[place] is not None:
                continue
            if target is not None and self._points_nowhere(target, value):
                row[place] = self._dangling(model, key, (column,), target, value)
            else:
                unsettled.add(key)
                # Where NULL is not allowed, foreign keys are not checked while this value stands.
                row[place] = None if column.null else 0

    def _translate_generic(
        self,
        model: type[Model],
        generic: Any,
        here: Mapping[Key, Sequence[Any]],
        rows: Mapping[Key, list[Any]],
        unsettled: set[Key],
    ) -> None:
        places = generic_places(model, generic)
        if places is None:
            return
        column = Table(model).fields[places[1]]
        targets = generic_targets(self._link, model, generic, here.values())
        for key, row in here.items():
            target = self._link.local.model_of(row[places[0]]) if row[places[0]] is not None else None
            wanted = targets.get(target, {}).get(row[places[1]]) if target is not None else None
            if target is None or wanted is None:
                continue
            identity = self._identities.find(target, [wanted])[wanted]
            if identity.remote is not None:
                rows[key][places[1]] = generic_value(
                    column, target, identity.remote, row[places[1]], self._link
                )
            elif self._points_nowhere(target, wanted):
                fields = tuple(Table(model).fields[place] for place in places)
                if self._dangling(model, key, fields, target, wanted) == NOWHERE:
                    rows[key][places[1]] = normalize(column, NOWHERE)
            else:
                unsettled.add(key)

    def _points_nowhere(self, target: type[Model], key: Key) -> bool:
        """Whether neither side has the row, nor will REMOTE get it."""
        return not self._identities.of(target, key).exists and key not in self._plan.puts.get(target, {})

    def _dangling(
        self, model: type[Model], key: Key, fields: tuple[AnyField, ...], target: type[Model], value: Key
    ) -> Any:
        """
        What REMOTE gets for a reference to a row that LOCAL does not have, which only LOCAL's own key can tell.

        A row that REMOTE has keeps what it points at there. A new one gets LOCAL's value, unless that is another
        object on REMOTE: then it is refused, or leads nowhere there too, if it is generic, as those often do.
        """
        planned, names = self._plan.puts[model], {f.name for f in fields}
        if (model, key, fields) in self._verbatim:
            return self._verbatim[model, key, fields]
        if self._identities.of(model, key).exists:
            written = planned[key]
            every = frozenset(f.name for f in Table(model).fields)
            planned[key] = (every if written is None else written) - names
            return None
        if existing(self._link, target, [value], lock=False):
            names_of = {
                "model": model._meta.label,
                "key": to_text(model, key),
                "fields": ", ".join(sorted(names)),
                "target": target._meta.label,
            }
            text = _(
                "%(model)s %(key)s, column %(fields)s: it points at a row of %(target)s that LOCAL does not have, "
                "and REMOTE has another one under that key."
            )
            if len(fields) == 1:
                raise Refused(text % names_of + " " + _("The batch was rolled back; mend the row on LOCAL."))
            self._link.warn(text % names_of + " " + _("It points nowhere there."))
            value = NOWHERE
        self._verbatim[model, key, fields] = value
        return value

    def _set_own_keys(
        self, model: type[Model], fields: Sequence[AnyField], rows: dict[Key, list[Any]]
    ) -> None:
        own, known = key_fields(model), self._identities.known(model)
        places = [fields.index(f) for f in own]
        if any(f.remote_field is not None for f in own):
            for key, row in rows.items():
                known[key].remote = as_key([row[place] for place in places])
        elif len(own) == 1:
            (place,) = places
            for key, row in rows.items():
                row[place] = known[key].remote

    # -- by statements ------------------------------------------------------------------------------------------

    def _write_group(self, group: Group) -> None:
        try:
            with transaction.atomic(using=self._alias), self._unchecked(group):
                self._insert(group)
                self._update(group, group.old)
        except IntegrityError as error:
            self._write_carefully(group, error)
        except Exception as error:
            raise blame(self._link, group.model, group.rows, error) from error

    def _write_carefully(self, group: Group, error: IntegrityError) -> None:
        """
        Rows that hand unique values to each other cannot be written one after the other. So all of them go, and
        those that are to be deleted anyway, before all of them come.
        """
        going = [self._identities.of(group.model, key).remote for key in group.old]
        early = list(self._plan.removals.get(group.model, {}))
        going += early
        self._take_along(group, going)
        if not going or _is_cascaded_by_the_database(group.model):
            raise blame(self._link, group.model, group.rows, error) from error
        try:
            with (
                transaction.atomic(using=self._alias),
                self._engine.without_foreign_key_checks(self._connection),
            ):
                self._uproot(group.model, going)
                self._parked[group.model] = park(self._link, group.model, early)
                kept = self._whole_rows(group)
                delete_rows(self._link, group.model, going)
                self._insert(group)
                self._engine.insert(
                    self._connection, group.model._meta.db_table, _stored_columns(group.model), kept
                )
        except IntegrityError as second:
            raise blame(self._link, group.model, group.rows, second) from second

    def _uproot(self, model: type[Model], going: Collection[Key]) -> None:
        """Remember what other rows may point at in these rows of REMOTE."""
        own = key_fields(model)
        targets = {column.target_field for column, _rule in pointing_at(model)}
        values = [as_values(key) for key in going]
        for target in targets:
            found = select(self._link.remote, model, [target], own, values)
            self._uprooted.setdefault(model, {}).setdefault(target, set()).update(value for (value,) in found)

    def _take_along(self, group: Group, going: Iterable[Key]) -> None:
        """Have the batch begin again with the objects that hold the values these rows are to get."""
        others = holders(self._link, group.model, group.rows, going) - self._plan.asked(group.model)
        if others:
            raise Entangled(group.model, others)

    def _whole_rows(self, group: Group) -> list[list[Any]]:
        """The rows that REMOTE has, all of their columns, with what is to be written in place."""
        columns = _stored(group.model)
        own = key_fields(group.model)
        by_key = {self._identities.of(group.model, key).remote: key for key in group.old}
        values = Codec(own, self._connection)
        asked = [values.encode(as_values(k)) for k in by_key]
        table, names = group.model._meta.db_table, [f.column for f in columns]
        there = self._engine.select(self._connection, table, names, [f.column for f in own], asked)
        codec = Codec(columns, self._connection)
        places = [columns.index(f) for f in own]
        rows = []
        for stored in there:
            row = codec.decode(stored)
            key = by_key[as_key([row[place] for place in places])]
            for f, value in zip(group.fields, group.rows[key], strict=True):
                if self._is_written(group, key, f):
                    row[columns.index(f)] = value
            rows.append(codec.encode(row))
        return rows

    @staticmethod
    def _is_written(group: Group, key: Key, column: AnyField) -> bool:
        fields = group.old[key]
        return fields is None or column.name in fields

    def _insert(self, group: Group) -> None:
        """Insert the new rows: those whose keys are known, and those that REMOTE gives their keys now."""
        waiting = {key for key in group.new if self._identities.of(group.model, key).remote is None}
        known = group.only(set(group.new) - waiting)
        if known.new:
            self._insert_rows(known, list(group.fields))
            self._note_explicit(known)
        if waiting:
            own = key_fields(group.model)
            handed_out = group.only(waiting)
            keys = self._insert_rows(handed_out, [f for f in group.fields if f not in own], own[0].column)
            self._learn_keys(handed_out, keys)

    def _insert_rows(self, group: Group, fields: list[AnyField], returning: str | None = None) -> list[int]:
        """Insert these columns, and the defaults of skipped ones; return the values of the column that is asked for."""
        extra = [f for f in Table(group.model).skipped if not f.has_db_default()]
        columns = [f.column for f in (*fields, *extra)]
        rows: Sequence[Sequence[Any]] = self._encoded(group, fields, group.new)
        if extra:
            rows = [[*row, *(default_of(group.model, f, self._connection) for f in extra)] for row in rows]
        table = group.model._meta.db_table
        if returning is None:
            self._engine.insert(self._connection, table, columns, rows)
            return []
        return self._engine.insert_returning(self._connection, table, columns, rows, returning)

    def _encoded(
        self, group: Group, fields: Sequence[AnyField], keys: Iterable[Key]
    ) -> Sequence[Sequence[Any]]:
        """These fields of the rows as REMOTE's driver takes them."""
        rows: list[Any] = [group.rows[key] for key in keys]
        if tuple(fields) != group.fields:
            places = [group.fields.index(f) for f in fields]
            pick = itemgetter(*places) if len(places) > 1 else lambda row: (row[places[0]],)
            rows = list(map(pick, rows))
        return Codec(fields, self._connection).encode_all(rows)

    def _learn_keys(self, group: Group, keys: Sequence[Key]) -> None:
        place = group.fields.index(key_fields(group.model)[0])
        for local, remote in zip(group.new, keys, strict=True):
            self._identities.of(group.model, local).remote = remote
            group.rows[local][place] = remote

    def _note_explicit(self, group: Group) -> None:
        (own, *more) = key_fields(group.model)
        if not more and is_automatic(own):
            known = self._identities.known(group.model)
            keys: list[Any] = [known[key].remote for key in group.new]
            self._highest[group.model] = max([self._highest.get(group.model, 0), *keys])

    def _update(self, group: Group, keys: Iterable[Key]) -> None:
        own = key_fields(group.model)
        by_fields: dict[frozenset[str] | None, list[Key]] = {}
        for key in keys:
            by_fields.setdefault(group.old.get(key), []).append(key)
        for names, several in by_fields.items():
            fields = [f for f in group.fields if f in own or names is None or f.name in names]
            if len(fields) == len(own):
                continue
            rows = self._encoded(group, fields, several)
            columns = [f.column for f in fields]
            self._engine.update(
                self._connection, group.model._meta.db_table, columns, [f.column for f in own], rows
            )

    @contextmanager
    def _unchecked(self, group: Group) -> Iterator[None]:
        if not group.unsettled:
            yield
            return
        with self._engine.without_foreign_key_checks(self._connection):
            yield

    def _settle(self, groups: Iterable[Group]) -> None:
        """Write the rows once more, now that every key is known and every listener has had its turn."""
        for group in groups:
            rows, unsettled = self._translated(group.model, list(group.rows))
            assert not unsettled, f"{group.model._meta.label}: a foreign key was never resolved"
            again = Group(group.model, group.fields, rows, group.new, group.old, unsettled)
            self._run(again, lambda group=again: self._update(group, group.rows))  # type: ignore[misc]

    def _run(self, group: Group, action: Callable[[], None]) -> None:
        try:
            with transaction.atomic(using=self._alias):
                action()
        except Exception as error:
            raise blame(self._link, group.model, group.rows, error) from error

    # -- by objects ---------------------------------------------------------------------------------------------

    def _save_objects(self, group: Group) -> None:
        try:
            with transaction.atomic(using=self._alias):
                self._save_each(group)
        except Refused as error:
            if not isinstance(error.__cause__, IntegrityError) or not group.old:
                raise
            # Perhaps they only stand in each other's way: put what is there in order first, then tell the listeners.
            changed = group.only(group.old)
            self._write_carefully(changed, error.__cause__)
            self._save_each(group)

    def _save_each(self, group: Group) -> None:
        for key in [*group.old, *group.new]:
            try:
                with transaction.atomic(using=self._alias), self._unchecked(group):
                    self._save(group, key)
            except Exception as error:
                raise blame(self._link, group.model, {key: group.rows[key]}, error) from error

    def _save(self, group: Group, key: Key) -> None:
        identity = self._identities.of(group.model, key)
        instance = self._instance(group, key)
        is_new = key in group.new
        for f, value in zip(group.fields, group.rows[key], strict=True):
            if is_new or self._is_written(group, key, f):
                setattr(instance, f.attname, to_attribute(f, value, self._connection))
        instance.save(using=self._alias)
        if is_new and instance._state.adding:  # a method of the model's own did not save it
            self._insert(group.only([key]))
        elif is_new and identity.remote is None:
            remote = key_fields(group.model)[0].get_prep_value(instance.pk)
            self._learn_keys(group.only([key]), [remote])
        elif is_new and not keeps_references(group.model):
            self._note_explicit(group.only([key]))

    def _instance(self, group: Group, key: Key) -> Model:
        """REMOTE's object as it is now, which another's receivers may have changed a moment ago, or a new one."""
        model, identity = group.model, self._identities.of(group.model, key)
        if key in group.new:
            instance = self._child_of_existing(group, key) or model()
            instance._state.db = self._alias
            return instance
        own = key_fields(model)
        values = zip(own, as_values(identity.remote), strict=True)
        lookup = {f.attname: to_attribute(f, v, self._connection) for f, v in values}
        rows: QuerySet[Model] = QuerySet(model, using=self._alias)  # no manager, not even the base, hides any
        return rows.get(**lookup)

    def _child_of_existing(self, group: Group, key: Key) -> Model | None:
        """A new row of a child in multi-table inheritance: the parents' rows are there and are left alone."""
        parents = [parent for parent, link in group.model._meta.parents.items() if link is not None]
        if not parents:
            return None
        instance = group.model()
        for parent, link in group.model._meta.parents.items():
            if link is None:
                continue
            value = group.rows[key][group.fields.index(link)]
            rows: QuerySet[Model] = QuerySet(parent, using=self._alias)
            found = rows.get(pk=to_attribute(link, value, self._connection))
            for f in parent._meta.concrete_fields:
                setattr(instance, f.attname, getattr(found, f.attname))
        return instance

    # -- the rest -----------------------------------------------------------------------------------------------

    def _remove(self) -> None:
        for model in reversed(parents_first(self._plan.removals)):
            keys = list(self._plan.removals[model])
            if hears_sets(model):
                change_members(self._link, model, keys, "remove")
                self._count(self.tally.deleted, model, len(keys))
                continue
            if any(rule is DO_NOTHING for _column, rule in pointing_at(model)):
                self._uproot(model, keys)
            try:
                with transaction.atomic(using=self._alias):
                    parked = self._parked.get(model, {})
                    count = delete_objects(self._link, model, keys, self._with_parents(model), parked)
            except (ProtectedError, RestrictedError) as error:
                raise Refused(
                    _(
                        "%(model)s: REMOTE has rows that protect one from being deleted. The batch was rolled back."
                    )
                    % {"model": model._meta.label}
                ) from error
            except IntegrityError as error:
                refuse_dangling(self._link, model, self._uprooted.get(model, {}), still_there=True)
                raise Refused(
                    _("REMOTE refuses to delete rows of %(model)s (%(cause)s). The batch was rolled back.")
                    % {"model": model._meta.label, "cause": type(error).__name__}
                ) from error
            self._count(self.tally.deleted, model, count)

    def _with_parents(self, model: type[Model]) -> set[Key]:
        """Keys of the rows whose rows in the parents' tables go as well."""
        several = [set(self._plan.removals.get(parent, {})) for parent in same_key_parents(model)]
        return set.intersection(*several) if several else set()

    @staticmethod
    def _count(counts: dict[type[Model], int], model: type[Model], number: int) -> None:
        if number:
            counts[model] = counts.get(model, 0) + number


def _is_pointed_at_by_value(model: type[Model]) -> bool:
    """Whether foreign keys point at a column of `model` other than its key."""
    return any(not column.target_field.primary_key for column, _rule in pointing_at(model))


def _stored(model: type[Model]) -> list[AnyField]:
    """All columns that a row has of its own, skipped ones too."""
    return [field for field in model._meta.local_concrete_fields if not field.generated]


def _stored_columns(model: type[Model]) -> list[str]:
    return [field.column for field in _stored(model)]


def _is_cascaded_by_the_database(model: type[Model]) -> bool:
    """Whether the database itself deletes rows that point at a row of `model`."""
    return any(is_done_by_the_database(relation.on_delete) for relation in model._meta.related_objects)
