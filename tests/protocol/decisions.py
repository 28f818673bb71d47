"""The rules within REMOTE's transaction, before it writes: identities, conflicts, quarantine."""

from __future__ import annotations

from collections.abc import Mapping

from tests.protocol.batches import Batches
from tests.protocol.state import (
    Effect,
    Moment,
    Node,
    Note,
    Plan,
    Row,
    Run,
    State,
    with_node,
    with_peer,
)
from tests.protocol.words import (
    Conflict,
    Planned,
    Stopped,
    losers,
)


class Decisions(Batches):
    # -- identity: identity/identities.py, identity/deleted.py ----------------------------------------------

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

    # -- conflicts: log/remote_log.py, conflicts/resolve.py, conflicts/policy.py ------------------------------

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

    def is_overtaken(self, state: State, run: Run) -> bool:
        """Whether REMOTE has dropped entries that LOCAL received after it was read; the log does not say so."""
        remote = state.nodes[self.scope.links[run.link][1]]
        return remote.pruned > max(run.taken, run.pruned)

    def left_by_pruning(self, remote: Node) -> set[int]:
        """The newest entry stays when its batch is dropped."""
        kept = {i for batch in remote.batches for i in batch.ids} | {gap.id for gap in remote.gaps}
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
