"""
The rules of the protocol: what a run does at each step, and what people do meanwhile.

Each method is one transaction or one question, so that anything may happen between two of them. They mirror the modules
of ``synchro/replay`` that their docstrings name. A mutation is a subclass that gets one of them wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tests.protocol.state import (
    NOTHING,
    Batch,
    Effect,
    Entry,
    Hole,
    Moment,
    Node,
    Note,
    Pair,
    Peer,
    Plan,
    Record,
    Row,
    Run,
    State,
    drop,
    put,
    remember,
    with_node,
    with_peer,
)


class Wrong(Exception):
    """A promise is broken."""


class Stopped(Exception):
    """A run that refuses to go on, in words."""


class Scope(NamedTuple):
    """How large the model is."""

    #: From which database to which.
    links: tuple[tuple[int, int], ...] = ((0, 1),)
    #: How many changes each database makes.
    writes: tuple[int, ...] = (3, 0)
    objects: int = 2
    #: How many transactions are open on a database at once, with how many changes each.
    writers: int = 2
    changes: int = 1
    batch_size: int = 2
    crashes: int = 1
    #: How often a run loses its lock, and another one begins beside it.
    drops: int = 0
    #: Whether REMOTE hands out keys of its own.
    references: bool = True
    #: Whether objects can be deleted, and whether transactions are rolled back.
    deletes: bool = True
    rollbacks: bool = True
    #: How often somebody asks for what is in quarantine to be tried again; None where there is none.
    retries: int | None = None
    #: Whether REMOTE takes an object when it is new, and refuses its changes only.
    refuses_changes: bool = False
    prunes: bool = False
    #: How often a copy of LOCAL is taken and put back.
    copies: int = 0


class Conflict(NamedTuple):
    """REMOTE's own changes of a row that LOCAL has not received."""

    written: Moment
    deleted: bool
    is_born: bool


class Rules:
    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    # -- handshake: agree.py, receipts.py, adopt.py ----------------------------------------------------------

    def shake_hands(self, state: State, run: Run) -> Run:
        """What has arrived, by REMOTE's receipt; whether that can be true."""
        here, there = self.scope.links[run.link]
        local, remote = state.nodes[here], state.nodes[there]
        number, token = remote.peers[here].receipt
        checkpoint = local.peers[there].checkpoint
        if number > local.formed or self.is_of_another_batch(local, number, token):
            raise Stopped("LOCAL is older than what REMOTE has a receipt for")
        if number < checkpoint:
            raise Stopped("REMOTE is older than LOCAL's checkpoint")
        if local.pruned > number:
            raise Stopped("what REMOTE lacks was pruned")
        return run._replace(arrived=number, step="adopt" if number > checkpoint else "form")

    def is_of_another_batch(self, local: Node, number: int, token: int) -> bool:
        return any(batch.number == number and batch.token != token for batch in local.batches)

    def adopt(self, state: State, run: Run) -> State:
        """Take over the references of what arrived, and forget those of what neither side has any more."""
        here, there = self.scope.links[run.link]
        local, remote = state.nodes[here], state.nodes[there]
        peer = local.peers[there]
        known = peer.checkpoint
        pairs = peer.pairs
        if self.scope.references:
            ids = {i for b in local.batches if known < b.number <= run.arrived for i in b.ids}
            deleted = {entry.key for entry in local.log if entry.id in ids and entry.action == "del"}
            here_now, there_now = dict(local.rows), dict(remote.rows)
            pairs = frozenset(
                p for p in pairs if p.own not in deleted or p.own in here_now or p.other in there_now
            )
            views = [p for p in remote.peers[here].pairs if known < p.batch <= run.arrived]
            pairs = remember(pairs, self.taken_over(views))
        peer = peer._replace(checkpoint=run.arrived, pairs=pairs)
        return with_node(state, here, with_peer(local, there, peer))

    def taken_over(self, views: list[Pair]) -> list[Pair]:
        return [Pair(view.other, view.own, view.batch) for view in views]

    # -- form: form.py --------------------------------------------------------------------------------------

    def formed_already(self, state: State, run: Run) -> Batch | None:
        local = state.nodes[self.scope.links[run.link][0]]
        return next((batch for batch in local.batches if batch.number == run.arrived + 1), None)

    def is_all_formed(self, local: Node) -> bool:
        return not local.holes and all(entry.id <= local.highest for entry in local.log)

    def new_ids(self, local: Node) -> tuple[int, ...]:
        return tuple(sorted(entry.id for entry in local.log if entry.id > local.highest))[
            : self.scope.batch_size
        ]

    #: Who is writing is asked before the holes are looked into: whoever is not writing any more has been seen.
    looks_first = False

    def writers(self, local: Node) -> frozenset[int]:
        return frozenset(transaction.name for transaction in local.open)

    def gaps(self, local: Node, new: tuple[int, ...]) -> list[int]:
        return sorted({*range(local.highest + 1, max(new, default=local.highest) + 1)} - {*new})

    def left_of(self, hole: Hole, writers: frozenset[int]) -> Hole | None:
        """What becomes of a hole in which nothing has appeared; it is forgotten when nobody is left to fill it."""
        waiting = hole.writers & writers
        return Hole(hole.id, waiting) if waiting else None

    def form(self, local: Node, run: Run, now: Moment) -> tuple[Node, Batch | None]:
        """Write down a batch of new ids, and of those that have appeared in holes."""
        holes = [*local.holes, *(Hole(number, run.writers) for number in self.gaps(local, run.new))]
        visible = run.visible if run.visible is not None else {entry.id for entry in local.log}
        filled = [hole.id for hole in holes if hole.id in visible]
        left = [self.left_of(hole, run.writers) for hole in holes if hole.id not in filled]
        ids = tuple(sorted([*filled, *run.new]))
        local = local._replace(
            highest=max([local.highest, *run.new]), holes=tuple(hole for hole in left if hole is not None)
        )
        return self.write_batch(local, ids, now) if ids else (local, None)

    def write_batch(self, local: Node, ids: tuple[int, ...], now: Moment) -> tuple[Node, Batch]:
        batch = Batch(local.formed + 1, ids, local.life, now if self.scope.prunes else 0)
        return local._replace(formed=batch.number, batches=(*local.batches, batch)), batch

    # -- read: coalesce.py, carry.py, read.py ---------------------------------------------------------------

    #: Whether that is done when the run begins, before REMOTE's receipt is held.
    forgets_early = False

    def forget_what_was_in_vain(self, state: State, run: Run) -> State:
        """Records of batches that did not arrive: it will be decided again. REMOTE's receipt is held meanwhile."""
        here, there = self.scope.links[run.link]
        local = state.nodes[here]
        peer = local.peers[there]
        records = frozenset(record for record in peer.records if record.batch <= run.arrived)
        return with_node(state, here, with_peer(local, there, peer._replace(records=records)))

    def read_entries(self, state: State, run: Run) -> Run:
        """One change for each object of the batch, and what rests in quarantine and is about them."""
        local = state.nodes[self.scope.links[run.link][0]]
        ids = run.batch.ids if run.batch else ()
        entries = [entry for entry in local.log if entry.id in ids]
        if run.batch and run.batch.number <= local.pruned:
            raise Stopped("what REMOTE lacks was pruned")
        born = {entry.key for entry in entries if entry.action == "add"}
        newest: dict[int, Entry] = {}
        for entry in entries:
            newest[entry.key] = later(newest.get(entry.key), entry)
        for note in self.set_aside(state, run):
            if run.is_retry or note.key in newest:
                kept = Entry(0, note.key, note.written, note.action)
                newest[note.key] = later(kept, newest.get(note.key))
        return run._replace(
            changes=tuple(sorted(newest.values(), key=lambda entry: entry.key)), born=frozenset(born)
        )

    def note_received(self, state: State, run: Run) -> Run:
        """Before LOCAL's rows are read: they do not know what LOCAL receives from then on."""
        here, there = self.scope.links[run.link]
        taken = state.nodes[here].peers[there].receipt[0]
        return run._replace(taken=taken, held=self.held_back(state, run.link, taken))

    #: Whether that happens before the rows are read, as it must.
    notes_received_first = True

    def read_rows(self, state: State, run: Run) -> Run:
        local = state.nodes[self.scope.links[run.link][0]]
        keys = {entry.key for entry in run.changes}
        return run._replace(rows=tuple((key, row) for key, row in local.rows if key in keys))

    # -- quarantine: aside.py, log.py -----------------------------------------------------------------------

    def set_aside(self, state: State, run: Run) -> list[Note]:
        """What is in quarantine: of each object the newest note whose batch has arrived."""
        here, there = self.scope.links[run.link]
        return newest_notes(state.nodes[here].peers[there].notes, run.arrived)

    def held_back(self, state: State, link: int, taken: int) -> tuple[Note, ...]:
        """What LOCAL has refused: it has not received that, though its batch arrived."""
        here, there = self.scope.links[link]
        return tuple(newest_notes(state.nodes[there].peers[here].notes, taken))

    def refuses(self, state: State, row: Row) -> bool:
        return row.object in state.refused and (len(row.seen) > 1 or not self.scope.refuses_changes)

    # -- identity: identify.py, lost.py, receipts.py --------------------------------------------------------

    def hold_receipt(self, state: State, run: Run) -> None:
        here, there = self.scope.links[run.link]
        if state.nodes[there].peers[here].receipt[0] != run.arrived:
            raise Stopped("another run has taken this batch")

    def identify(self, state: State, run: Run) -> Run:
        """REMOTE's keys of the objects; None where LOCAL knows none."""
        here, there = self.scope.links[run.link]
        local = state.nodes[here]
        if not self.scope.references:
            known = {entry.key: entry.key for entry in run.changes}
        else:
            known = {pair.own: pair.other for pair in local.peers[there].pairs}
        identities = tuple((entry.key, known.get(entry.key)) for entry in run.changes)
        rows = run.rows
        if self.scope.references:
            rows = self.without_lost(local, dict(identities), rows)
        return run._replace(identities=identities, rows=rows)

    def without_lost(
        self, local: Node, identities: Mapping[int, int | None], rows: tuple[tuple[int, Row], ...]
    ) -> tuple[tuple[int, Row], ...]:
        """Without rows that look new and that LOCAL has lost since they were read: they took their reference along."""
        still = dict(local.rows)
        return tuple((key, row) for key, row in rows if identities[key] is not None or key in still)

    def locked(self, state: State, run: Run) -> set[int]:
        """The rows of REMOTE that cannot change from identity to commit."""
        if run.step not in ("resolve", "record", "commit"):
            return set()
        return {remote for _key, remote in run.identities if remote is not None}

    # -- conflicts: log.py, resolve.py, policy.py, record.py ------------------------------------------------

    def their_changes(self, state: State, run: Run) -> dict[int, Conflict]:
        """By REMOTE's own log, less what LOCAL has received."""
        remote = state.nodes[self.scope.links[run.link][1]]
        received = {i for batch in remote.batches if batch.number <= run.taken for i in batch.ids}
        if remote.pruned <= run.taken:
            received |= self.left_by_pruning(remote)
        held = {note.key: note for note in run.held}
        found: dict[int, Conflict] = {}
        for entry in sorted(remote.log, key=lambda entry: entry.id):
            if entry.id not in received or entry.key in held:
                known = found.get(entry.key)
                written = max(entry.written, known.written if known else 0)
                is_born = known.is_born if known else entry.action == "add"
                found[entry.key] = Conflict(written, entry.action == "del", is_born)
        for key, note in held.items():
            found.setdefault(key, Conflict(note.written, note.action == "del", False))
        return self.with_presumed(remote, run, found)

    def left_by_pruning(self, remote: Node) -> set[int]:
        """The newest entry stays when its batch is dropped."""
        kept = {i for batch in remote.batches for i in batch.ids} | {hole.id for hole in remote.holes}
        return {entry.id for entry in remote.log if entry.id <= remote.highest} - kept

    def with_presumed(self, remote: Node, run: Run, found: dict[int, Conflict]) -> dict[int, Conflict]:
        """What REMOTE has pruned and LOCAL had not received counts as changed there too, right before."""
        if remote.pruned > run.taken:
            for (_key, other), change in zip(run.identities, run.changes, strict=True):
                if other is not None and change.written <= remote.pruned_until:
                    found.setdefault(other, Conflict(change.written - 1, True, False))
        return found

    def is_newer(self, run: Run, ours: Moment, theirs: Moment) -> bool:
        return ours > theirs

    def resolve(self, state: State, run: Run) -> Plan:
        """What becomes of each object of the batch."""
        here, there = self.scope.links[run.link]
        local, remote = state.nodes[here], state.nodes[there]
        assert run.batch is not None
        rows, there_now, theirs = dict(run.rows), dict(remote.rows), self.their_changes(state, run)
        identities = dict(run.identities)
        planned = Planned(run.batch.number)
        for change in run.changes:
            key, other = change.key, identities[change.key]
            row, rival = rows.get(key), theirs.get(other) if other is not None else None
            exists = other in there_now
            if row is None:
                lost = dict(local.gone).get(key)
                if exists and rival and not self.is_newer(run, change.written, rival.written):
                    planned.record(key, losers(lost, there_now[other], change.written))  # type: ignore[index]
                    continue  # who it is, is not forgotten
                if exists:
                    if rival:
                        planned.record(key, losers(there_now[other], lost, rival.written))  # type: ignore[index]
                    planned.effects.append(Effect(key, other, None))
                planned.forgotten.append(key)
            elif exists:
                theirs_now = there_now[other]  # type: ignore[index]
                if rival and theirs_now.written != row.written:
                    won = self.is_newer(run, change.written, rival.written)
                    planned.decide(key, (row, change.written), (theirs_now, rival.written), won)
                    if not won:
                        continue
                planned.effects.append(Effect(key, other, row))
            else:
                if rival and rival.deleted and not rival.is_born:
                    lost = dict(remote.gone).get(other)  # type: ignore[arg-type]
                    won = self.is_newer(run, change.written, rival.written)
                    planned.decide(key, (row, change.written), (lost, rival.written), won)
                    if not won:
                        continue
                planned.effects.append(Effect(key, other, row))
        return self.with_quarantine(state, run, planned.plan())

    def with_quarantine(self, state: State, run: Run, plan: Plan) -> Plan:
        """Without what REMOTE refuses; what becomes of it is noted under the batch's number."""
        assert run.batch is not None
        number = run.batch.number
        refused = {
            effect.local
            for effect in plan.effects
            if effect.row is not None and self.refuses(state, effect.row)
        }
        if refused and self.scope.retries is None:
            raise Stopped("REMOTE refuses a row")
        changes = {entry.key: entry for entry in run.changes}
        notes = [Note(number, key, changes[key].written, changes[key].action, False) for key in refused]
        for note in self.set_aside(state, run):
            if note.key in changes and note.key not in refused:
                notes.append(note._replace(batch=number, is_over=True))
        return plan._replace(
            effects=tuple(effect for effect in plan.effects if effect.local not in refused),
            forgotten=tuple(key for key in plan.forgotten if key not in refused),
            records=frozenset(record for record in plan.records if record.key not in refused),
            notes=frozenset(notes),
        )

    #: What is decided and what is refused is written down on LOCAL before REMOTE commits.
    records_first = True

    def record(self, state: State, run: Run) -> State:
        """LOCAL's transaction within REMOTE's; what an attempt that did not get to its end wrote, is replaced."""
        here, there = self.scope.links[run.link]
        local = state.nodes[here]
        peer, plan = local.peers[there], run.plan
        assert run.batch is not None
        number = run.batch.number
        others = frozenset(note for note in peer.notes if note.batch != number)
        peer = peer._replace(notes=others | plan.notes)
        if plan.records:
            known = frozenset(record for record in peer.records if record.batch != number)
            peer = peer._replace(records=known | plan.records)
        return with_node(state, here, with_peer(local, there, peer))

    # -- commit: write.py, acknowledge.py -------------------------------------------------------------------

    def commit(self, state: State, run: Run) -> tuple[State, Run]:
        """REMOTE's rows, its own view of the references, and the receipt, in one transaction."""
        here, there = self.scope.links[run.link]
        remote, plan = state.nodes[there], run.plan
        pairs: list[Pair] = []
        assert run.batch is not None
        for effect in plan.effects:
            if effect.row is None:
                remote = self.erase(state, run, remote, effect)
            else:
                remote, key = self.write(state, run, remote, effect)
                if dict(run.identities)[effect.local] != key or key not in dict(state.nodes[there].rows):
                    pairs.append(Pair(key, effect.local, run.batch.number))
        peer = remote.peers[here]
        if self.scope.references:
            removed = {effect.remote for effect in plan.effects if effect.row is None}
            kept = [pair for pair in peer.pairs if pair.own not in removed]
            peer = peer._replace(pairs=remember(kept, self.signed_pairs(pairs)))
        remote = with_peer(remote, here, self.with_receipt(peer, run.batch))
        plan = plan._replace(pairs=tuple((pair.other, pair.own) for pair in pairs))
        return with_node(state, there, remote), run._replace(plan=plan)

    def with_receipt(self, peer: Peer, batch: Batch) -> Peer:
        return peer._replace(receipt=(batch.number, batch.token))

    def signed_pairs(self, pairs: list[Pair]) -> list[Pair]:
        return pairs

    def write(self, state: State, run: Run, remote: Node, effect: Effect) -> tuple[Node, int]:
        row, key = effect.row, effect.remote
        assert row is not None
        rows = dict(remote.rows)
        if key is None:
            key = remote.next_key
            remote = remote._replace(next_key=key + 1)
        if any(other.object == row.object for k, other in rows.items() if k != key):
            raise Wrong(f"object {row.object} is doubled")
        if key in rows and rows[key].object != row.object:
            raise Wrong(f"object {row.object} is written over object {rows[key].object}")
        before = rows.get(key) or dict(remote.gone).get(key)
        self.check_overwritten(state, run, before, row)
        remote = remote._replace(rows=put(remote.rows, key, row), gone=drop(remote.gone, key))
        return self.captured(remote, Entry(remote.next_id, key, row.written, "set")), key

    def erase(self, state: State, run: Run, remote: Node, effect: Effect) -> Node:
        here = self.scope.links[run.link][0]
        assert effect.remote is not None
        before = dict(remote.rows).get(effect.remote)
        lost = dict(state.nodes[here].gone).get(effect.local)
        if before is None:
            return remote
        if lost is not None and lost.object != before.object:
            raise Wrong(f"object {before.object} is deleted in the place of object {lost.object}")
        if lost is not None:
            self.check_overwritten(state, run, before, lost)
        gone = put(remote.gone, effect.remote, lost or before)
        remote = remote._replace(rows=drop(remote.rows, effect.remote), gone=gone)
        return self.captured(remote, Entry(remote.next_id, effect.remote, (lost or before).written, "del"))

    def captured(self, remote: Node, entry: Entry) -> Node:
        """What a run writes is not captured on REMOTE."""
        return remote

    def check_overwritten(self, state: State, run: Run, before: Row | None, after: Row) -> None:
        """What the new value does not know of must be on record by now, if that is written first."""
        if before is None or not self.records_first:
            return
        missing = losers(before, after) - recorded(state, self.scope, run)
        if missing:
            raise Wrong(
                f"object {after.object}: {sorted(missing)} are overwritten by {after.written}, without a record"
            )

    def acknowledge(self, state: State, run: Run) -> State:
        """LOCAL's references and checkpoint."""
        here, there = self.scope.links[run.link]
        local = state.nodes[here]
        peer, plan = local.peers[there], run.plan
        assert run.batch is not None
        if self.is_acknowledged(peer.checkpoint, run.batch.number):
            return state  # taken for dead, and another run has adopted all this
        pairs = peer.pairs
        if self.scope.references:
            kept = [pair for pair in pairs if pair.own not in plan.forgotten]
            pairs = remember(kept, [Pair(own, other, run.batch.number) for own, other in plan.pairs])
        arrived = [note for note in peer.notes if note.batch <= run.batch.number]
        later_ones = [note for note in peer.notes if note.batch > run.batch.number]
        notes = frozenset([*newest_notes(arrived, run.batch.number), *later_ones])
        peer = peer._replace(checkpoint=run.batch.number, pairs=pairs, notes=notes)
        return with_node(state, here, with_peer(local, there, peer))

    def is_acknowledged(self, checkpoint: int, number: int) -> bool:
        return checkpoint >= number

    # -- prune: prune.py ------------------------------------------------------------------------------------

    def needed_from(self, local: Node, peers: Iterable[int]) -> int:
        """The number of the last batch that every REMOTE has."""
        return min(local.peers[peer].checkpoint for peer in peers)

    def prune(self, state: State, place: int) -> State:
        """Drop all batches, with their entries, that nobody needs."""
        local = state.nodes[place]
        peers = [there for here, there in self.scope.links if here == place]
        done = self.needed_from(local, peers)
        old = {i for batch in local.batches if batch.number <= done for i in batch.ids} - {local.highest}
        local = local._replace(
            log=tuple(entry for entry in local.log if entry.id not in old),
            batches=tuple(batch for batch in local.batches if batch.number > done),
            pruned=max(local.pruned, done),
            pruned_until=max([local.pruned_until, *(b.formed for b in local.batches if b.number <= done)]),
        )
        return with_node(state, place, local)


class Planned:
    """A plan that is being made."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.effects: list[Effect] = []
        self.forgotten: list[int] = []
        self.records: list[Record] = []

    def record(self, key: int, moments: frozenset[Moment]) -> None:
        if moments:
            self.records.append(Record(self.number, key, moments))

    def decide(
        self, key: int, ours: tuple[Row, Moment], theirs: tuple[Row | None, Moment], is_won: bool
    ) -> None:
        (loser, until), (winner, _) = (theirs, ours) if is_won else (ours, theirs)
        self.record(key, losers(loser, winner, until))

    def plan(self) -> Plan:
        return Plan(tuple(self.effects), tuple(self.forgotten), records=frozenset(self.records))


def later(first: Entry | None, second: Entry | None) -> Entry:
    """What two entries of one object say together."""
    if first is None or second is None:
        found = first or second
        assert found is not None
        return found
    return second._replace(written=max(first.written, second.written))


def losers(loser: Row | None, winner: Row | None, until: Moment | None = None) -> frozenset[Moment]:
    """The changes, up to a moment, that are in the one and not in the other."""
    if loser is None:
        return NOTHING
    lost = loser.seen - (winner.seen if winner else NOTHING)
    return lost if until is None else frozenset(moment for moment in lost if moment <= until)


def newest_notes(notes: Iterable[Note], arrived: int) -> list[Note]:
    found: dict[int, Note] = {}
    for note in sorted(notes):
        if note.batch <= arrived:
            found[note.key] = note
    return [note for note in found.values() if not note.is_over]


def recorded(state: State, scope: Scope, run: Run | None = None) -> frozenset[Moment]:
    """All changes that a record says have lost, of batches that have arrived, or that are about to."""
    found: set[Moment] = set()
    for place, (here, there) in enumerate(scope.links):
        arrived = state.nodes[there].peers[here].receipt[0]
        if run is not None and run.link == place and run.batch is not None:
            arrived = max(arrived, run.batch.number)
        for record in state.nodes[here].peers[there].records:
            if record.batch <= arrived:
                found |= record.losers
    return frozenset(found)
