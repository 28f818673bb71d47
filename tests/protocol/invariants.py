"""
What must hold once nobody writes any more and every run has been to its end: the same for the model and for the code.
"""

from __future__ import annotations

from tests.protocol.rules import Rules, Wrong, recorded
from tests.protocol.state import Row, State
from tests.protocol.steps import beginnings, step

#: How often every run may be repeated until nothing is left to do.
ROUNDS = 6


def is_at_rest(state: State) -> bool:
    """Whether nobody writes and no run is at work."""
    return not any(state.runs) and not any(node.open for node in state.nodes)


def check_at_rest(rules: Rules, state: State, settled: dict[State, State]) -> None:
    """Whatever has happened, from here on the runs alone bring every REMOTE up to date."""
    if state.was_put_back:
        check_what_was_put_back(rules, state)
        return
    before = state._replace(
        refused=frozenset(), writes=(), crashes=0, drops=0, retries=0, copies=0, copy=None
    )
    if before not in settled:
        settled[before] = settle(rules, before)
        check_equal(rules, settled[before])


def settle(rules: Rules, state: State) -> State:
    """Run every link in turn, until a round changes nothing."""
    for _ in range(ROUNDS):
        before = state
        for link in range(len(rules.scope.links)):
            state = run_to_the_end(rules, state, link)
        if state == before:
            return state
    raise Wrong("the runs never come to rest")


def run_to_the_end(rules: Rules, state: State, link: int) -> State:
    is_quarantine = rules.scope.retries is not None
    *_, (_label, state) = beginnings(rules, state._replace(retries=1 if is_quarantine else 0), link)
    for _ in range(200):
        slot = next((place for place, run in enumerate(state.runs) if run is not None), None)
        if slot is None:
            return state._replace(retries=0)
        run = state.runs[slot]
        assert run is not None
        found = list(step(rules, state, slot, run))
        if not found:
            raise Wrong(f"the run waits for ever before “{run.step}”")
        ((_label, state),) = found
    raise Wrong("the run has no end")


def check_equal(rules: Rules, state: State) -> None:
    for here, there in rules.scope.links:
        check_link(rules, state, here, there)
    lost = recorded(state, rules.scope)
    for moment, number in state.committed:
        rows = final_rows(state, number)
        if moment not in lost and not any(moment in row.seen for row in rows):
            raise Wrong(f"change {moment}, of object {number}, is lost without a record")
        newest = max(m for m, n in state.committed if n == number)
        if not any(newest in row.seen for row in rows):
            raise Wrong(f"change {newest}, the newest of object {number}, has lost")


def check_link(rules: Rules, state: State, here: int, there: int) -> None:
    local, remote = state.nodes[here], state.nodes[there]
    ours, theirs = by_object(local.rows), by_object(remote.rows)
    if len(ours) != len(local.rows) or len(theirs) != len(remote.rows):
        raise Wrong("an object is doubled")
    if ours != theirs:
        raise Wrong(f"LOCAL has {values(ours)}, REMOTE has {values(theirs)}")
    if rules.scope.references:
        known, others = dict(local.rows), dict(remote.rows)
        for pair in local.peers[there].pairs:
            if pair.own in known and (
                pair.other not in others or others[pair.other].object != known[pair.own].object
            ):
                raise Wrong(f"the reference {pair} leads to another object")


def check_what_was_put_back(rules: Rules, state: State) -> None:
    """A database that was put back: either all is well, or the run says that it is not."""
    for link, (here, there) in enumerate(rules.scope.links):
        after = state._replace(writes=(), crashes=0, drops=0, copies=0)
        after = run_to_the_end(rules, after, link)
        ours, theirs = by_object(after.nodes[here].rows), by_object(after.nodes[there].rows)
        has_run = after.nodes[there].peers[here].receipt[0] == after.nodes[here].formed
        if has_run and ours != theirs and not state.nodes[here].open and stops(rules, after, link) is None:
            raise Wrong(f"LOCAL has {values(ours)}, REMOTE has {values(theirs)}, and no run says so")


def stops(rules: Rules, state: State, link: int) -> str | None:
    """Why a run would refuse to go on."""
    *_, (_label, begun) = beginnings(rules, state, link)
    slot = next(place for place, run in enumerate(begun.runs) if run is not None)
    run = begun.runs[slot]
    assert run is not None
    ((label, after),) = step(rules, begun, slot, run)
    return label if after.runs[slot] is None else None


def by_object(rows: tuple[tuple[int, Row], ...]) -> dict[int, Row]:
    return {row.object: row for _key, row in rows}


def values(rows: dict[int, Row]) -> str:
    return ", ".join(f"{number}: {row.written}" for number, row in sorted(rows.items())) or "nothing"


def final_rows(state: State, number: int) -> list[Row]:
    """What there is of an object, or, where it is nowhere any more, what was known of it when it was deleted."""
    present = [row for node in state.nodes for _key, row in node.rows if row.object == number]
    return present or [row for node in state.nodes for _key, row in node.gone if row.object == number]
