"""What people do, and what goes wrong, in any state."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from tests.protocol.rules import Rules, Scope
from tests.protocol.state import (
    Entry,
    Row,
    Run,
    State,
    Transaction,
    drop,
    put,
    replace_one,
    with_node,
)

#: What happened, in words, and the state afterwards.
Next: TypeAlias = tuple[str, State]


# -- people -----------------------------------------------------------------------------------------------------


def people(scope: Scope, state: State) -> Iterator[Next]:
    for place, node in enumerate(state.nodes):
        name = "ABC"[place]
        if state.writes[place]:
            if len(node.open) < scope.writers:
                yield from begun(scope, state, place, None)
            for transaction in node.open:
                if len(transaction.entries) < scope.changes:
                    yield from begun(scope, state, place, transaction)
        for transaction in node.open:
            yield f"{name}: transaction {transaction.name} commits", commit(state, place, transaction)
            if scope.rollbacks:
                closed = node._replace(open=tuple(t for t in node.open if t is not transaction))
                yield f"{name}: transaction {transaction.name} rolls back", with_node(state, place, closed)
    if state.refused:
        yield "somebody corrects what REMOTE refuses", state._replace(refused=frozenset())


def begun(scope: Scope, state: State, place: int, within: Transaction | None) -> Iterator[Next]:
    """A change, in a new transaction or as the next one of a transaction that is open."""
    node = state.nodes[place]
    locked = locked_rows(scope, state, place)
    locked |= {key for t in node.open if t is not within for key, _row in t.rows}
    rows = dict(node.rows)
    own = dict(within.rows) if within else {}
    name = "ABC"[place]
    if state.objects < scope.objects:
        key, number = node.next_key, state.objects + 1
        row = Row(number, state.clock, frozenset({state.clock}))
        added = state._replace(objects=number)
        added = with_node(added, place, node._replace(next_key=key + 1))
        yield f"{name}: adds object {number}", changed(added, place, within, key, row, "add")
    for key, row in rows.items():
        if key in locked or key in own:
            continue
        after = Row(row.object, state.clock, row.seen | {state.clock})
        yield f"{name}: changes object {row.object}", changed(state, place, within, key, after, "set")
        if scope.deletes:
            yield f"{name}: deletes object {row.object}", changed(state, place, within, key, after, "del")


def changed(state: State, place: int, within: Transaction | None, key: int, row: Row, action: str) -> State:
    node = state.nodes[place]
    entry = Entry(node.next_id, key, state.clock, action)
    if within is None:
        open_ones = (*node.open, Transaction(entry.id, (entry,), ((key, row),)))
    else:
        more = within._replace(entries=(*within.entries, entry), rows=(*within.rows, (key, row)))
        open_ones = tuple(more if t is within else t for t in node.open)
    node = node._replace(next_id=entry.id + 1, open=open_ones)
    state = with_node(state, place, node)
    left = replace_one(state.writes, place, state.writes[place] - 1)
    return state._replace(clock=state.clock + 1, writes=left)


def commit(state: State, place: int, transaction: Transaction) -> State:
    node = state.nodes[place]
    rows, gone = node.rows, node.gone
    actions = {entry.key: entry.action for entry in transaction.entries}
    for key, row in transaction.rows:
        if actions[key] == "del":
            rows, gone = drop(rows, key), put(gone, key, row)
        else:
            rows = put(rows, key, row)
    log = tuple(sorted([*node.log, *transaction.entries]))
    node = node._replace(
        rows=rows, gone=gone, log=log, open=tuple(t for t in node.open if t is not transaction)
    )
    done = {(row.written, row.object) for _key, row in transaction.rows}
    return with_node(state, place, node)._replace(committed=state.committed | done)


def locked_rows(scope: Scope, state: State, place: int) -> set[int]:
    """The rows of this database that a run keeps to itself."""
    rules = Rules(scope)
    found: set[int] = set()
    for run in state.runs:
        if run is not None and scope.links[run.link][1] == place:
            found |= rules.locked(state, run)
    return found


# -- accidents --------------------------------------------------------------------------------------------------


def accidents(scope: Scope, state: State) -> Iterator[Next]:
    for slot, run in enumerate(state.runs):
        if run is None:
            continue
        if state.crashes:
            left = state._replace(crashes=state.crashes - 1)
            yield f"run {name_of(scope, run)} is killed before “{run.step}”", ended(left, slot)
        if run.is_alone and state.drops:
            left = state._replace(drops=state.drops - 1)
            yield (
                f"run {name_of(scope, run)} loses its lock before “{run.step}”",
                with_run(left, slot, run._replace(is_alone=False)),
            )
    if state.copies and state.copy is None and not any(state.runs) and not state.nodes[0].open:
        yield "A is copied", state._replace(copy=(0, state.nodes[0]))
    if state.copy is not None and not any(state.runs):
        place, node = state.copy
        back = with_node(state, place, node._replace(life=node.life + 1))
        yield (
            "A is put back to its copy",
            back._replace(copies=state.copies - 1, copy=None, was_put_back=True),
        )


def with_run(state: State, slot: int, run: Run | None) -> State:
    return state._replace(runs=replace_one(state.runs, slot, run))


def ended(state: State, slot: int) -> State:
    return with_run(state, slot, None)


def name_of(scope: Scope, run: Run) -> str:
    here, there = scope.links[run.link]
    return f"{'ABC'[here]} to {'ABC'[there]}"
