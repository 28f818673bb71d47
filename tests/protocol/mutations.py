"""
Rules with one mistake each, which the checker must find: else what it says of the right ones means nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tests.protocol.rules import Conflict, Rules
from tests.protocol.state import Batch, Entry, Gap, Moment, Node, Note, Pair, Peer, Row, Run, State


class TakesTheHighestIdForThePosition(Rules):
    """What commits later, with a lower id, is never looked for."""

    def gaps(self, local: Node, new: tuple[int, ...]) -> list[int]:
        return []


class ForgetsGapsAtTheNextLook(Rules):
    def left_of(self, gap: Gap, writers: frozenset[int]) -> Gap | None:
        return None if gap.id < max((name for name in writers), default=0) else super().left_of(gap, writers)


class ForgetsAGapWhenAnyWriterEnds(Rules):
    def left_of(self, gap: Gap, writers: frozenset[int]) -> Gap | None:
        return gap if gap.writers <= writers and gap.writers else None


class LooksIntoGapsBeforeItAsksWhoWrites(Rules):
    looks_first = True


class WritesTheReceiptAfterwards(Rules):
    """In LOCAL's step after REMOTE's commit, not within it."""

    def with_receipt(self, peer: Peer, batch: Batch) -> Peer:
        return peer

    def acknowledge(self, state: State, run: Run) -> State:
        here, there = self.scope.links[run.link]
        assert run.batch is not None
        state = super().acknowledge(state, run)
        remote = state.nodes[there]
        peer = remote.peers[here]._replace(receipt=(run.batch.number, run.batch.token))
        peers = (*remote.peers[:here], peer, *remote.peers[here + 1 :])
        nodes = (*state.nodes[:there], remote._replace(peers=peers), *state.nodes[there + 1 :])
        return state._replace(nodes=nodes)


class RecoversNoReferences(Rules):
    """After a crash only the checkpoint is moved on."""

    def taken_over(self, views: list[Pair]) -> list[Pair]:
        return []


class LeavesReferencesToLocal(Rules):
    """REMOTE keeps no view of the pairs of a batch."""

    def signed_pairs(self, pairs: list[Pair]) -> list[Pair]:
        return []


class DoesNotHoldTheReceipt(Rules):
    def hold_receipt(self, state: State, run: Run) -> None:
        pass


class ForgetsDecisionsBeforeItHoldsTheReceipt(Rules):
    forgets_early = True


class SkipsTheToken(Rules):
    def is_of_another_batch(self, local: Node, number: int, token: int) -> bool:
        return False


class NotesWhatWasReceivedAfterItHasRead(Rules):
    notes_received_first = False


class AsksNobodyWhoIsNewer(Rules):
    """LOCAL's change is written whatever REMOTE did, as if it had done nothing."""

    def their_changes(self, state: State, run: Run) -> dict[int, Conflict]:
        return {}


class TakesTheOlderForTheNewer(Rules):
    def is_newer(self, run: Run, ours: Moment, theirs: Moment) -> bool:
        return ours < theirs


class CapturesWhatItWrites(Rules):
    """REMOTE's log has it as REMOTE's own change, which goes back."""

    def captured(self, remote: Node, entry: Entry) -> Node:
        return remote._replace(log=(*remote.log, entry), next_id=entry.id + 1)


class TakesLostRowsForNewOnes(Rules):
    """A row that a run the other way has deleted, with its reference, since it was read."""

    def without_lost(
        self, local: Node, identities: Mapping[int, int | None], rows: tuple[tuple[int, Row], ...]
    ) -> tuple[tuple[int, Row], ...]:
        return rows


class LocksNoRows(Rules):
    def locked(self, state: State, run: Run) -> set[int]:
        return set()


class WritesDownAfterwardsWhatItDecided(Rules):
    """Conflicts and refusals, once REMOTE has committed."""

    records_first = False


class TakesWhatWasRefusedForReceived(Rules):
    def held_back(self, state: State, link: int, taken: int) -> tuple[Note, ...]:
        return ()


class AsksLaterWhatWasRefused(Rules):
    """When REMOTE's log is read; a run the other way may have taken it up again since LOCAL's rows were read."""

    def their_changes(self, state: State, run: Run) -> dict[int, Conflict]:
        return super().their_changes(state, run._replace(held=self.held_back(state, run.link, run.taken)))


class ForgetsWhatIsInQuarantine(Rules):
    """A later change of the same object is taken for all that there is."""

    def set_aside(self, state: State, run: Run) -> list[Note]:
        return []


class PrunesWhatTheFastestHas(Rules):
    def needed_from(self, local: Node, peers: Iterable[int]) -> int:
        return max(local.peers[peer].checkpoint for peer in peers)


class TakesWhatPruningLeavesForNews(Rules):
    def left_by_pruning(self, remote: Node) -> set[int]:
        return set()


class DoesNotLookWhetherRemoteHasPruned(Rules):
    """Between LOCAL's rows and the end of the batch LOCAL may have received what REMOTE then dropped."""

    def is_overtaken(self, state: State, run: Run) -> bool:
        return False
