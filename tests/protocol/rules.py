"""
The rules of the protocol: what a run does at each step.

Each method is one transaction or one question, so that anything may happen between two of them. They mirror the modules
of ``synchro/replay`` that stand above them. A mutation is a subclass that gets one of them wrong.
"""

from __future__ import annotations

from collections.abc import Iterable

from tests.protocol.decisions import Decisions
from tests.protocol.state import (
    Batch,
    Effect,
    Entry,
    Node,
    Pair,
    Peer,
    Row,
    Run,
    State,
    drop,
    put,
    remember,
    with_node,
    with_peer,
)
from tests.protocol.words import (
    Conflict,
    Scope,
    Stopped,
    Wrong,
    losers,
    newest_notes,
    recorded,
)


class Rules(Decisions):
    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    # -- commit: apply/writer.py, checkpoint.py -------------------------------------------------------------

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
            return state  # taken for dead, and another run has recovered all this
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


__all__ = ["Conflict", "Rules", "Scope", "Stopped", "Wrong"]
