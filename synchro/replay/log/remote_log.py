"""
REMOTE's log: what REMOTE itself changed and LOCAL has not received yet.

The log has no index by object, so its newest part is read: from an id on that is older than what is asked about.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from functools import cached_property

from django.db.models import Max, Model, QuerySet

from synchro.keys import Key
from synchro.last_check import aware
from synchro.models import M2M_CHANGE, Batch, ChangeLog, Node, Receipt, SetAside
from synchro.registry import same_key_children
from synchro.relations import same_key_parents
from synchro.replay.log.changes import Change, Changes, Entry, coalesce, sets_of, to_text_or_pair
from synchro.replay.log.entries import read_entries
from synchro.replay.log.pending import pending_ids
from synchro.replay.log.quarantined import quarantined_by
from synchro.replay.log.ranges import Range, from_text
from synchro.replay.log.received import DISORDER, Sign, floor_by_date, pruned_until, sign_of, unlogged_until
from synchro.replay.log.unread import Span, Unread
from synchro.replay.session import Session

#: How many of the newest entries are read, however old they are, of a REMOTE that has never sent anything.
LOOK_BACK = 100_000

#: How many ranges of ids are asked about one by one; where there are more, each may have an entry.
MOST_RANGES = 20


class Overtaken(Exception):
    """LOCAL has received changes since its rows were read, and REMOTE has dropped the entries of them meanwhile."""

    def __init__(self, pruned: int) -> None:
        super().__init__()
        #: Up to which batch REMOTE has dropped its log.
        self.pruned = pruned


class RemoteLog:
    """REMOTE's own log, as far as LOCAL has not received it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        #: A moment of REMOTE's clock, and the id from which entries are read for it.
        self._floor: tuple[datetime, int] | None = None
        #: The number of REMOTE's last batch that LOCAL had received before its rows were read.
        self._received_batch = 0
        #: The highest id.
        self._highest = 0
        #: What LOCAL refused when it received it, by REMOTE's quarantine.
        self._refused: dict[type[Model], dict[Key, Change]] = {}
        #: Entries that REMOTE's runs could not read: LOCAL has not received them, though their batches arrived.
        self._unread: dict[type[Model], Span] = {}
        #: What LOCAL has received of the objects of a batch, from any node.
        self._signs: frozenset[Sign] = frozenset()

    def note_signs(self, signs: frozenset[Sign]) -> None:
        """Take in what LOCAL has received of the objects of the next batch; call it before LOCAL's rows are read."""
        self._signs = signs

    def floor(self, since: datetime) -> int:
        """Return an id that is lower than those of all entries made after this moment of LOCAL's clock."""
        return self._floor_by_date(self._on_its_clock(since))

    def _on_its_clock(self, since: datetime) -> datetime:
        """Return a moment of LOCAL's clock by REMOTE's, early enough for entries that are not in order."""
        return aware(since) + self._session.offset - DISORDER

    def has_news(self, since: datetime) -> bool:
        """Return whether there are entries that can be newer than a moment of LOCAL's clock, or that were not sent."""
        return bool(self._refused) or self._find_floor(self._on_its_clock(since)) is not None

    def note_received(self) -> None:
        """
        Find out what LOCAL has received; call it before LOCAL's rows are read.

        The rows do not have what LOCAL receives from then on, by a run in the other direction.
        """
        if self._session.peer_on_remote is None:
            return
        self._forget("_pruned_until")
        received = self._read_received_batch()
        while received != self._received_batch:
            self._received_batch = received
            self._forget("_received")
            self._refused, self._unread = self._read_refused(), self._read_unread()
            # What LOCAL receives between these questions has left the quarantine, and is not in LOCAL's rows either.
            received = self._read_received_batch()

    def _forget(self, *names: str) -> None:
        """Have these cached properties read anew."""
        for name in names:
            self.__dict__.pop(name, None)

    def _read_received_batch(self) -> int:
        receipts = Receipt.objects.using(self._session.local.alias).filter(peer_id=self._session.peer.pk)
        return receipts.values_list("batch", flat=True).first() or 0

    def refuse_overtaken(self) -> Node | None:
        """
        Return REMOTE's row about itself; call it after the log was asked for the last time.

        Raises `Overtaken` where REMOTE has dropped entries meanwhile that LOCAL received after its rows were read: the
        rows are older than REMOTE's, and the log did not say so.
        """
        if self._session.peer_on_remote is None:
            return None
        node = Node.objects.using(self._session.remote.alias).filter(pk=1).first()
        if node is not None and node.pruned > max(self._received_batch, self._session.state.pruned):
            raise Overtaken(node.pruned)
        return node

    def may_have_lost(self, date: datetime) -> bool:
        """Return whether REMOTE may have dropped entries that are newer than a moment of LOCAL's clock and unsent."""
        known = [until for until in (self._pruned_until, self._unlogged_until) if until is not None]
        return bool(known) and aware(date) + self._session.offset <= max(known)

    @cached_property
    def _unlogged_until(self) -> datetime | None:
        return unlogged_until(self._session)

    @cached_property
    def _pruned_until(self) -> datetime | None:
        node = self.refuse_overtaken()
        return None if node is None else pruned_until(self._session, node, self._received_batch)

    def changes(self, since: datetime, wanted: Mapping[type[Model], Iterable[Key]]) -> Changes:
        """Return what it says of these rows of REMOTE, and of their sets, from a moment of LOCAL's clock on."""
        floor = self._find_floor(self._on_its_clock(since))
        entries = () if floor is None else self._entries(floor, wanted)
        # What could not be read when its batch was sent is perhaps part of another batch by now.
        unsent = self._unsent() if entries else []
        self._forget("_has_received_what_was_pruned")
        found = _changes_told_by(entry for entry in entries if not self._is_known(entry, unsent))
        return self._with_refused(found, wanted)

    def unsent_changes(self, wanted: Mapping[type[Model], Iterable[Key]]) -> Changes:
        """Return what it says of these rows of REMOTE that LOCAL has not received, however old it is."""
        unsent = self._unsent()
        floor = min([ids.first for ids in unsent] + [ids.first for ids in self._unread.values()]) - 1
        entries = self._entries(floor, wanted)
        found = [
            entry
            for entry in entries
            if self._is_unread(entry) or any(ids.first <= entry.id <= ids.last for ids in unsent)
        ]
        return self._with_refused(_changes_told_by(found), wanted)

    def _with_refused(self, found: Changes, wanted: Mapping[type[Model], Iterable[Key]]) -> Changes:
        """
        Add what LOCAL refused, however old it is.

        REMOTE keeps those changes in its quarantine; its log may be pruned meanwhile.
        """
        for model, keys in wanted.items():
            refused = self._refused.get(model, {})
            for key in refused.keys() & set(keys) if refused else ():
                change = refused[key].copy()
                later = found.rows.setdefault((model, key), change)
                if later is change:
                    change.deleted = change.date  # this counts only where REMOTE lacks the row
                else:
                    later.follow(change)
        return found

    def _unsent(self) -> list[Range]:
        """Return the ids of entries that LOCAL has not received."""
        logged, gaps = self._logged_and_gaps()
        return [*logged, *gaps]

    def _logged_and_gaps(self) -> tuple[list[Range], list[Range]]:
        """Return the ids of what REMOTE has yet to send, and those of gaps, which may be in its log only later."""
        copied = self._session.copied_log
        found = pending_ids(self._session.remote.alias, self._received_batch)
        logged, gaps = (
            [Range(max(ids.first, copied + 1), ids.last) for ids in ranges if ids.last > copied]
            for ranges in (found.logged, found.gaps)
        )
        return logged, gaps

    def is_quiet_about(
        self, models: Collection[type[Model]], since: datetime, however_old: Collection[type[Model]]
    ) -> bool:
        """
        Return whether it says nothing of rows of these models that can be newer than `since`; of the models
        `however_old`, nothing that REMOTE has not sent.
        """
        if self._session.peer_on_remote is None:
            return True
        family = {each for model in models for each in (model, *same_key_children(model))}
        if not family.isdisjoint(self._refused) or self._has_unsent(however_old):
            return False
        floor = self._find_floor(self._on_its_clock(since))
        # In their order, since PostgreSQL may otherwise read the whole log to find none.
        if floor is not None and self._about(models).filter(id__gt=floor).order_by("id").first() is not None:
            return False
        # Asked after the log was read, and anew: it may have been pruned meanwhile.
        self._forget("_pruned_until")
        return not self.may_have_lost(since)

    def says_something_of_sets(self, models: Collection[type[Model]], since: datetime) -> bool:
        """Return whether it has changes of sets of these models' objects that can be newer than `since`."""
        floor = self._find_floor(self._on_its_clock(since)) if models else None
        if floor is None:
            return False
        found = self._about(models).filter(id__gt=floor, action=M2M_CHANGE)
        return found.order_by("id").first() is not None

    def _has_unsent(self, models: Collection[type[Model]]) -> bool:
        """Return whether it may say something of these models that LOCAL has not received, however old."""
        if not models:
            return False
        if any(each in self._unread for model in models for each in (model, *same_key_children(model))):
            return True
        unsent = self._unsent()
        return len(unsent) > MOST_RANGES or any(
            self._about(models).filter(id__range=ids).order_by("id").first() for ids in unsent
        )

    def _about(self, models: Iterable[type[Model]]) -> QuerySet[ChangeLog]:
        remote = self._session.remote
        types = [
            remote.content_type_id(each) for model in models for each in (model, *same_key_children(model))
        ]
        return self._entries_of_all().filter(content_type_id__in=types)

    def _entries(self, floor: int, wanted: Mapping[type[Model], Iterable[Key]]) -> Iterable[Entry]:
        remote = self._session.remote
        node = self._session.peer.uuid if self._session.forwards else None
        for model, keys in wanted.items():
            texts = [to_text_or_pair(model, key) for key in keys]
            types = [remote.content_type_id(each) for each in (model, *same_key_children(model))]
            for start in range(0, len(texts), 10_000):
                found = self._entries_of_all().filter(
                    id__gt=floor, content_type_id__in=types, object_id__in=texts[start : start + 10_000]
                )
                if node is None:
                    yield from read_entries(remote, found.order_by("id"))
                    continue
                # Not what came from LOCAL. In the order in which it was made: it may have arrived in another.
                found = found.exclude(origin=self._session.node).exclude(sender=self._session.node)
                several = read_entries(remote, found, node=node)
                yield from sorted(several, key=lambda entry: (entry.date, entry.id))

    def _find_floor(self, since: datetime) -> int | None:
        """
        Return an id up to which entries need not be read; None where that is all of them.

        They are older than `since`, and LOCAL has received them or they are too old to look for.
        """
        self._highest = self._entries_of_all().aggregate(top=Max("id"))["top"] or 0
        if self._floor is None or self._floor[0] > since:
            self._forget("_received")
            self._floor = (since, min(self._floor_by_date(since), self._floor_of_the_unsent()))
        floor = self._floor[1]
        return floor if floor < self._highest else None

    def _floor_by_date(self, since: datetime) -> int:
        return floor_by_date(self._session.remote, since, self._highest)

    def _floor_of_the_unsent(self) -> int:
        """Return an id below those of entries that REMOTE has not sent: unread ones would be overwritten silently."""
        logged, gaps = self._logged_and_gaps()
        near = self._highest - LOOK_BACK
        if not self._received_batch:  # perhaps it never sends anything, and keeps its whole log
            return max(min(ids.first for ids in [*logged, *gaps]) - 1, near, 0)
        # A gap may stay for ever where the account may not see the transactions.
        firsts = [ids.first for ids in logged] + [ids.first for ids in self._unread.values()]
        firsts += [max(ids.first, near) for ids in gaps]
        return max(min(firsts) - 1, 0)

    def _entries_of_all(self) -> QuerySet[ChangeLog]:
        return ChangeLog.objects.using(self._session.remote.alias)

    def _is_known(self, entry: Entry, unsent: Collection[Range]) -> bool:
        """Return whether LOCAL has received the entry, as a copy of REMOTE or by a run in the other direction."""
        if entry.id <= self._session.copied_log:
            return True
        if self._signs and sign_of(entry, self._session.peer.uuid or self._session.node) in self._signs:
            return True
        if self._is_unread(entry) or any(ids.first <= entry.id <= ids.last for ids in unsent):
            return False
        is_received = any(ids.first <= entry.id <= ids.last for ids in self._received)
        if not is_received and not self._has_received_what_was_pruned:
            return False
        if not self._refused:
            return True
        if entry.action == M2M_CHANGE:  # members are refused one by one
            return self._refused.keys().isdisjoint(m2m.through for m2m in sets_of(entry))
        tables = (entry.model, *same_key_parents(entry.model))
        return all(entry.key not in self._refused.get(table, ()) for table in tables)

    def _read_unread(self) -> dict[type[Model], Span]:
        if not self._received_batch:
            return {}
        remote = self._session.remote
        spans = Unread.from_text(Node.objects.using(remote.alias).get(pk=1).unread).spans
        models = {remote.model_of(type_id): span for type_id, span in spans.items()}
        return {model: span for model, span in models.items() if model is not None}

    def _is_unread(self, entry: Entry) -> bool:
        span = self._unread.get(entry.model)
        return span is not None and span.first <= entry.id <= span.last

    def _read_refused(self) -> dict[type[Model], dict[Key, Change]]:
        peer, remote = self._session.peer_on_remote, self._session.remote
        if peer is None or not self._received_batch:
            return {}
        rows = SetAside.objects.using(remote.alias).filter(peer_id=peer.pk, batch__lte=self._received_batch)
        return quarantined_by(remote, rows.order_by("batch", "id"))

    @cached_property
    def _has_received_what_was_pruned(self) -> bool:
        """Whether LOCAL has received the newest entry, which pruning leaves though it drops its batch."""
        node = Node.objects.using(self._session.remote.alias).get(pk=1)
        return node.forgotten < node.pruned <= self._received_batch

    @cached_property
    def _received(self) -> list[Range]:
        if not self._received_batch:
            return []
        node = Node.objects.using(self._session.remote.alias).get(pk=1)
        batches = Batch.objects.using(self._session.remote.alias).filter(number__gt=node.forgotten)
        floor = self._floor[1] if self._floor else 0
        found: list[Range] = []
        received = batches.filter(number__lte=self._received_batch).order_by("-number")
        for text in received.values_list("ranges", flat=True):
            ranges = list(from_text(text))
            if ranges and max(ids.last for ids in ranges) <= floor:
                break
            found += ranges
        return found


def _changes_told_by(entries: Iterable[Entry]) -> Changes:
    """Return the changes that these entries tell of."""
    changes = coalesce(entries)
    changes.rows = {row_id: change for row_id, change in changes.rows.items() if not change.says_nothing}
    return changes
