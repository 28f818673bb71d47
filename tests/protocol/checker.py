"""
Look at every state that can be reached, breadth first, so that what is found wrong is told by the shortest way there.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from tests.protocol.invariants import check_at_rest, is_at_rest
from tests.protocol.rules import Rules, Wrong
from tests.protocol.state import State
from tests.protocol.steps import Next, first_state, following


class Failure(NamedTuple):
    what: str
    #: What happened, from the beginning.
    story: list[str]

    def __str__(self) -> str:
        return "\n".join([self.what, *(f"  {number}. {line}" for number, line in enumerate(self.story, 1))])


class Outcome(NamedTuple):
    states: int
    at_rest: int
    failure: Failure | None


def explore(rules: Rules, limit: int | None = None) -> Outcome:
    """Visit all states, or until one is found in which a promise is broken."""
    first = first_state(rules.scope)
    came_from: dict[State, tuple[State, str] | None] = {first: None}
    waiting = deque([first])
    settled: dict[State, State] = {}
    at_rest = 0
    while waiting:
        state = waiting.popleft()
        try:
            after = list(following(rules, state))
            check_goes_on(state, after)
            if is_at_rest(state):
                at_rest += 1
                check_at_rest(rules, state, settled)
        except Wrong as wrong:
            return Outcome(len(came_from), at_rest, Failure(str(wrong), story(came_from, state)))
        for label, found in after:
            if found not in came_from:
                came_from[found] = (state, label)
                waiting.append(found)
        if limit is not None and len(came_from) > limit:
            raise RuntimeError(f"more than {limit} states")
    return Outcome(len(came_from), at_rest, None)


def check_goes_on(state: State, after: list[Next]) -> None:
    """Nobody waits for ever."""
    if not after and not is_at_rest(state):
        raise Wrong("nothing can go on")


def story(came_from: dict[State, tuple[State, str] | None], state: State) -> list[str]:
    lines: list[str] = []
    step = came_from[state]
    while step is not None:
        state, label = step
        lines.append(label)
        step = came_from[state]
    return lines[::-1]
