"""
The same orders of events with the code itself, over two databases: what the model's checker asks for holds there too.

Hypothesis chooses what people do, which side runs, what happens to the run at which of its steps, and what the other
side does at that moment.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.test.utils import override_settings
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from synchro.replay import checkpoint, receipts
from synchro.replay import run as replay_run
from synchro.replay.apply import batch as apply_batch
from synchro.replay.checkpoint import Outcome
from synchro.replay.conflicts import resolve
from synchro.replay.log import batches
from synchro.replay.log.changes import Changes
from synchro.replay.log.remote_log import RemoteLog
from synchro.replay.plan import Plan
from synchro.replay.quarantine.store import Quarantine
from synchro.replay.session import Session
from tests.flush import flush
from tests.protocol.rules import Wrong
from tests.protocol.world import (
    COLUMNS,
    STEPS,
    WITHIN_REMOTE,
    World,
    at_first,
    run,
    run_killed_at,
    side,
)
from tests.replay.deployments import LOCAL, REMOTE, other_side
from tests.replay.hypothesis_settings import EXAMPLES, modest
from tests.shop.models import Country, Customer

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "remote"])

SETTINGS: dict[str, Any] = {
    "SYNCHRO_BATCH_SIZE": 1,
    "SYNCHRO_ON_ERROR": "quarantine",
    "SYNCHRO_RECEIVERS": "all",
}

#: Objects that one world has at the most.
MOST = 3

#: SQLite has one writer at a time.
ARE_SERVERS = "sqlite" not in os.environ.get("SYNCHRO_TEST_PAIR", "sqlite-sqlite").split("-")

numbers = st.integers(1, MOST)
sides = st.booleans()


class Histories(RuleBasedStateMachine):
    """Two databases, in which people write and between which runs go."""

    is_process = False

    def __init__(self) -> None:
        super().__init__()
        ContentType.objects.clear_cache()
        self.world = World()
        self.settings = override_settings(**SETTINGS)
        self.settings.enable()
        self.listening = self.world.refusing()
        self.listening.__enter__()

    def teardown(self) -> None:
        try:
            self.world.settle()
            self.world.check()
        finally:
            while self.world.open:
                self.world.end(self.world.open[0], is_commit=False)
            self.listening.__exit__(None, None, None)
            self.settings.disable()
            for alias in (LOCAL, REMOTE):
                flush(alias)

    # -- people -------------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.world.names) < MOST)
    @rule(here=sides, model=st.sampled_from(list(COLUMNS)))
    def somebody_adds(self, here: bool, model: Any) -> None:
        with side(here):
            self.world.add(model)

    @rule(here=sides, number=numbers)
    def somebody_changes(self, here: bool, number: int) -> None:
        with side(here):
            self.write(self.world.change, number)

    @rule(here=sides, number=numbers)
    def somebody_deletes(self, here: bool, number: int) -> None:
        with side(here):
            self.write(self.world.delete, number)

    def write(self, what: Callable[[int], None], number: int) -> None:
        if number in self.world.names:
            what(number)

    @precondition(lambda self: ARE_SERVERS and len(self.world.names) < MOST and len(self.world.open) < 2)
    @rule(here=sides, model=st.sampled_from(list(COLUMNS)))
    def somebody_adds_and_does_not_commit(self, here: bool, model: Any) -> None:
        with side(here):
            self.world.add_and_leave_open(model)

    @precondition(lambda self: self.world.open)
    @rule(is_commit=st.booleans(), place=st.integers(0, 1))
    def that_is_ended(self, is_commit: bool, place: int) -> None:
        self.world.end(self.world.open[place % len(self.world.open)], is_commit)

    @rule(number=numbers)
    def something_is_refused(self, number: int) -> None:
        self.world.refused.add(f"object {number}")

    @precondition(lambda self: self.world.refused)
    @rule()
    def that_is_corrected(self) -> None:
        self.world.refused.clear()

    # -- runs ---------------------------------------------------------------------------------------------------

    @rule(here=sides, retry=st.booleans())
    def a_run(self, here: bool, retry: bool) -> None:
        with side(here):
            run(retry)

    @rule(here=sides)
    def a_run_that_prunes(self, here: bool) -> None:
        with side(here), override_settings(SYNCHRO_RETENTION=timedelta(0)):
            run()

    @rule(here=sides, step=st.sampled_from(STEPS))
    def a_run_is_killed(self, here: bool, step: str) -> None:
        with side(here):
            # A process with other threads is not to be forked.
            run_killed_at(step, self.is_process and not self.world.open)

    @rule(
        here=sides,
        step=st.sampled_from([step for step in STEPS if step not in WITHIN_REMOTE]),
        retry=st.booleans(),
        prunes=st.booleans(),
    )
    def a_run_meets_the_run_the_other_way(self, here: bool, step: str, retry: bool, prunes: bool) -> None:
        def other_way() -> None:
            with side(False):
                run(retry)
                if prunes:
                    with override_settings(SYNCHRO_RETENTION=timedelta(0)):
                        run()

        with side(here), at_first(step, other_way):
            run()

    @rule(here=sides, step=st.sampled_from(STEPS), number=numbers, is_deletion=st.booleans())
    def somebody_writes_during_a_run(self, here: bool, step: str, number: int, is_deletion: bool) -> None:
        what = self.world.delete if is_deletion else self.world.change
        with side(here), at_first(step, lambda: self.write(what, number)):
            run()

    @rule(here=sides, step=st.sampled_from(["formed", "read", "committed", "acknowledged"]), number=numbers)
    def somebody_writes_there_during_a_run(self, here: bool, step: str, number: int) -> None:
        def there() -> None:
            with side(False):
                self.write(self.world.change, number)

        with side(here), at_first(step, there):
            run()


class HistoriesOfProcesses(Histories):
    """What is killed is a process of its own."""

    is_process = True


def histories(machine: type[Histories], examples: int = EXAMPLES, steps: int = 15) -> None:
    run_state_machine_as_test(
        machine, settings=settings(modest, max_examples=examples, stateful_step_count=steps)
    )


def test_any_history_of_two_sides_keeps_the_promises() -> None:
    histories(Histories)


def test_any_history_of_two_sides_with_killed_processes_keeps_the_promises() -> None:
    histories(HistoriesOfProcesses, max(1, EXAMPLES // 3))


# -- whether a mistake in the code is noticed -----------------------------------------------------------------------


def killed_after_the_commit(world: World) -> None:
    world.add(Customer)
    run_killed_at("committed", is_process=False)
    run()
    world.change(1)


def both_change(world: World) -> None:
    world.add(Country)
    run()
    world.change(1)
    with other_side():
        world.change(1)


def both_change_and_run(world: World) -> None:
    both_change(world)

    def other_way() -> None:
        with other_side():
            run()

    with at_first("read", other_way):
        run()


def refused(world: World) -> None:
    world.add(Country)
    world.refused.add("object 1")
    run()


def no_references(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(checkpoint, "store", lambda *arguments: None)


def receipt_afterwards(patch: pytest.MonkeyPatch) -> None:
    def write_and_acknowledge(session: Session, outcome: Outcome) -> None:
        receipts.write_receipt(session, outcome.batch, outcome.pairs, Plan())
        checkpoint.acknowledge(session, outcome)

    patch.setattr(apply_batch, "write_receipt", lambda *arguments: None)
    patch.setattr(replay_run, "acknowledge", write_and_acknowledge)


def nobody_asks_remote(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(resolve, "remote_changes_of", lambda *arguments: Changes())


def received_noted_late(patch: pytest.MonkeyPatch) -> None:
    changes = RemoteLog.changes

    def late(log: RemoteLog, *arguments: Any) -> Changes:
        log.note_received()
        return changes(log, *arguments)

    patch.setattr(RemoteLog, "changes", late)


def no_records(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(apply_batch, "put_on_record", lambda *arguments: None)


def no_notes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Quarantine, "write", lambda *arguments: False)
    patch.setattr(Quarantine, "drop_outdated", lambda *arguments: None)


MISTAKES: list[tuple[Callable[[pytest.MonkeyPatch], None], Callable[[World], None]]] = [
    (no_references, killed_after_the_commit),
    (receipt_afterwards, killed_after_the_commit),
    (nobody_asks_remote, both_change),
    (received_noted_late, both_change_and_run),
    (no_records, both_change),
    (no_notes, refused),
]


@pytest.mark.once
@pytest.mark.parametrize(("mistake", "story"), MISTAKES, ids=lambda value: value.__name__)
def test_mistake_in_the_code_is_noticed(
    mistake: Callable[[pytest.MonkeyPatch], None],
    story: Callable[[World], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    live(story)
    with monkeypatch.context() as patch:
        mistake(patch)
        with pytest.raises(Wrong):
            live(story)


def test_gap_that_is_not_remembered_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    if not ARE_SERVERS:
        pytest.skip("SQLite has one writer at a time")

    def late(world: World) -> None:
        world.add_and_leave_open(Country)
        world.add(Country)
        run()

    live(late)
    monkeypatch.setattr(batches, "between", lambda *arguments: [])
    with pytest.raises(Wrong, match="LOCAL has"):
        live(late)


def live(story: Callable[[World], None]) -> None:
    """What a world comes to in which this happens."""
    world = World()
    try:
        with override_settings(**SETTINGS), world.refusing():
            story(world)
            world.settle()
            world.check()
    finally:
        for alias in (LOCAL, REMOTE):
            flush(alias)
