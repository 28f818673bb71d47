"""
What must hold once nobody writes any more and every run has been to its end: the same for the model and for the code.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

from tests.protocol.rules import Rules, Wrong
from tests.protocol.state import Moment, Row, State
from tests.protocol.steps import beginnings, step
from tests.protocol.words import recorded

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
    lost = recorded(state, rules.scope)
    for here, there in rules.scope.links:
        sides = [[row for _key, row in state.nodes[place].rows] for place in (here, there)]
        check_sides(*sides)
        check_references(rules, state, here, there)
    gone = [row for node in state.nodes for _key, row in node.gone]
    check_changes(sides[0], gone, state.committed, lost)


def check_sides(local: Sequence[Row], remote: Sequence[Row]) -> None:
    """Each object is on both sides, once, with the same value."""
    ours, theirs = by_object(local), by_object(remote)
    if len(ours) != len(local) or len(theirs) != len(remote):
        raise Wrong("an object is doubled")
    if ours != theirs:
        raise Wrong(f"LOCAL has {values(ours)}, REMOTE has {values(theirs)}")


def check_changes(
    rows: Sequence[Row], gone: Sequence[Row], committed: Iterable[tuple[Moment, int]], lost: Container[Moment]
) -> None:
    """
    Each change that was committed is part of what there is (or was known where the object was deleted), or a record
    says that it lost; and the newest change of each object has not lost.
    """
    present = by_object(rows)
    newest = {number: moment for moment, number in sorted(committed)}
    for moment, number in sorted(committed):
        last = [present[number]] if number in present else [row for row in gone if row.object == number]
        is_known = any(moment in row.seen for row in last)
        if not is_known and moment not in lost:
            raise Wrong(f"change {moment}, of object {number}, is lost without a record")
        if not is_known and moment == newest[number]:
            raise Wrong(f"change {moment}, the newest of object {number}, has lost")


def check_references(rules: Rules, state: State, here: int, there: int) -> None:
    local, remote = dict(state.nodes[here].rows), dict(state.nodes[there].rows)
    if rules.scope.references:
        for pair in state.nodes[here].peers[there].pairs:
            other = remote.get(pair.other)
            if pair.own in local and (other is None or other.object != local[pair.own].object):
                raise Wrong(f"the reference {pair} leads to another object")


def check_what_was_put_back(rules: Rules, state: State) -> None:
    """A database that was put back: either all is well, or the run says that it is not."""
    for link, (here, there) in enumerate(rules.scope.links):
        after = state._replace(writes=(), crashes=0, drops=0, copies=0)
        after = run_to_the_end(rules, after, link)
        ours, theirs = (by_object(dict(after.nodes[place].rows).values()) for place in (here, there))
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


def by_object(rows: Iterable[Row]) -> dict[int, Row]:
    return {row.object: row for row in rows}


def values(rows: dict[int, Row]) -> str:
    return ", ".join(f"{number}: {row.written}" for number, row in sorted(rows.items())) or "nothing"
