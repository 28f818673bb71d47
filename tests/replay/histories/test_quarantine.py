"""Whatever people do, and whatever REMOTE refuses on the way: once that is mended, a retry makes both sides equal."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from zlib import crc32

import pytest
from django.db.models import Model
from django.db.models.signals import pre_delete, pre_save
from django.test.utils import override_settings

from synchro.core import call_synchronize
from synchro.models import SetAside
from synchro.registry import watched_models
from synchro.replay.signals import starting
from tests.replay.compare import differences
from tests.replay.deployments import REMOTE, create_on_remote, other_side
from tests.replay.histories.harness import rolled_back
from tests.replay.histories.shop import ONE_SIDE_ONLY, OPERATIONS
from tests.replay.hypothesis_settings import EXAMPLES, FIRST
from tests.replay.refusals import Refusal
from tests.shop.models import (
    Album,
    Artist,
    Book,
    Category,
    Comment,
    Country,
    Customer,
    Order,
    Parcel,
    Pizzeria,
    Profile,
    Publisher,
    Restaurant,
    Seat,
)

pytestmark = pytest.mark.django_db(databases=["default", "remote"])

MODELS: list[type[Model]] = [
    Album, Artist, Book, Category, Comment, Country, Customer, Order,
    Parcel, Pizzeria, Profile, Publisher, Restaurant, Seat,
]  # fmt: skip
KNOWN = OPERATIONS | ONE_SIDE_ONLY
RUNS = ["synchronize", "synchronize ", "retry"]


#: Histories differ from seed to seed, and are long enough for something to be refused in most of them.
SEEDS = range(FIRST, FIRST + (EXAMPLES + 1) // 2)
LENGTH = 30


@contextmanager
def moody(chance: random.Random) -> Iterator[None]:
    """Inside, receivers do not let REMOTE write or delete some objects of some models, in each run others."""
    models = chance.sample(MODELS, 3)
    mood = [0]

    def change_mood(**kwargs: Any) -> None:
        mood[0] = chance.randrange(1000)

    def receive(instance: Model, using: str, **kwargs: Any) -> None:
        if using == REMOTE and crc32(f"{mood[0]} {values_of(instance)}".encode()) % 5 < 2:
            raise Refusal

    starting.connect(change_mood)

    for model in models:
        pre_save.connect(receive, sender=model)
        pre_delete.connect(receive, sender=model)
    try:
        with override_settings(SYNCHRO_RECEIVERS="all"):
            yield
    finally:
        starting.disconnect(change_mood)
        for model in models:
            pre_save.disconnect(receive, sender=model)
            pre_delete.disconnect(receive, sender=model)


def values_of(instance: Model) -> list[Any]:
    """Those that are the same on both sides."""
    fields = [f for f in instance._meta.concrete_fields if not f.is_relation and not f.primary_key]
    return [instance._meta.label, *(getattr(instance, field.attname) for field in fields)]


def live(chance: random.Random, names: list[str]) -> None:
    """Some time in the life of one side."""
    for name in chance.choices(names, k=LENGTH):
        a, b = chance.randrange(8), chance.randrange(8)
        if name in KNOWN:
            KNOWN[name](a, b)
        else:
            call_synchronize(retry=name == "retry")


@contextmanager
def quarantine(batch_size: int = 5000) -> Iterator[None]:
    with rolled_back(), override_settings(SYNCHRO_ON_ERROR="quarantine", SYNCHRO_BATCH_SIZE=batch_size):
        yield


@pytest.mark.parametrize("batch_size", [7, 5000])
def test_what_receivers_refuse_arrives_with_a_retry(batch_size: int) -> None:
    refused = 0
    for seed in SEEDS:
        with quarantine(batch_size):
            chance = random.Random(seed)
            with moody(chance):
                live(chance, [*KNOWN, *RUNS])
                refused += call_synchronize().aside
            call_synchronize(retry=True)

            assert not SetAside.objects.exists(), f"seed {seed}"
            assert differences(watched_models()) == [], f"seed {seed}"
            assert call_synchronize().entries == 0
    assert refused


@pytest.mark.parametrize("batch_size", [7, 5000])
def test_what_rows_of_remote_stand_in_the_way_of_arrives_with_a_retry(batch_size: int) -> None:
    refused = 0
    for seed in SEEDS:
        with quarantine(batch_size):
            chance = random.Random(seed)
            numbers = chance.sample(range(8), 4)
            obstacles = [create_on_remote(Seat, number=number, guest=f"{number}!") for number in numbers]
            live(chance, [*KNOWN, *(["add_seat", "swap_seats", "change_profile"] * 4), *RUNS])
            refused += call_synchronize().aside
            for obstacle in obstacles:
                obstacle.delete()
            call_synchronize(retry=True)

            assert not SetAside.objects.exists(), f"seed {seed}"
            assert differences(watched_models()) == [], f"seed {seed}"
    assert refused


def test_two_sides_that_refuse_now_and_then_meet_with_a_retry() -> None:
    """Each refuses some of the other's changes, and both set them aside."""
    refused = 0
    for seed in SEEDS[: len(SEEDS) // 2 + 1]:
        with quarantine(7 if seed % 2 else 5000):
            chance = random.Random(seed)
            with moody(chance):
                for _ in range(2):
                    with nullcontext() if chance.random() < 0.5 else other_side():
                        live(chance, [*OPERATIONS, *RUNS])
                refused += call_synchronize().aside
                with other_side():
                    refused += call_synchronize().aside
            retry_until_quiet()

            assert differences(watched_models()) == [], f"seed {seed}"
            with other_side():
                assert differences(watched_models()) == [], f"seed {seed}, from there"
    assert refused


def retry_until_quiet() -> None:
    for _ in range(6):
        here = call_synchronize(retry=True)
        with other_side():
            there = call_synchronize(retry=True)
        if not (here.entries or there.entries or here.aside or there.aside):
            return
    pytest.fail("the two sides never come to rest")
