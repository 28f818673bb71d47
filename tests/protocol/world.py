"""
The model's words for two real databases: objects, moments, what each value has seen, and what a record says has lost.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management import CommandError, call_command
from django.db import connections, transaction
from django.db.models import Model
from django.db.models.signals import pre_save

from synchro.core import call_synchronize
from synchro.last_check import aware
from synchro.models import ChangeLog, Conflict
from synchro.replay.signals import step as step_signal
from tests.protocol.invariants import check_changes, check_sides
from tests.protocol.rules import Wrong
from tests.protocol.state import NOTHING, Moment, Moments, Row
from tests.replay import processes
from tests.replay.compare import differences
from tests.replay.deployments import LOCAL, REMOTE, other_side
from tests.replay.faults.test_killed import when_free
from tests.replay.refusals import Refusal
from tests.shop.models import Country, Customer

#: The steps of a batch, as `synchro.replay.signals.step` names them, and those at which REMOTE's transaction is open.
STEPS = ("formed", "read", "identified", "resolved", "written", "recorded", "committed", "acknowledged")
WITHIN_REMOTE = ("identified", "resolved", "written", "recorded")

#: Where each model has the object's name, and its value: the moment of the last change.
COLUMNS: dict[type[Model], tuple[str, str]] = {Customer: ("name", "cash"), Country: ("code", "name")}


class World:
    """
    What people did, and what must be true afterwards.

    The databases hand out the keys of customers, people those of countries.
    """

    def __init__(self) -> None:
        self.begun = datetime.now(UTC) - timedelta(hours=1)
        self.clock: Moment = 0
        self.names: dict[int, tuple[type[Model], str]] = {}
        self.seen: dict[Moment, Moments] = {0: NOTHING}
        self.committed: set[tuple[Moment, int]] = set()
        self.deletions: dict[Moment, int] = {}
        self.refused: set[str] = set()
        self.open: list[OpenTransaction] = []

    # -- what people do -------------------------------------------------------------------------------------

    def add(self, model: type[Model]) -> None:
        number = len(self.names) + 1
        self.names[number] = (model, f"object {number}")
        moment = self.next_moment(number, NOTHING)
        name, value = COLUMNS[model]
        model._base_manager.create(**{name: f"object {number}", value: moment})
        self.logged(moment)

    def change(self, number: int) -> None:
        """Change the object, if this side has it."""
        row = self.find(number)
        if row is not None:
            _name, value = COLUMNS[type(row)]
            moment = self.next_moment(number, self.seen[int(getattr(row, value))])
            setattr(row, value, moment)
            row.save(update_fields=[value])
            self.logged(moment)

    def delete(self, number: int) -> None:
        row = self.find(number)
        if row is not None:
            _name, value = COLUMNS[type(row)]
            moment = self.next_moment(number, self.seen[int(getattr(row, value))])
            self.deletions[moment] = number
            row.delete()
            self.logged(moment)

    def find(self, number: int) -> Any:
        model, text = self.names[number]
        return model._base_manager.filter(**{COLUMNS[model][0]: text}).first()

    def next_moment(self, number: int, before: Moments) -> Moment:
        self.clock += 1
        self.seen[self.clock] = before | {self.clock}
        self.committed.add((self.clock, number))
        return self.clock

    def logged(self, moment: Moment) -> None:
        """The entries say when it was by the world's clock, so that no two changes are of one moment."""
        newest = ChangeLog.objects.using(LOCAL).latest("id")
        ChangeLog.objects.filter(pk=newest.pk).update(date=self.begun + timedelta(seconds=moment))

    def add_and_leave_open(self, model: type[Model]) -> None:
        """Add an object in a transaction that commits later. (Nobody else knows the row, so nobody waits for it.)"""
        self.open.append(OpenTransaction(lambda: self.add(model), number=len(self.names) + 1))

    def end(self, transaction: OpenTransaction, is_commit: bool) -> None:
        self.open.remove(transaction)
        transaction.end(is_commit)
        if not is_commit:
            self.committed = {change for change in self.committed if change[1] != transaction.number}

    # -- what a side refuses --------------------------------------------------------------------------------

    @contextmanager
    def refusing(self) -> Iterator[None]:
        def receive(instance: Any, using: str, **kwargs: Any) -> None:
            name = getattr(instance, COLUMNS[type(instance)][0])
            if using == REMOTE and name in self.refused:
                raise Refusal(f"{name} is not to come yet")

        for model in COLUMNS:
            pre_save.connect(receive, sender=model)
        try:
            yield
        finally:
            for model in COLUMNS:
                pre_save.disconnect(receive, sender=model)

    # -- the end --------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Commit what is open, and run both ways until nothing is left to do."""
        while self.open:
            self.end(self.open[0], is_commit=True)
        self.refused.clear()
        for _ in range(6):
            here = when_free(lambda: call_synchronize(retry=True))
            with other_side():
                there = when_free(lambda: call_synchronize(retry=True))
            if not (here.entries or there.entries or here.aside or there.aside):
                return
        raise Wrong("the runs never come to rest")

    def check(self) -> None:
        """The invariants of the model."""
        local, remote = self.rows(), self.rows_there()
        check_sides(local, remote)
        gone = [Row(number, moment, self.seen[moment]) for moment, number in self.deletions.items()]
        lost = self.lost()
        with other_side():
            lost |= self.lost()
        check_changes(local, gone, self.committed, lost)
        if found := differences(COLUMNS):
            raise Wrong("\n".join(found))

    def rows_there(self) -> list[Row]:
        with other_side():
            return self.rows()

    def rows(self) -> list[Row]:
        numbers = {name: number for number, name in self.names.items()}
        return [
            Row(
                numbers[model, getattr(row, name)],
                int(getattr(row, value)),
                self.seen[int(getattr(row, value))],
            )
            for model, (name, value) in COLUMNS.items()
            for row in model._base_manager.all()
        ]

    def lost(self) -> set[Moment]:
        """The changes that this side's records say have lost, with what they knew of."""
        found: set[Moment] = set()
        for record in Conflict.objects.using(LOCAL).all():
            date = record.remote_date if record.decision == Conflict.LOCAL else record.local_date
            found |= self.seen[round((aware(date) - self.begun).total_seconds())]
        return found


class OpenTransaction:
    """A transaction of LOCAL in a session of its own."""

    def __init__(self, do: Callable[[], None], number: int) -> None:
        self.number = number
        self._pool = ThreadPoolExecutor(1)

        def begin() -> None:
            transaction.set_autocommit(False)
            do()

        self._pool.submit(begin).result(60)

    def end(self, is_commit: bool) -> None:
        def finish() -> None:
            transaction.commit() if is_commit else transaction.rollback()
            connections.close_all()

        self._pool.submit(finish).result(60)
        self._pool.shutdown()


def run(retry: bool = False) -> None:
    when_free(lambda: call_synchronize(retry=retry))


class Killed(BaseException):
    """Ends a run as a killed process ends: nothing it has begun is committed."""


@contextmanager
def at_first(step: str, do: Callable[[], object]) -> Iterator[None]:
    """Inside, `do` is called when a run comes to this step for the first time."""
    is_over = False

    def happen(**kwargs: Any) -> None:
        nonlocal is_over
        if kwargs["step"] == step and not is_over:
            is_over = True
            do()

    step_signal.connect(happen)
    try:
        yield
    finally:
        step_signal.disconnect(happen)


def raise_killed() -> None:
    raise Killed


def run_killed_at(step: str, is_process: bool) -> None:
    """A run that ends at this step: a process of its own, by SIGKILL, or one within this process."""
    if is_process:
        ended = processes.forked(_killed, step)
        assert ended in (0, -signal.SIGKILL)
    else:
        with at_first(step, raise_killed), suppress(Killed):
            run()


def _killed(step: str) -> int:
    with at_first(step, lambda: os.kill(os.getpid(), signal.SIGKILL)), suppress(CommandError):
        call_command("synchronize", verbosity=0)
    return 0


def side(is_here: bool) -> AbstractContextManager[None]:
    return nullcontext() if is_here else other_side()
