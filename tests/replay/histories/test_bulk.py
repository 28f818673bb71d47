"""Whatever happens on both sides, REMOTE ends up the same whichever way the batches go."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction
from django.db.models import Model
from django.test.utils import override_settings

from tests.replay.compare import rows_of
from tests.replay.deployments import LOCAL, REMOTE
from tests.replay.histories.harness import (
    Course,
    batches_in_bulk_where_every_way_ends_alike,
    decisions,
    rolled_back,
)
from tests.replay.hypothesis_settings import EXAMPLES, FIRST
from tests.shop.models import Currency, Customer, Measurement, Order, Seat, Warehouse

pytestmark = pytest.mark.django_db(databases=["default", "remote"])

#: Without foreign keys, but for the last; nothing points at them, but at the customers and the currencies.
MODELS: list[type[Model]] = [Warehouse, Seat, Measurement, Currency, Customer, Order]
#: With few keys, rows come back under one that was there before.
KEYS = range(1, 7)
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


def seen() -> list[Any]:
    return [
        [rows_of(model, REMOTE) for model in MODELS],
        decisions("object_id", "local_values", "remote_values"),
    ]


COURSE = Course(
    length=15,
    weights={"here": 24, "there": 3, "unlogged there": 2, "swap": 2, "run": 8, "run there": 1, "time": 1},
    write_here=write,
    write_there=write,
    swap=swap,
    seen=seen,
    pause=1,
)


@contextmanager
def beginning_anew(chance: random.Random) -> Iterator[None]:
    settings = {
        "SYNCHRO_IDENTITY": "pk",
        "SYNCHRO_BATCH_SIZE": chance.choice([3, 5000]),
        "SYNCHRO_CONFLICT": chance.choice(["newer", "newer", "local", "remote"]),
    }
    with transaction.atomic(using=LOCAL), override_settings(**settings), rolled_back():
        yield


def test_a_batch_goes_in_bulk_just_as_any_other_way() -> None:
    assert batches_in_bulk_where_every_way_ends_alike(SEEDS, beginning_anew, COURSE.live) > len(SEEDS)
