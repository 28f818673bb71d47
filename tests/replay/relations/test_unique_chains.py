"""Unique values that move along chains of rows which are longer than a batch."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.models import F
from django.db.models.signals import post_save
from django.test.utils import CaptureQueriesContext

from synchro.core import call_synchronize
from synchro.replay.signals import step as step_signal
from tests.knots.models import Berth, Place, Ship
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import BY_TRIGGERS, LOCAL, REMOTE, let_time_pass, other_side, watching

pytestmark = pytest.mark.django_db(databases=["default", "remote"])


@pytest.fixture(scope="module", autouse=True)
def watched(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    with watching(django_db_blocker, "knots"):
        yield


@pytest.fixture(autouse=True, params=["reference", "pk"])
def identity(request: Any, settings: Any) -> str:
    settings.SYNCHRO_IDENTITY = request.param
    return str(request.param)


@contextmanager
def attempts() -> Iterator[list[int]]:
    """The numbers of the batches that are tried inside, once for each attempt."""
    found: list[int] = []

    def count(step: str, batch: int, **kwargs: Any) -> None:
        if step == "read":
            found.append(batch)

    step_signal.connect(count)
    try:
        yield found
    finally:
        step_signal.disconnect(count)


def places(count: int) -> list[Place]:
    """So many places, on both sides."""
    Place.objects.bulk_create(Place(number=number) for number in range(count))
    if not BY_TRIGGERS:
        announce()
    call_synchronize()
    return list(Place.objects.order_by("number"))


def announce() -> None:
    """What signals do not hear of is captured as well."""
    for place in Place.objects.order_by("pk"):
        post_save.send(
            sender=Place, instance=place, created=False, raw=False, using=LOCAL, update_fields=None
        )


def give(numbers: dict[Place, int]) -> None:
    """Give each place its new number, whatever the others have at that time."""
    free = 10**8
    with transaction.atomic():
        Place.objects.filter(pk__in=[place.pk for place in numbers]).update(number=F("number") + free)
        for place, number in numbers.items():
            place.number = number
        Place.objects.bulk_update(numbers, ["number"], batch_size=200)
        if not BY_TRIGGERS:
            announce()


def test_values_that_all_move_up_by_one_take_a_few_attempts(settings: Any) -> None:
    several = places(200)
    settings.SYNCHRO_BATCH_SIZE = 10

    give({place: place.number + 1 for place in several})
    with attempts() as tried:
        call_synchronize()

    assert_same_rows(Place)
    assert len(tried) <= len(set(tried)) + 3


def test_number_of_statements_grows_more_slowly_than_the_chain(settings: Any) -> None:
    counts = []
    for size in (60, 360):
        Place.objects.all().delete()
        call_synchronize()
        several = places(size)
        settings.SYNCHRO_BATCH_SIZE = 10
        give({place: place.number + 1 for place in several})
        with CaptureQueriesContext(connections[REMOTE]) as asked, at_first_commit(asked) as statements:
            call_synchronize()
        settings.SYNCHRO_BATCH_SIZE = 1000
        counts += statements

    assert counts[1] < 2 * counts[0] < 2 * 200


@contextmanager
def at_first_commit(asked: CaptureQueriesContext) -> Iterator[list[int]]:
    """How many statements the first batch took, which takes along all others."""
    found: list[int] = []

    def count(step: str, **kwargs: Any) -> None:
        if step == "committed" and not found:
            found.append(len(asked))

    step_signal.connect(count)
    try:
        yield found
    finally:
        step_signal.disconnect(count)


def test_values_that_are_shuffled_take_a_few_attempts(settings: Any) -> None:
    several = places(120)
    settings.SYNCHRO_BATCH_SIZE = 7
    chance = random.Random(4)
    numbers = [place.number for place in several]
    chance.shuffle(numbers)

    give(dict(zip(several, numbers, strict=True)))
    with attempts() as tried:
        call_synchronize()

    assert_same_rows(Place)
    assert len(tried) <= len(set(tried)) + 30  # one knot, or a few


def test_references_and_sets_of_values_move_along_chains_too(settings: Any) -> None:
    ships = [Ship.objects.create(name=f"{number}") for number in range(12)]
    berths = [Berth.objects.create(ship=ship, row=place // 3, column=place % 3)
              for place, ship in enumerate(ships[:-1])]  # fmt: skip
    call_synchronize()
    settings.SYNCHRO_BATCH_SIZE = 2

    for berth in berths:  # the first one is in the first batch
        berth.ship = Ship.objects.create(name="of nobody")
        berth.row += 100
        berth.save()
    for place, berth in reversed([*enumerate(berths)]):
        berth.ship = ships[place + 1]
        berth.row += (berth.column == 2) - 100
        berth.column = (berth.column + 1) % 3
        berth.save()
    with attempts() as tried:
        call_synchronize()

    assert_same_rows(Ship, Berth)
    assert len(tried) <= len(set(tried)) + 4


def test_row_that_is_taken_along_keeps_what_remote_changed_in_other_columns(settings: Any) -> None:
    one, other = places(2)
    call_synchronize()
    let_time_pass()
    settings.SYNCHRO_BATCH_SIZE = 1

    with other_side():
        there = Place.objects.get(number=1)
        there.name = "by REMOTE"
        there.save(update_fields=["name"])
    let_time_pass()
    other.number = 2
    other.save(update_fields=["number"])
    one.number = 1
    one.save(update_fields=["number"])
    other.number = 3
    other.save(update_fields=["number"])
    one.number = 2
    one.save(update_fields=["number"])
    other.number = 1
    other.save(update_fields=["number"])
    call_synchronize()

    assert sorted(Place.objects.using(REMOTE).values_list("number", "name")) == [(1, "by REMOTE"), (2, "")]
