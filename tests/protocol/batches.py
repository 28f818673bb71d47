"""The rules up to REMOTE's transaction: the handshake, forming a batch, reading what LOCAL has to say."""

from __future__ import annotations

from tests.protocol.state import (
    Batch,
    Entry,
    Gap,
    Moment,
    Node,
    Note,
    Pair,
    Row,
    Run,
    State,
    remember,
    with_node,
    with_peer,
)
from tests.protocol.words import (
    Scope,
    Stopped,
    later,
    newest_notes,
)


class Batches:
    scope: Scope

    # -- handshake: handshake.py, receipts.py, checkpoint.py ------------------------------------------------

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
        return run._replace(
            arrived=number, step="recover" if number > checkpoint else "form", pruned=remote.pruned
        )

    def is_of_another_batch(self, local: Node, number: int, token: int) -> bool:
        return any(batch.number == number and batch.token != token for batch in local.batches)

    def recover(self, state: State, run: Run) -> State:
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

    # -- form: log/batches.py -------------------------------------------------------------------------------

    def formed_already(self, state: State, run: Run) -> Batch | None:
        local = state.nodes[self.scope.links[run.link][0]]
        return next((batch for batch in local.batches if batch.number == run.arrived + 1), None)

    def is_all_formed(self, local: Node) -> bool:
        return not local.gaps and all(entry.id <= local.highest for entry in local.log)

    def new_ids(self, local: Node) -> tuple[int, ...]:
        return tuple(sorted(entry.id for entry in local.log if entry.id > local.highest))[
            : self.scope.batch_size
        ]

    #: Who is writing is asked before the gaps are looked into: whoever is not writing any more has been seen.
    looks_first = False

    def writers(self, local: Node) -> frozenset[int]:
        return frozenset(transaction.name for transaction in local.open)

    def gaps(self, local: Node, new: tuple[int, ...]) -> list[int]:
        return sorted({*range(local.highest + 1, max(new, default=local.highest) + 1)} - {*new})

    def left_of(self, gap: Gap, writers: frozenset[int]) -> Gap | None:
        """What becomes of a gap in which nothing has appeared; it is forgotten when nobody is left to fill it."""
        waiting = gap.writers & writers
        return Gap(gap.id, waiting) if waiting else None

    def form(self, local: Node, run: Run, now: Moment) -> tuple[Node, Batch | None]:
        """Write down a batch of new ids, and of those that have appeared in gaps."""
        gaps = [*local.gaps, *(Gap(number, run.writers) for number in self.gaps(local, run.new))]
        visible = run.visible if run.visible is not None else {entry.id for entry in local.log}
        filled = [gap.id for gap in gaps if gap.id in visible]
        left = [self.left_of(gap, run.writers) for gap in gaps if gap.id not in filled]
        ids = tuple(sorted([*filled, *run.new]))
        local = local._replace(
            highest=max([local.highest, *run.new]), gaps=tuple(gap for gap in left if gap is not None)
        )
        return self.write_batch(local, ids, now) if ids else (local, None)

    def write_batch(self, local: Node, ids: tuple[int, ...], now: Moment) -> tuple[Node, Batch]:
        batch = Batch(local.formed + 1, ids, local.life, now if self.scope.prunes else 0)
        return local._replace(formed=batch.number, batches=(*local.batches, batch)), batch

    # -- read: log/changes.py, apply/batch.py, rows.py ------------------------------------------------------

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

    # -- quarantine: quarantine/store.py, log/remote_log.py -------------------------------------------------

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
