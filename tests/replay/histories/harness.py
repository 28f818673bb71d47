"""What the tests of random histories share: where they begin, the ways in which batches go, and how two sides meet."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import Model
from django.db.models.signals import post_delete, post_save
from django.test.utils import override_settings

from synchro.core import call_synchronize
from synchro.exceptions import SynchroError
from synchro.models import Conflict, Reference
from synchro.replay.apply import batch as apply_batch
from synchro.replay.apply.bulk.entries import BulkPart
from tests.replay.bulk_parts import noted_parts
from tests.replay.compare import differences
from tests.replay.deployments import LOCAL, REMOTE, let_time_pass, other_side, unlogged
from tests.replay.pairs import pairs_of
from tests.shop.models import Customer, Membership

#: What came of each run, and what there was after it.
Trace: TypeAlias = list[Any]


@contextmanager
def rolled_back() -> Iterator[None]:
    """Inside, whatever is written to either database is undone in the end."""
    with transaction.atomic(using="default"), transaction.atomic(using="remote"):
        ContentType.objects.clear_cache()
        yield
        transaction.set_rollback(True, using="remote")
        transaction.set_rollback(True, using="default")


def call_quietly() -> None:
    """Synchronize, whatever comes of it."""
    with suppress(SynchroError):
        call_synchronize()


def run_until_quiet(first_here: bool = True) -> None:
    """Let both sides synchronize in turns until nothing is pending on either."""
    sides = (nullcontext, other_side) if first_here else (other_side, nullcontext)
    for _ in range(6):
        entries = 0
        for side in sides:
            with side():
                entries += call_synchronize().entries
        if not entries:
            return
    pytest.fail("the two sides never come to rest: " + "; ".join(differences([Customer, Membership])))


# -- the ways in which batches go -----------------------------------------------------------------------------------


@contextmanager
def in_bulk() -> Iterator[Mapping[str, BulkPart]]:
    """Inside, batches go as ever; what went in bulk of each, as its last attempt had it, is given by its token."""
    with noted_parts() as parts:
        yield parts


@contextmanager
def in_groups() -> Iterator[None]:
    """Inside, no batch goes in bulk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(apply_batch, "grouped", lambda *_arguments: [])
        yield


@contextmanager
def object_by_object() -> Iterator[None]:
    """Inside, every model has receivers, so the replayer writes object by object."""

    def receive(**kwargs: Any) -> None:
        """Does nothing, but is there."""

    post_save.connect(receive)
    post_delete.connect(receive)
    try:
        with override_settings(SYNCHRO_RECEIVERS="all"):
            yield
    finally:
        post_save.disconnect(receive)
        post_delete.disconnect(receive)


# -- a history that is the same for the same seed, whichever way its batches go -------------------------------------


@dataclass(frozen=True)
class Course:
    """What both sides do, and runs in both directions."""

    length: int
    #: How often each of these happens next: here, there, unlogged there, swap, run, run there, time.
    weights: Mapping[str, int]
    write_here: Callable[[random.Random], None]
    write_there: Callable[[random.Random], None]
    swap: Callable[[random.Random], None]
    #: What there is after a run.
    seen: Callable[[], list[Any]]
    #: How many seconds pass after a run of the other side.
    pause: int
    #: How many writes of this side there may be in a row.
    bursts: Sequence[int] = (1, 1, 6)

    def live(self, seed: int) -> Trace:
        """Live through the history of this seed."""
        chance = random.Random(seed)
        trace: Trace = []
        for _ in range(self.length):
            what = chance.choices([*self.weights], [*self.weights.values()])[0]
            if what == "run":
                run(trace, self.seen)
            elif what == "here":
                for _time in range(chance.choice(self.bursts)):
                    self.write_here(chance)
            elif what == "swap":
                self.swap(chance)
            elif what == "time":
                let_time_pass(chance.choice([10, 3600]))
            else:
                # Between the two sides: within one millisecond, the random names of the nodes decide.
                let_time_pass(1)
                with other_side(), unlogged(LOCAL) if what == "unlogged there" else nullcontext():
                    call_quietly() if what == "run there" else self.write_there(chance)
                let_time_pass(self.pause if what == "run there" else 1)
        run(trace, self.seen)
        return trace


def run(trace: Trace, seen: Callable[[], list[Any]], atomic: bool = False) -> None:
    """Synchronize, and add to the trace what came of it and what there is then."""
    try:
        report = call_synchronize(atomic=atomic)
        came = [(m.model, m.added, m.changed, m.deleted, m.kept) for m in report.models]
    except SynchroError as error:
        came = [type(error).__name__]
    trace.append((came, *seen()))


def decisions(*names: str) -> list[tuple[Any, ...]]:
    """These columns of the conflicts on LOCAL's record."""
    return sorted(Conflict.objects.values_list("content_type__model", "fields", "decision", *names), key=str)


def batches_in_bulk_where_every_way_ends_alike(
    seeds: Collection[int],
    begin: Callable[[random.Random], AbstractContextManager[None]],
    live: Callable[[int], Trace],
    one_by_one: int = 2,
    wanted: type[Model] | None = None,
) -> int:
    """
    Live through each history in bulk and in another way; return of how many batches some models went in bulk, or the
    one that is `wanted`.

    Of `one_by_one` histories one is compared with batches that go object by object, the others with groups.
    """
    went_in_bulk = 0
    for seed in seeds:
        other_way = object_by_object if seed % one_by_one == 0 else in_groups
        with begin(random.Random(seed)), in_bulk() as went:
            expected = live(seed)
            went_in_bulk += sum(
                bool(part.named) if wanted is None else wanted in part.named for part in went.values()
            )
        with begin(random.Random(seed)), other_way():
            found = live(seed)

        assert found == expected, f"seed {seed}"
    return went_in_bulk


# -- which row is whose ---------------------------------------------------------------------------------------------


def rows_of_both(model: Any, contents: Callable[[Any, str], Mapping[int, str]]) -> list[Any]:
    """What each side has, and which row is whose: both sides say the same of that."""
    here, there = contents(model, LOCAL), contents(model, REMOTE)
    ours, theirs = pairs(model, LOCAL), pairs(model, REMOTE)
    found = [(here.get(one), there.get(other), (other, one) in theirs) for one, other in ours]
    owned = {other for _one, other in ours}
    return sorted(found, key=str) + sorted(content for key, content in there.items() if key not in owned)


def pairs(model: Any, alias: str) -> set[tuple[int, int]]:
    """The references of this database, as pairs of keys."""
    kind = ContentType.objects.db_manager(alias).get_for_model(model)
    found = Reference.objects.using(alias).filter(content_type_id=kind.pk)
    return set(pairs_of(found))
