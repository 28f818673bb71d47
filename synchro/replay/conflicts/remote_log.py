"""
Log: what REMOTE itself has changed and LOCAL has not received yet, by REMOTE's own log.

The log has no index by object, so its newest end is read, from an id on that is older than what is asked about.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from functools import cached_property

from django.db.models import Max, Model, QuerySet

from synchro.checkpoint import aware
from synchro.keys import Key, to_text
from synchro.models import M2M_CHANGE, Batch, ChangeLog, Node, Receipt, SetAside
from synchro.registry import watched_models
from synchro.relations import same_key_parents
from synchro.replay.conflicts.policy import policy_for
from synchro.replay.log.changes import Change, Changes, Entry, coalesce, sets_of
from synchro.replay.log.entries import read_entries
from synchro.replay.log.pending import pending_ids
from synchro.replay.log.quarantined import quarantined_by
from synchro.replay.log.ranges import Range
from synchro.replay.log.ranges import from_text as ranges_from_text
from synchro.replay.log.received import DISORDER, Sign, floor_by_date, sign_of, unlogged_until
from synchro.replay.log.unread import Span, Unread
from synchro.replay.session import Session

#: How many of the newest entries are looked through for what a REMOTE that has never sent anything has not sent yet,
#: however old it is.
LOOK_BACK = 100_000

#: How many ranges of ids are looked through one by one.
MANY = 20


class Overtaken(Exception):
    """LOCAL has received something since its rows were read, and REMOTE's log says nothing of it any more."""

    def __init__(self, pruned: int) -> None:
        super().__init__()
        #: Up to which batch REMOTE has dropped its log by now.
        self.pruned = pruned


class RemoteLog:
    """REMOTE's own log, as far as LOCAL does not know it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._floor: tuple[datetime, int] | None = None
        self._taken = 0
        self._top = 0
        #: What LOCAL refused when it received it, which REMOTE keeps in quarantine.
        self._held_back: dict[type[Model], dict[Key, Change]] = {}
        #: What REMOTE's own runs have met and could not read: LOCAL has not received it, though its batch arrived.
        self._unread: dict[type[Model], Span] = {}
        #: What LOCAL has received of the objects of a batch, from whomever.
        self._signs: frozenset[Sign] = frozenset()

    def note_signs(self, signs: frozenset[Sign]) -> None:
        """To be called with what LOCAL has received of the objects of the next batch when its rows are read."""
        self._signs = signs

    def floor(self, since: datetime) -> int:
        """An id such that entries which were made after this moment of LOCAL's clock have greater ones."""
        return self._floor_by_date(since + self._session.offset - DISORDER)

    def has_news(self, since: datetime) -> bool:
        """Whether it has entries that can be newer than a moment of LOCAL's clock, or that it has not sent."""
        return bool(self._held_back) or self._find_floor(since + self._session.offset - DISORDER) is not None

    def note_received(self) -> None:
        """
        To be called before LOCAL's rows are read: they do not know yet what LOCAL receives from then on, by a run in
        the other direction.
        """
        if self._session.peer_on_remote is None:
            return
        self.__dict__.pop("_pruned_until", None)
        taken = self._read_taken()
        while taken != self._taken:
            self._taken = taken
            self.__dict__.pop("_received", None)
            self._held_back, self._unread = self._read_held_back(), self._read_unread()
            # What LOCAL receives between these questions is in quarantine no more, and not in LOCAL's rows either.
            taken = self._read_taken()

    def _read_taken(self) -> int:
        receipts = Receipt.objects.using(self._session.local.alias).filter(peer_id=self._session.peer.pk)
        return receipts.values_list("batch", flat=True).first() or 0

    def refuse_overtaken(self) -> Node | None:
        """
        To be called after the log was asked for the last time; return REMOTE's row about itself.

        Raises `Overtaken` where REMOTE has dropped entries meanwhile that LOCAL received after its rows were read:
        these are older than REMOTE's, and the log did not say so.
        """
        if self._session.peer_on_remote is None:
            return None
        node = Node.objects.using(self._session.remote.alias).filter(pk=1).first()
        if node is not None and node.pruned > max(self._taken, self._session.state.pruned):
            raise Overtaken(node.pruned)
        return node

    def may_have_lost(self, date: datetime) -> bool:
        """
        Whether REMOTE may have changed something after this moment of LOCAL's clock, and has dropped the entry before
        LOCAL received it.
        """
        known = [until for until in (self._pruned_until, self._unlogged_until) if until is not None]
        return bool(known) and aware(date) + self._session.offset <= max(known)

    @cached_property
    def _unlogged_until(self) -> datetime | None:
        return unlogged_until(self._session)

    @cached_property
    def _pruned_until(self) -> datetime | None:
        node = self.refuse_overtaken()
        if node is None or (node.pruned_until is None and node.pruned == 0):
            return None
        if node.pruned_upto is not None and node.pruned_upto <= self._session.copied_log:
            return None
        if node.pruned and node.pruned <= self._taken:
            return None
        if node.pruned_until is not None:
            return aware(node.pruned_until)
        return self._formed_after(node.pruned)  # pruned by an earlier version

    def _formed_after(self, batch: int) -> datetime:
        """When the next batch was formed, or any may be at the latest: what stood in the log before that is older."""
        batches = Batch.objects.using(self._session.remote.alias).filter(number__gt=batch).order_by("number")
        formed = batches.values_list("formed", flat=True).first()
        return aware(formed) if formed else self._session.begun + self._session.offset

    def changes(self, since: datetime, wanted: Mapping[type[Model], Iterable[Key]]) -> Changes:
        """What it says of these of REMOTE's rows, and of sets that they are part of."""
        floor = self._find_floor(since + self._session.offset - DISORDER)
        entries = () if floor is None else self._entries(floor, wanted)
        # What was received as a part of a batch and could not be read there, is perhaps part of another one by now.
        unsent = self._unsent() if entries else []
        self.__dict__.pop("_has_received_what_was_pruned", None)
        found = _telling(entry for entry in entries if not self._is_known(entry, unsent))
        return self._with_held_back(found, wanted)

    def unsent_changes(self, wanted: Mapping[type[Model], Iterable[Key]]) -> Changes:
        """What it says of these of REMOTE's rows that LOCAL has yet to receive, or would, however old it is."""
        unsent = self._unsent()
        floor = min([ids.first for ids in unsent] + [ids.first for ids in self._unread.values()]) - 1
        entries = self._entries(floor, wanted)
        found = [
            entry
            for entry in entries
            if self._is_unread(entry) or any(ids.first <= entry.id <= ids.last for ids in unsent)
        ]
        return self._with_held_back(_telling(found), wanted)

    def _with_held_back(self, found: Changes, wanted: Mapping[type[Model], Iterable[Key]]) -> Changes:
        """
        With what LOCAL refused, however old it is. REMOTE keeps those changes apart from its log, which may be
        pruned meanwhile.
        """
        for model, keys in wanted.items():
            held = self._held_back.get(model, {})
            for key in held.keys() & set(keys) if held else ():
                change = held[key].copy()
                later = found.rows.setdefault((model, key), change)
                if later is change:
                    change.deleted = change.date  # which counts where the row is not there
                else:
                    later.follow(change)
        return found

    def _unsent(self) -> list[Range]:
        """The ids of what LOCAL has yet to receive."""
        waiting, holes = self._waiting_and_holes()
        return [*waiting, *holes]

    def _waiting_and_holes(self) -> tuple[list[Range], list[Range]]:
        """The ids of what REMOTE has yet to send, and those that are in its log perhaps only later."""
        copied = self._session.copied_log
        found = pending_ids(self._session.remote.alias, self._taken)
        waiting, holes = (
            [Range(max(ids.first, copied + 1), ids.last) for ids in ranges if ids.last > copied]
            for ranges in (found.logged, found.gaps)
        )
        return waiting, holes

    def with_news(self, models: Iterable[type[Model]], since: datetime) -> set[type[Model]]:
        """
        Return those of these models of which it may say something that can be newer than `since`, or that it has not
        sent.
        """
        models = list(models)
        if self._session.peer_on_remote is None or not models:
            return set()
        found = {each for each in models if not self._held_back.keys().isdisjoint(_same_key_children(each))}
        patient = [model for model in models if policy_for(model).weighs_old_changes]
        if self._has_unsent(patient):
            found.update(patient)
        floor = self._find_floor(aware(since) + self._session.offset - DISORDER)
        if floor is not None:
            found |= self._named_since(floor, models)
        # Asked after the log was read, and anew: it may have been pruned meanwhile.
        self.__dict__.pop("_pruned_until", None)
        return set(models) if self.may_have_lost(since) else found

    def _named_since(self, floor: int, models: Collection[type[Model]]) -> set[type[Model]]:
        """Return those of these models that entries with greater ids than this are about."""
        entries = self._about(models).filter(id__gt=floor)
        # In their order, since PostgreSQL may otherwise read the whole log to find none.
        if entries.order_by("id").first() is None:
            return set()
        types = set(entries.order_by().values_list("content_type_id", flat=True).distinct())
        side = self._session.remote
        return {
            each
            for each in models
            if not types.isdisjoint(side.content_type_id(m) for m in _same_key_children(each))
        }

    def _has_unsent(self, models: Collection[type[Model]]) -> bool:
        """Whether it may say something of these models, however old, that LOCAL has not received."""
        if not models:
            return False
        if any(each in self._unread for model in models for each in _same_key_children(model)):
            return True
        unsent = self._unsent()
        return len(unsent) > MANY or any(
            self._about(models).filter(id__range=ids).order_by("id").first() for ids in unsent
        )

    def _about(self, models: Iterable[type[Model]]) -> QuerySet[ChangeLog]:
        side = self._session.remote
        types = [side.content_type_id(each) for model in models for each in _same_key_children(model)]
        return self._entries_of_all().filter(content_type_id__in=types)

    def _entries(self, floor: int, wanted: Mapping[type[Model], Iterable[Key]]) -> Iterable[Entry]:
        side = self._session.remote
        node = self._session.peer.uuid if self._session.forwards else None
        for model, keys in wanted.items():
            texts = [to_text(model, key) for key in keys]
            types = [side.content_type_id(each) for each in _same_key_children(model)]
            for start in range(0, len(texts), 10_000):
                found = self._entries_of_all().filter(
                    id__gt=floor, content_type_id__in=types, object_id__in=texts[start : start + 10_000]
                )
                if node is None:
                    yield from read_entries(side, found.order_by("id"))
                    continue
                # What came from LOCAL, LOCAL knows. In the order in which it was made: it may have come in another.
                found = found.exclude(origin=self._session.node).exclude(sender=self._session.node)
                several = read_entries(side, found, node=node)
                yield from sorted(several, key=lambda entry: (entry.date, entry.id))

    def _find_floor(self, since: datetime) -> int | None:
        """
        An id below which every entry is older than `since`, and LOCAL has received it or it is too old to look for;
        None where that is all of them.
        """
        self._top = self._entries_of_all().aggregate(top=Max("id"))["top"] or 0
        if self._floor is None or self._floor[0] > since:
            self.__dict__.pop("_received", None)
            self._floor = (since, min(self._floor_by_date(since), self._floor_of_the_unsent()))
        floor = self._floor[1]
        return floor if floor < self._top else None

    def _floor_by_date(self, since: datetime) -> int:
        return floor_by_date(self._session.remote, since, self._top)

    def _floor_of_the_unsent(self) -> int:
        """What REMOTE changed and has not sent loses in silence, unless it is seen to be in the way."""
        waiting, holes = self._waiting_and_holes()
        near = self._top - LOOK_BACK
        if not self._taken:  # perhaps it never sends anything, and keeps all it ever logged
            return max(min(ids.first for ids in [*waiting, *holes]) - 1, near, 0)
        # A hole may stay for ever, where nobody may look at the transactions.
        firsts = [ids.first for ids in waiting] + [ids.first for ids in self._unread.values()]
        firsts += [max(ids.first, near) for ids in holes]
        return max(min(firsts) - 1, 0)

    def _entries_of_all(self) -> QuerySet[ChangeLog]:
        return ChangeLog.objects.using(self._session.remote.alias)

    def _is_known(self, entry: Entry, unsent: Collection[Range]) -> bool:
        """Whether LOCAL has received the entry, as a copy of REMOTE or by a run in the other direction."""
        if entry.id <= self._session.copied_log:
            return True
        if self._signs and sign_of(entry, self._session.peer.uuid or self._session.node) in self._signs:
            return True
        if self._is_unread(entry) or any(ids.first <= entry.id <= ids.last for ids in unsent):
            return False
        is_received = any(ids.first <= entry.id <= ids.last for ids in self._received)
        if not is_received and not self._has_received_what_was_pruned:
            return False
        if not self._held_back:
            return True
        if entry.action == M2M_CHANGE:  # pairs are held back one by one
            return self._held_back.keys().isdisjoint(m2m.through for m2m in sets_of(entry))
        tables = (entry.model, *same_key_parents(entry.model))
        return all(entry.key not in self._held_back.get(table, ()) for table in tables)

    def _read_unread(self) -> dict[type[Model], Span]:
        if not self._taken:
            return {}
        side = self._session.remote
        spans = Unread.from_text(Node.objects.using(side.alias).get(pk=1).unread).spans
        models = {side.model_of(type_id): span for type_id, span in spans.items()}
        return {model: span for model, span in models.items() if model is not None}

    def _is_unread(self, entry: Entry) -> bool:
        span = self._unread.get(entry.model)
        return span is not None and span.first <= entry.id <= span.last

    def _read_held_back(self) -> dict[type[Model], dict[Key, Change]]:
        there, side = self._session.peer_on_remote, self._session.remote
        if there is None or not self._taken:
            return {}
        rows = SetAside.objects.using(side.alias).filter(peer_id=there.pk, batch__lte=self._taken)
        return quarantined_by(side, rows.order_by("batch", "id"))

    @cached_property
    def _has_received_what_was_pruned(self) -> bool:
        """Pruning leaves the newest entry, and drops the batch that it was in."""
        node = Node.objects.using(self._session.remote.alias).get(pk=1)
        return node.forgotten < node.pruned <= self._taken

    @cached_property
    def _received(self) -> list[Range]:
        if not self._taken:
            return []
        node = Node.objects.using(self._session.remote.alias).get(pk=1)
        batches = Batch.objects.using(self._session.remote.alias).filter(number__gt=node.forgotten)
        floor = self._floor[1] if self._floor else 0
        found: list[Range] = []
        for text in (
            batches.filter(number__lte=self._taken).order_by("-number").values_list("ranges", flat=True)
        ):
            ranges = list(ranges_from_text(text))
            if ranges and max(ids.last for ids in ranges) <= floor:
                break
            found += ranges
        return found


def _telling(entries: Iterable[Entry]) -> Changes:
    """What these entries say, without what is no change of REMOTE's."""
    changes = coalesce(entries)
    changes.rows = {place: change for place, change in changes.rows.items() if not change.says_nothing}
    return changes


def family_of(model: type[Model]) -> list[type[Model]]:
    """The models whose rows are one object with a row of `model`."""
    return [*_same_key_children(model), *same_key_parents(model)]


def _same_key_children(model: type[Model]) -> list[type[Model]]:
    """`model`, and the watched models that inherit from it and share its key: their entries stand for its rows."""
    return [model, *(child for child in watched_models() if model in same_key_parents(child))]
