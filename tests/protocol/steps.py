"""Everything that can happen next in a state: people write, processes take a step, or something goes wrong."""

from __future__ import annotations

from collections.abc import Iterator

from tests.protocol.people import Next, accidents, ended, name_of, people, with_run
from tests.protocol.rules import Rules, Scope, Stopped, Wrong
from tests.protocol.state import (
    Node,
    Peer,
    Run,
    State,
    with_node,
)

#: The databases give keys that are far apart.
KEYS = 100

#: Where REMOTE's transaction is open.
WITHIN_REMOTE = ("resolve", "record", "commit")


def first_state(scope: Scope) -> State:
    count = len(scope.writes)
    nodes = tuple(Node(tuple(Peer() for _ in range(count)), KEYS * place + 1) for place in range(count))
    slots = len(scope.links) * (2 if scope.drops else 1)
    return State(
        nodes,
        (None,) * slots,
        writes=scope.writes,
        crashes=scope.crashes,
        drops=scope.drops,
        retries=scope.retries or 0,
        refused=frozenset() if scope.retries is None else frozenset({1}),
        copies=scope.copies,
    )


def following(rules: Rules, state: State) -> Iterator[Next]:
    yield from people(rules.scope, state)
    yield from accidents(rules.scope, state)
    yield from processes(rules, state)


# -- processes --------------------------------------------------------------------------------------------------


def processes(rules: Rules, state: State) -> Iterator[Next]:
    for link in range(len(rules.scope.links)):
        yield from beginnings(rules, state, link)
    for slot, run in enumerate(state.runs):
        if run is not None:
            yield from step(rules, state, slot, run)
    if rules.scope.prunes:
        for place in sorted({here for here, _there in rules.scope.links}):
            pruned = rules.prune(state, place)
            if pruned != state:
                yield f"{'ABC'[place]} prunes its log", pruned


def beginnings(rules: Rules, state: State, link: int) -> Iterator[Next]:
    if any(run and run.link == link and run.is_alone for run in state.runs):
        return
    slot = next((place for place in own_slots(rules.scope, link) if state.runs[place] is None), None)
    if slot is None:
        return
    run = Run(link, "shake hands")
    yield f"run {name_of(rules.scope, run)} begins", with_run(state, slot, run)
    if state.retries:
        retried = state._replace(retries=state.retries - 1)
        retry = run._replace(is_retry=True)
        yield f"run {name_of(rules.scope, run)} begins, with a retry", with_run(retried, slot, retry)


def own_slots(scope: Scope, link: int) -> list[int]:
    count = len(scope.links)
    return [link, link + count] if scope.drops else [link]


def step(rules: Rules, state: State, slot: int, run: Run) -> Iterator[Next]:
    """What this process does next; nothing where it has to wait for somebody."""
    name = f"run {name_of(rules.scope, run)}: {run.step}"
    try:
        found = STEPS[run.step](rules, state, slot, run)
    except Stopped as why:
        if not state.was_put_back and "another run" not in str(why):
            raise Wrong(f"the run stops: {why}") from why
        yield f"{name}: stops, since {why}", ended(state, slot)
        return
    if found is not None:
        yield name, found


def _shake_hands(rules: Rules, state: State, slot: int, run: Run) -> State:
    return with_run(state, slot, rules.shake_hands(state, run))


def _recover(rules: Rules, state: State, slot: int, run: Run) -> State:
    return with_run(rules.recover(state, run), slot, run._replace(step="form"))


def _form(rules: Rules, state: State, slot: int, run: Run) -> State | None:
    place = rules.scope.links[run.link][0]
    local = state.nodes[place]
    batch = rules.formed_already(state, run)
    if batch is not None:
        return with_run(state, slot, run._replace(batch=batch, step="entries"))
    if rules.is_all_formed(local):
        if not run.is_retry or not rules.set_aside(state, run):
            return ended(state, slot)
        if being_formed(rules.scope, state, place):
            return None
        node, batch = rules.write_batch(local, (), state.clock)
        retry = run._replace(batch=batch, step="entries")
        return with_run(with_node(state, place, node), slot, retry)
    if being_formed(rules.scope, state, place):
        return None
    return with_run(state, slot, run._replace(new=rules.new_ids(local), step="writers"))


def being_formed(scope: Scope, state: State, place: int) -> bool:
    """Whether another run has locked this node, to form a batch."""
    return any(
        other and other.step in ("writers", "gaps") and scope.links[other.link][0] == place
        for other in state.runs
    )


def _writers(rules: Rules, state: State, slot: int, run: Run) -> State:
    local = state.nodes[rules.scope.links[run.link][0]]
    if rules.looks_first:
        return with_run(
            state, slot, run._replace(visible=frozenset(entry.id for entry in local.log), step="gaps")
        )
    return with_run(state, slot, run._replace(writers=rules.writers(local), step="gaps"))


def _gaps(rules: Rules, state: State, slot: int, run: Run) -> State:
    place = rules.scope.links[run.link][0]
    if rules.looks_first:
        run = run._replace(writers=rules.writers(state.nodes[place]))
    node, batch = rules.form(state.nodes[place], run, state.clock)
    state = with_node(state, place, node)
    run = run._replace(new=(), writers=frozenset(), visible=None)
    if batch is None or batch.number != run.arrived + 1:
        # What waits in gaps is left to the next run.
        if run.is_retry and batch is None and rules.set_aside(state, run):
            return with_run(state, slot, run._replace(step="retry"))
        return ended(state, slot)
    return with_run(state, slot, run._replace(batch=batch, step="entries"))


def _retry(rules: Rules, state: State, slot: int, run: Run) -> State | None:
    """A batch of no entries, for what is in quarantine."""
    place = rules.scope.links[run.link][0]
    if being_formed(rules.scope, state, place):
        return None
    batch = rules.formed_already(state, run)
    if batch is None:
        node, batch = rules.write_batch(state.nodes[place], (), state.clock)
        state = with_node(state, place, node)
    return with_run(state, slot, run._replace(batch=batch, step="entries"))


def _entries(rules: Rules, state: State, slot: int, run: Run) -> State:
    if run.is_first and rules.forgets_early:
        state = rules.forget_what_was_in_vain(state, run)
    run = rules.read_entries(state, run)
    if rules.notes_received_first:
        run = rules.note_received(state, run)
    return with_run(state, slot, run._replace(step="rows"))


def _rows(rules: Rules, state: State, slot: int, run: Run) -> State:
    run = rules.read_rows(state, run)
    return with_run(state, slot, run._replace(step="identify"))


def _identify(rules: Rules, state: State, slot: int, run: Run) -> State | None:
    scope = rules.scope
    if any(
        other and other is not run and other.link == run.link and other.step in WITHIN_REMOTE
        for other in state.runs
    ):
        return None  # the receipt is locked
    rules.hold_receipt(state, run)
    there = scope.links[run.link][1]
    if not rules.notes_received_first:
        run = rules.note_received(state, run)
    found = rules.identify(state, run)._replace(step="resolve")
    wanted = rules.locked(state, found)
    if any(key in wanted for transaction in state.nodes[there].open for key, _row in transaction.rows):
        return None  # somebody is changing one of these rows
    for other in state.runs:
        if (
            other
            and other is not run
            and scope.links[other.link][1] == there
            and wanted & rules.locked(state, other)
        ):
            return None
    if run.is_first and not rules.forgets_early:
        state = rules.forget_what_was_in_vain(state, run)
    return with_run(state, slot, found)


def _resolve(rules: Rules, state: State, slot: int, run: Run) -> State:
    here, there = rules.scope.links[run.link]
    if rules.is_overtaken(state, run):  # all of the batch begins anew
        again = run._replace(
            step="entries", pruned=state.nodes[there].pruned, changes=(), born=frozenset(), taken=0, held=(),
            rows=(), identities=(),
        )  # fmt: skip
        return with_run(state, slot, again)
    plan = rules.resolve(state, run)
    assert run.batch is not None
    number = run.batch.number
    abandoned = any(note.batch == number for note in state.nodes[here].peers[there].notes)
    following_step = "record" if plan.records or plan.notes or abandoned else "commit"
    if not rules.records_first:
        following_step = "commit"
    return with_run(state, slot, run._replace(plan=plan, rows=(), held=(), step=following_step))


def _record(rules: Rules, state: State, slot: int, run: Run) -> State:
    following_step = "commit" if rules.records_first else "acknowledge"
    return with_run(rules.record(state, run), slot, run._replace(step=following_step))


def _commit(rules: Rules, state: State, slot: int, run: Run) -> State:
    state, run = rules.commit(state, run)
    following_step = "acknowledge" if rules.records_first else "record"
    return with_run(state, slot, run._replace(step=following_step, identities=(), changes=()))


def _acknowledge(rules: Rules, state: State, slot: int, run: Run) -> State:
    state = rules.acknowledge(state, run)
    assert run.batch is not None
    retried = run.is_retry and not run.batch.ids
    following_run = Run(
        run.link,
        "form",
        run.is_retry and not retried,
        run.is_alone,
        is_first=False,
        arrived=run.batch.number,
        pruned=run.pruned,
    )
    return with_run(state, slot, following_run)


STEPS = {
    "shake hands": _shake_hands,
    "recover": _recover,
    "form": _form,
    "writers": _writers,
    "gaps": _gaps,
    "retry": _retry,
    "entries": _entries,
    "rows": _rows,
    "identify": _identify,
    "resolve": _resolve,
    "record": _record,
    "commit": _commit,
    "acknowledge": _acknowledge,
}
