"""Whatever happens on both sides, REMOTE ends up the same whichever way the batches go."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, TypeAlias
from uuid import UUID

import pytest
from django.db import transaction
from django.db.models import Model
from django.db.models.signals import post_delete, post_save
from django.test.utils import override_settings

from synchro.core import call_synchronize
from synchro.exceptions import SynchroError
from synchro.models import Conflict
from synchro.replay.apply import batch as apply_batch
from synchro.replay.apply.bulk.entries import BulkPart
from tests.replay.apply.test_bulk import noted_parts
from tests.replay.compare import rows_of
from tests.replay.deployments import LOCAL, REMOTE, let_time_pass, other_side, unlogged
from tests.replay.histories.test_shop import rolled_back
from tests.replay.hypothesis_settings import EXAMPLES, FIRST
from tests.shop.models import Currency, Customer, Measurement, Order, Seat, Warehouse

pytestmark = pytest.mark.django_db(databases=["default", "remote"])

#: Without foreign keys, but for the last; nothing points at them, but at the customers and the currencies.
MODELS: list[type[Model]] = [Warehouse, Seat, Measurement, Currency, Customer, Order]
#: With few keys, rows come back under one that was there before.
KEYS = range(1, 7)
LENGTH = 15
SEEDS = range(FIRST + 100, FIRST + 100 + max(2, EXAMPLES // 3))

COLUMNS: dict[str, list[Any]] = {
    "moment": [datetime(2026, 3, 29, 1, 30, 0, 123456, UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)],
    "day": [date(1, 1, 1), date(2024, 2, 29)],
    "hour": [time(23, 59, 59, 999999), time(0)],
    "lasted": [timedelta(-1, 5, 7), timedelta(400)],
    "amount": [Decimal("0.00001"), Decimal("-9999999999.99999")],
    "ratio": [0.1, -0.0, 1e300, 5e-324],
    "data": [{"a": [1, 1.0, None, "ż"]}, [], "null", 1.0, 1, "\\N\t"],
    "raw": [b"", b"\x00\xff'\\"],
    "token": [UUID("12345678-1234-4678-9234-567812345678")],
    "maybe": [True, False],
    "short": ["", "tab\tline\nback\\slash 😀", "\\N", "\\."],
    "long": ["x" * 3000, " ", "NULL"],
    "address": ["::1", "10.0.0.1"],
    "small": [-(2**15), 2**15 - 1],
    "big": [-(2**63), 2**63 - 1],
    "positive": [0, 2**63 - 1],
}

#: What REMOTE had after each run, and what came of the run.
Trace: TypeAlias = list[Any]


def values(model: type[Model], chance: random.Random) -> dict[str, Any]:
    number = chance.randrange(8)
    match model.__name__:
        case "Seat":
            return {"number": number, "row": chance.choice("AB"), "guest": chance.choice([None, "x", "y"])}
        case "Measurement":
            names = chance.sample(sorted(COLUMNS), 4)
            return {name: chance.choice([None, *COLUMNS[name]]) for name in names}
        case "Currency":
            return {"code": f"C{number}", "name": f"{chance.randrange(99)}"}
        case "Order":
            return {"customer_id": chance.choice(KEYS), "note": f"{number}"}
    return {"name": f"{number}"}


def is_possible(model: type[Model], key: int, new: dict[str, Any]) -> bool:
    """Whether the side that `default` is takes these values."""
    others = model._base_manager.exclude(pk=key)
    if model is Seat:
        taken = others.filter(number=new["number"]) | others.filter(
            row=new["row"], guest=new["guest"], guest__isnull=False
        )
        return not taken.exists()
    if model is Currency:
        return not others.filter(code=new["code"]).exists()
    return model is not Order or Customer.objects.filter(pk=new["customer_id"]).exists()


def write(chance: random.Random) -> None:
    """Add, change, touch or delete a row of the side that `default` is, as its own log has it or not."""
    model, key = chance.choice(MODELS), chance.choice(KEYS)
    row = model._base_manager.filter(pk=key).first()
    what, new = chance.choice(["put", "put", "part", "touch", "delete"]), values(model, chance)
    if row is not None and what == "delete":
        row.delete()
    elif row is not None and what == "touch":
        row.save()
    elif is_possible(model, key, new):
        found = row or model(pk=key)
        for name, value in new.items():
            setattr(found, name, value)
        found.save(update_fields=[*new] if row is not None and what == "part" else None)


def swap(chance: random.Random) -> None:
    seats = list(Seat.objects.order_by("pk"))
    if len(seats) > 1:
        one, other = chance.sample(seats, 2)
        numbers = one.number, other.number
        for seat, number in ((one, 1000), (other, numbers[0]), (one, numbers[1])):
            seat.number = number
            seat.save(update_fields=["number"])


def run(trace: Trace) -> None:
    try:
        report = call_synchronize()
        came = [(m.model, m.added, m.changed, m.deleted, m.kept) for m in report.models]
    except SynchroError as error:
        came = [type(error).__name__]
    trace.append((came, [rows_of(model, REMOTE) for model in MODELS], decisions()))


def decisions() -> list[tuple[Any, ...]]:
    names = ("content_type__model", "object_id", "fields", "decision", "local_values", "remote_values")
    return sorted(Conflict.objects.values_list(*names), key=str)


def live(seed: int) -> Trace:
    """The same history for the same seed: what both sides do, and runs in both directions."""
    chance = random.Random(seed)
    trace: Trace = []
    for _ in range(LENGTH):
        what = chance.choices(["here", "there", "unlogged there", "swap", "run", "run there", "time"],
                              [24, 3, 2, 2, 8, 1, 1])[0]  # fmt: skip
        if what == "run":
            run(trace)
        elif what == "here":
            for _time in range(chance.choice([1, 1, 6])):
                write(chance)
        elif what == "swap":
            swap(chance)
        elif what == "time":
            let_time_pass(chance.choice([10, 3600]))
        else:
            let_time_pass(
                1
            )  # between the two sides: within one millisecond, the random names of the nodes decide
            with other_side(), unlogged(LOCAL) if what == "unlogged there" else nullcontext():
                call_quietly() if what == "run there" else write(chance)
            let_time_pass(1)
    run(trace)
    return trace


def call_quietly() -> None:
    with suppress(SynchroError):
        call_synchronize()


@contextmanager
def wholesale() -> Iterator[dict[str, BulkPart]]:
    """As ever; what went in bulk is noted."""
    with noted_parts() as parts:
        yield parts


@contextmanager
def in_groups() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(apply_batch, "grouped", lambda *_arguments: [])
        yield


@contextmanager
def object_by_object() -> Iterator[None]:
    def listen(**kwargs: Any) -> None:
        """Does nothing, but is there."""

    post_save.connect(listen)
    post_delete.connect(listen)
    try:
        with override_settings(SYNCHRO_RECEIVERS="all"):
            yield
    finally:
        post_save.disconnect(listen)
        post_delete.disconnect(listen)


@contextmanager
def beginning_anew(batch_size: int, policy: str) -> Iterator[None]:
    settings = {"SYNCHRO_IDENTITY": "pk", "SYNCHRO_BATCH_SIZE": batch_size, "SYNCHRO_CONFLICT": policy}
    with transaction.atomic(using=LOCAL), override_settings(**settings), rolled_back():
        yield


def test_a_batch_arrives_as_a_whole_just_as_any_other_way() -> None:
    assert_every_way_ends_alike(SEEDS, beginning_anew, live)


def assert_every_way_ends_alike(
    seeds: Collection[int],
    begin: Callable[[int, str], AbstractContextManager[None]],
    live: Callable[[int], Trace],
) -> None:
    as_a_whole = partly = 0
    for seed in seeds:
        other_way = object_by_object if seed % 2 else in_groups
        chance = random.Random(seed)
        start = chance.choice([3, 5000]), chance.choice(["newer", "newer", "local", "remote"])
        with begin(*start), wholesale() as went:
            expected = live(seed)
            as_a_whole += sum(part.is_all for part in went.values())
            partly += sum(bool(part.named) and not part.is_all for part in went.values())
        with begin(*start), other_way():
            found = live(seed)

        assert found == expected, f"seed {seed}"
    assert as_a_whole > len(seeds)
    assert partly
