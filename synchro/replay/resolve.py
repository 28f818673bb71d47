"""
Resolve: what becomes of an object that REMOTE has changed as well.

Only what REMOTE logged itself and LOCAL has not received yet can be in the way. REMOTE's log is asked once per model,
over the range of ids that can be newer than the oldest change of the batch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property, lru_cache
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db.models import Max, Model

from synchro.checkpoint import aware
from synchro.conf import conf
from synchro.keys import Key, to_text
from synchro.models import Batch, ChangeLog, Checkpoint, Conflict, Node, Receipt
from synchro.registry import Table, generic_keys, watched_models
from synchro.replay.coalesce import Change, Changes, Entry, coalesce, read_entries, same_key_parents
from synchro.replay.identify import Identities, Identity
from synchro.replay.link import Link
from synchro.replay.ranges import Range
from synchro.replay.ranges import from_text as ranges_from_text
from synchro.replay.read import Rows

#: How far the dates of entries may be out of the order of their ids: statements that write many rows, and the
#: moment between taking an id and looking at the clock.
DISORDER = timedelta(minutes=10)

POLICIES = ("newer", "local", "remote")


@dataclass
class Plan:
    """What is to be written to REMOTE."""

    #: LOCAL's keys of the rows to write, with the names of the fields to write; None for the whole row.
    puts: dict[type[Model], dict[Key, frozenset[str] | None]] = field(default_factory=dict)
    #: REMOTE's keys of the rows to delete, with LOCAL's keys where they are known.
    removals: dict[type[Model], dict[Key, Key | None]] = field(default_factory=dict)
    #: LOCAL's keys of objects that are gone on LOCAL, whose references are to be forgotten.
    forgotten: dict[type[Model], list[Key]] = field(default_factory=dict)
    #: How many objects of a model were left as REMOTE has them.
    kept: dict[type[Model], int] = field(default_factory=dict)
    conflicts: list[Decision] = field(default_factory=list)

    def asked(self, model: type[Model]) -> set[Key]:
        """LOCAL's keys of all objects of the model that the batch is about, whatever becomes of them."""
        going = {local for local in self.removals.get(model, {}).values() if local is not None}
        return {*self.puts.get(model, {}), *self.forgotten.get(model, ()), *going}

    def put(self, model: type[Model], key: Key, fields: frozenset[str] | None = None) -> None:
        self.puts.setdefault(model, {})[key] = fields

    def remove(self, model: type[Model], remote: Key, local: Key | None) -> None:
        self.removals.setdefault(model, {})[remote] = local

    def keep(self, model: type[Model]) -> None:
        self.kept[model] = self.kept.get(model, 0) + 1


@dataclass(frozen=True)
class Decision:
    """A conflict and who won it."""

    model: type[Model]
    key: Key
    remote_key: Key
    #: None for the whole row.
    fields: tuple[str, ...] | None
    local_date: datetime
    remote_date: datetime
    winner: str


class Log:
    """REMOTE's own log, as far as LOCAL does not know it."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._floor: tuple[datetime, int] | None = None
        self.top = 0

    def has_news(self, since: datetime) -> bool:
        """Whether it has entries that can be newer than a moment of LOCAL's clock."""
        return self._find_floor(since + self._link.offset - DISORDER) is not None

    def changes(self, since: datetime, wanted: Mapping[type[Model], Iterable[Key]]) -> Changes:
        """What it says of these of REMOTE's rows, and of sets that they are part of."""
        floor = self._find_floor(since + self._link.offset - DISORDER)
        if floor is None:
            return Changes()
        return coalesce(entry for entry in self._entries(floor, wanted) if not self._is_known(entry, floor))

    def is_quiet(self, since: datetime) -> bool:
        """Whether it has nothing that can be newer than `since`."""
        return self._find_floor(since + self._link.offset - DISORDER) is None

    def _entries(self, floor: int, wanted: Mapping[type[Model], Iterable[Key]]) -> Iterable[Entry]:
        side = self._link.remote
        for model, keys in wanted.items():
            texts = [to_text(model, key) for key in keys]
            types = [side.content_type_id(each) for each in _same_key_children(model)]
            for start in range(0, len(texts), 10_000):
                found = ChangeLog.objects.using(side.alias).filter(
                    id__gt=floor, content_type_id__in=types, object_id__in=texts[start : start + 10_000]
                )
                yield from read_entries(side, found.order_by("id"))

    def _find_floor(self, since: datetime) -> int | None:
        """An id below which every entry is older than `since`; None where all are."""
        log = ChangeLog.objects.using(self._link.remote.alias)
        self.top = log.aggregate(top=Max("id"))["top"] or 0
        if self._floor is not None and self._floor[0] <= since:
            return self._floor[1] if self._floor[1] < self.top else None
        back = 0
        while (candidate := self.top - back) > 0:
            at, date = log.filter(id__gte=candidate).order_by("id").values_list("id", "date").first() or (
                0,
                since,
            )
            if aware(date) < since:
                self._floor = (since, at)
                return at if at < self.top else None
            back = back * 10 or 1000
        self._floor = (since, 0)
        return 0 if self.top else None

    def _is_known(self, entry: Entry, floor: int) -> bool:
        """Whether LOCAL has received the entry, as a copy of REMOTE or by a run in the other direction."""
        if entry.id <= self._link.copied_log:
            return True
        return any(ids.first <= entry.id <= ids.last for ids in self._received)

    @cached_property
    def _received(self) -> list[Range]:
        receipt = Receipt.objects.filter(peer_id=self._link.peer.pk).using(self._link.local.alias).first()
        if receipt is None:
            return []
        node = Node.objects.using(self._link.remote.alias).get(pk=1)
        batches = Batch.objects.using(self._link.remote.alias).filter(number__gt=node.forgotten)
        floor = self._floor[1] if self._floor else 0
        found: list[Range] = []
        for text in (
            batches.filter(number__lte=receipt.batch).order_by("-number").values_list("ranges", flat=True)
        ):
            ranges = list(ranges_from_text(text))
            if ranges and max(ids.last for ids in ranges) <= floor:
                break
            found += ranges
        return found

    @cached_property
    def seen(self) -> int:
        """How far the log had been looked at by earlier runs."""
        checkpoint = (
            Checkpoint.objects.using(self._link.local.alias).filter(peer_id=self._link.peer.pk).first()
        )
        return checkpoint.seen if checkpoint else 0


def resolve(link: Link, log: Log, changes: Changes, rows: Rows, identities: Identities) -> Plan:
    """Decide for each row of the batch. `identities` and `rows` know them all."""
    plan = Plan()
    theirs = _their_changes(link, log, changes, identities)
    present = {model: rows.present(model, keys) for model, keys in changes.by_model().items()}
    if not theirs.rows:
        _all_stand(changes, present, identities, plan)
        _spare_successors(plan, present, identities)
        return plan
    for (model, key), change in changes.rows.items():
        identity = identities.of(model, key)
        judge = _Judge(link, log, plan, change, identity, theirs)
        if key not in present[model]:
            # A row that REMOTE keeps will come back from there under the same key: who it is, is not forgotten.
            if not is_deletion(identity, change) or judge.deletion():
                plan.forgotten.setdefault(model, []).append(key)
        elif identity.exists:
            judge.change()
        else:
            judge.addition()
    _spare_successors(plan, present, identities)
    return plan


def is_deletion(identity: Identity, change: Change) -> bool:
    """Whether REMOTE has the row of an object that LOCAL has not: one born and gone unseen has none of its own."""
    return identity.exists and (identity.is_remembered or not change.is_born)


def _spare_successors(
    plan: Plan, present: Mapping[type[Model], Collection[Key]], identities: Identities
) -> None:
    """A deleted object's row on REMOTE stays where one that LOCAL has now took it over, by its natural key."""
    for model, removals in plan.removals.items():
        taken = {identities.of(model, key).remote for key in present.get(model, ())}
        for remote in taken & removals.keys():
            del removals[remote]


def _all_stand(
    changes: Changes,
    present: Mapping[type[Model], Collection[Key]],
    identities: Identities,
    plan: Plan,
) -> None:
    """What `_Judge` decides where REMOTE has changed none of the rows."""
    for model, keys in changes.by_model().items():
        here, known = present[model], identities.known(model)
        puts: dict[Key, frozenset[str] | None] = {}
        for key in keys:
            identity = known[key]
            if key in here:
                change = changes.rows[model, key]
                is_part = identity.exists and change.whole is None
                puts[key] = _synchronized(model, tuple(change.fields)) if is_part else None
            else:
                plan.forgotten.setdefault(model, []).append(key)
                if is_deletion(identity, changes.rows[model, key]):
                    plan.remove(model, identity.remote, key)
        if puts:
            plan.puts[model] = puts


@lru_cache(maxsize=10_000)
def _synchronized(model: type[Model], names: tuple[str, ...]) -> frozenset[str] | None:
    """Those of the named fields that are synchronized; None where these are all."""
    fields = Table(model).fields
    wanted = {*names}
    for generic in generic_keys(model):  # a key means nothing without its content type
        if wanted & {generic.ct_field, generic.fk_field}:
            wanted |= {generic.ct_field, generic.fk_field}
    found = frozenset(field.name for field in fields if field.name in wanted)
    return None if len(found) == len(fields) else found


def _their_changes(link: Link, log: Log, changes: Changes, identities: Identities) -> Changes:
    if link.peer_there is None or not changes.rows:
        return Changes()
    since = min(aware(change.date) for change in changes.rows.values())
    if not log.has_news(since):
        return Changes()
    wanted: dict[type[Model], list[Key]] = {}
    for model, key in changes.rows:
        identity = identities.of(model, key)
        remote = identity.remote if identity.exists or identity.gone is None else identity.gone
        if remote is not None:
            wanted.setdefault(model, []).append(remote)
    return log.changes(since, wanted)


class _Judge:
    """Decides about one row."""

    def __init__(
        self, link: Link, log: Log, plan: Plan, change: Change, identity: Identity, theirs: Changes
    ) -> None:
        self._link, self._log, self._plan = link, log, plan
        self._change, self._identity, self._theirs = change, identity, theirs
        self._model, self._key = change.model, change.key
        self._remote = identity.remote if identity.exists or identity.gone is None else identity.gone
        self._policy = policy_of(change.model)

    def deletion(self) -> bool:
        """LOCAL has deleted it, REMOTE has it. Returns whether it is deleted there too."""
        lines = (self._model, *same_key_parents(self._model))
        theirs = [t for m in lines if (t := self._theirs.rows.get((m, self._remote)))]
        latest = max(theirs, key=lambda change: change.date, default=None)
        if latest and not self._wins(None, latest.date, self._change.date, latest):
            self._plan.keep(self._model)
            return False
        self._plan.remove(self._model, self._identity.remote, self._key)
        return True

    def addition(self) -> None:
        """LOCAL has it, REMOTE has not: it is new there, or was deleted there."""
        theirs = self._theirs.rows.get((self._model, self._remote))
        if theirs and theirs.deleted and not self._wins(None, theirs.deleted, self._change.date, theirs):
            self._plan.keep(self._model)
        else:
            self._plan.put(self._model, self._key)

    def change(self) -> None:
        """Both have it: each column goes by itself, as far as the columns that changed are known."""
        theirs = self._theirs.rows.get((self._model, self._remote))
        fields = Table(self._model).fields
        ours = {f.name: date for f in fields if (date := self._change.changed_at(f.name))}
        self._complete_generic_keys(ours)
        if theirs is None:
            self._plan.put(self._model, self._key, None if len(ours) == len(fields) else frozenset(ours))
            return
        both = {name: date for name, date in ours.items() if theirs.changed_at(name)}
        won = frozenset(ours) - frozenset(both)
        for names in _by_dates(both, theirs):
            dates = theirs.changed_at(names[0]) or theirs.date, both[names[0]]
            if self._wins(names, *dates, theirs):
                won |= frozenset(names)
        if won:
            self._plan.put(self._model, self._key, won)
        else:
            self._plan.keep(self._model)

    def _complete_generic_keys(self, ours: dict[str, datetime]) -> None:
        """What the key of a generic foreign key means depends on its content type: they change together."""
        for generic in generic_keys(self._model):
            dates = [ours[name] for name in (generic.ct_field, generic.fk_field) if name in ours]
            if dates:
                ours[generic.ct_field] = ours[generic.fk_field] = max(dates)

    def _wins(self, fields: tuple[str, ...] | None, theirs: datetime, ours: datetime, change: Change) -> bool:
        """Whether LOCAL's change wins; the conflict is put on record."""
        link = self._link
        if self._policy == "newer":
            won = (aware(ours) + link.offset, link.node.int) > (
                aware(theirs),
                (link.peer.uuid or link.node).int,
            )
        else:
            won = self._policy == "local"
        if change.entry > self._log.seen:
            winner = Conflict.LOCAL if won else Conflict.REMOTE
            decision = Decision(self._model, self._key, self._remote, fields, ours, theirs, winner)
            self._plan.conflicts.append(decision)
        return won


def _by_dates(ours: Mapping[str, datetime], theirs: Change) -> Iterable[tuple[str, ...]]:
    """Names of fields that were changed at the same two moments, and so share their fate."""
    groups: dict[Any, list[str]] = {}
    for name, date in ours.items():
        groups.setdefault((date, theirs.changed_at(name)), []).append(name)
    return [tuple(sorted(names)) for names in groups.values()]


def policy_of(model: type[Model]) -> str:
    """
    Who wins where both sides changed an object of `model`.

    Raises `ImproperlyConfigured` for anything else than "newer", "local" and "remote".
    """
    policy = getattr(model, "SYNCHRO_CONFLICT", conf.conflict)
    if policy not in POLICIES:
        raise ImproperlyConfigured(
            f"SYNCHRO_CONFLICT is {policy!r}; it can be {' or '.join(map(repr, POLICIES))}."
        )
    return str(policy)


def _same_key_children(model: type[Model]) -> list[type[Model]]:
    """`model`, and the watched models that inherit from it and share its key: their entries stand for its rows."""
    return [model, *(child for child in watched_models() if model in same_key_parents(child))]
