"""Put REMOTE's keys into LOCAL's rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Model
from django.utils.translation import gettext as _

from synchro.exceptions import Culprit, Refused
from synchro.keys import AnyField, Key, key_fields, normalize, to_text
from synchro.registry import Table
from synchro.relations import generic_keys, must_exist, points_at_rows, target_of
from synchro.replay.apply.statements import Group
from synchro.replay.identity.identities import Identities, existing_keys
from synchro.replay.parents import Vanished
from synchro.replay.plan import Plan
from synchro.replay.rows import Rows, as_key, generic_places, generic_targets, generic_value, select
from synchro.replay.session import Session
from synchro.replay.unreadable import refuse_unreadable

#: An automatic key that no database hands out.
NOWHERE = 0


@dataclass
class _Waiting:
    """Rows that wait for what they point at."""

    unsettled: set[Key] = field(default_factory=set)
    dangling: set[Key] = field(default_factory=set)

    def wait(self, key: Key, row: list[Any], place: int, column: AnyField) -> None:
        """Have a foreign key of a row empty for the time being; where it cannot be, it is not checked meanwhile."""
        self.unsettled.add(key)
        if column.null and not column.primary_key:
            row[place] = None
        else:
            self.dangling.add(key)


class Translator:
    def __init__(self, session: Session, plan: Plan, rows: Rows, identities: Identities) -> None:
        self._session, self._plan, self._rows, self._identities = session, plan, rows, identities
        #: What new rows got for references to nowhere.
        self._verbatim: dict[tuple[type[Model], Key, tuple[AnyField, ...]], Any] = {}

    def group(self, model: type[Model], with_early: bool = False) -> Group:
        """
        All rows of `model` that the plan puts; `with_early`, those that have to be written before what they point at
        wait for that.
        """
        planned = self._plan.writes[model]
        early = self._early(model) if with_early else None
        rows, waiting = self._translated(model, early.order if early else list(planned), early)
        known = self._identities.known(model)
        return Group(
            model,
            Table(model).fields,
            rows,
            new=[key for key in rows if not known[key].exists],
            old={key: planned[key] for key in rows if known[key].exists},
            unsettled=waiting.unsettled,
            dangling=waiting.dangling,
        )

    def _early(self, model: type[Model]) -> Early:
        local_rows = self._rows.load(model, list(self._plan.writes[model]))
        return Early(self._session, self._plan, self._identities, model, local_rows)

    def again(self, group: Group) -> Group:
        """The same rows once more, now that every key is known."""
        rows, waiting = self._translated(group.model, list(group.rows))
        assert not waiting.unsettled, f"{group.model._meta.label}: a foreign key was never resolved"
        return Group(group.model, group.fields, rows, group.new, group.old, set())

    def _translated(
        self, model: type[Model], keys: Sequence[Key], early: Early | None = None
    ) -> tuple[dict[Key, list[Any]], _Waiting]:
        """The rows, and those of them where a key is not known yet, or is not there yet."""
        fields = Table(model).fields
        local_rows = self._rows.load(model, keys)
        refuse_unreadable(model, self._rows.unreadable.get(model, {}), keys)
        rows = {key: list(row) for key, row in local_rows.items()}
        waiting = _Waiting()
        for place, column in enumerate(fields):
            if points_at_rows(column):
                self._translate(model, column, place, rows, waiting)
            if column.remote_field is not None and early is not None:
                values = {key: row[place] for key, row in local_rows.items() if row[place] is not None}
                for key in early.keys(column, values):
                    waiting.wait(key, rows[key], place, column)
        for generic in generic_keys(model):
            self._translate_generic(model, generic, local_rows, rows, waiting.unsettled)
        self._set_own_keys(model, fields, rows)
        return rows, waiting

    def _translate(
        self,
        model: type[Model],
        column: AnyField,
        place: int,
        rows: Mapping[Key, list[Any]],
        waiting: _Waiting,
    ) -> None:
        remote_keys = self._identities.translate(column, {row[place] for row in rows.values()})
        target = target_of(column)
        for key, row in rows.items():
            value = row[place]
            row[place] = remote_keys[value]
            if value is None or row[place] is not None:
                continue
            if target is not None and self._points_nowhere(target, value):
                if target in self._plan.bulk and must_exist(column):
                    raise Vanished(model, column, [key])
                row[place] = self._dangling(model, key, (column,), target, value)
            else:
                row[place] = 0
                waiting.wait(key, row, place, column)

    def _translate_generic(
        self,
        model: type[Model],
        generic: Any,
        local_rows: Mapping[Key, Sequence[Any]],
        rows: Mapping[Key, list[Any]],
        unsettled: set[Key],
    ) -> None:
        places = generic_places(model, generic)
        if places is None:
            return
        column = Table(model).fields[places[1]]
        targets = generic_targets(self._session, model, generic, local_rows.values())
        for key, row in local_rows.items():
            target = self._session.local.model_of(row[places[0]]) if row[places[0]] is not None else None
            wanted = targets.get(target, {}).get(row[places[1]]) if target is not None else None
            if target is None or wanted is None:
                continue
            identity = self._identities.find(target, [wanted])[wanted]
            if identity.remote is not None:
                rows[key][places[1]] = generic_value(
                    column, target, identity.remote, row[places[1]], self._session
                )
            elif self._points_nowhere(target, wanted):
                fields = tuple(Table(model).fields[place] for place in places)
                if self._dangling(model, key, fields, target, wanted) == NOWHERE:
                    rows[key][places[1]] = normalize(column, NOWHERE)
            else:
                unsettled.add(key)

    def _points_nowhere(self, target: type[Model], key: Key) -> bool:
        """Whether neither side has the row, nor will REMOTE get it."""
        return not self._identities.of(target, key).exists and not self._plan.is_written(target, key)

    def _dangling(
        self, model: type[Model], key: Key, fields: tuple[AnyField, ...], target: type[Model], value: Key
    ) -> Any:
        """
        What REMOTE gets for a reference to a row that LOCAL does not have, which only LOCAL's own key can tell.

        A row that REMOTE has keeps what it points at there. A new one gets LOCAL's value, unless that is another
        object on REMOTE: then it is refused, or leads nowhere there too, if it is generic, as those often do.
        """
        planned, names = self._plan.writes[model], {f.name for f in fields}
        if (model, key, fields) in self._verbatim:
            return self._verbatim[model, key, fields]
        if self._identities.of(model, key).exists:
            written = planned[key]
            every = frozenset(f.name for f in Table(model).fields)
            planned[key] = (every if written is None else written) - names
            return None
        if existing_keys(self._session.remote, target, [value]):
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
            if fields[0].remote_field is not None and len(fields) == 1:
                cause = _("column %(fields)s: it points at a row of %(target)s that LOCAL does not have")
                raise Refused(
                    text % names_of
                    + " "
                    + _(
                        "The batch was rolled back. Let this row of LOCAL point at a row that LOCAL has, and "
                        "synchronize again."
                    ),
                    [Culprit(model, key, cause % names_of)],
                )
            self._session.warn(text % names_of + " " + _("It points nowhere there."))
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


class Early:
    """What is early among rows of `model`, given as LOCAL has them."""

    def __init__(
        self,
        session: Session,
        plan: Plan,
        identities: Identities,
        model: type[Model],
        rows: Mapping[Key, Sequence[Any]],
    ) -> None:
        self._session, self._plan, self._identities, self._model = session, plan, identities, model
        own = [
            place
            for place, field in enumerate(Table(model).fields)
            if field.remote_field is not None and target_of(field) is model
        ]
        pointing = {key: {row[place] for place in own} - {key} for key, row in rows.items()}
        #: The rows, as far as possible each after those that it points at.
        self.order = _targets_first(pointing)
        self._places = {key: place for place, key in enumerate(self.order)}

    def keys(self, column: AnyField, values: Mapping[Key, Any]) -> set[Key]:
        """Those of the rows, given with their values of a foreign key, that point at what is written after them."""
        target = target_of(column)
        if target is None:
            return self._by_value(column, values)
        known = self._identities.known(target)
        return {
            key
            for key, value in values.items()
            if self._plan.is_written(target, value)
            and not known[value].exists
            and not (target is self._model and self._is_before(value, key))
        }

    def _is_before(self, target: Key, key: Key) -> bool:
        """Whether a new row is written before another one of its model, or is that."""
        is_new = not self._identities.of(self._model, key).exists
        return is_new and self._places[target] <= self._places[key]

    def _by_value(self, column: AnyField, values: Mapping[Key, Any]) -> set[Key]:
        """Of a foreign key to another column than the key, whose values are the same on both sides."""
        target = column.related_model._meta.concrete_model
        if target not in self._plan.writes:
            return set()
        by = [column.target_field]
        wanted = [(value,) for value in set(values.values())]
        present = {value for (value,) in select(self._session.remote, target, by, by, wanted)}
        return {key for key, value in values.items() if value not in present}


def _targets_first(pointing: Mapping[Key, Iterable[Key]]) -> list[Key]:
    """The keys, each after those that it points at; in a circle one of them has to be the first."""
    done: dict[Key, None] = {}
    entered: set[Key] = set()
    for first in pointing:
        stack = [(first, False)]
        while stack:
            key, is_ready = stack.pop()
            if is_ready:
                done[key] = None
            elif key not in entered:
                entered.add(key)
                stack.append((key, True))
                stack += [(target, False) for target in pointing[key] if target in pointing]
    return list(done)
