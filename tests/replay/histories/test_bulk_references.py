"""
Where REMOTE hands out the keys, it ends up the same whichever way the batches go.

The keys themselves may differ, so rows go by what they hold, and by whose row they are.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.models import Model
from django.test.utils import override_settings

from synchro.backends import backend_for
from synchro.core import DisableSynchroLog
from tests.replay.compare import rows_of
from tests.replay.deployments import LOCAL, REMOTE, unlogged
from tests.replay.histories.harness import (
    Course,
    batches_in_bulk_where_every_way_ends_alike,
    decisions,
    rolled_back,
    rows_of_both,
)
from tests.replay.histories.test_bulk import COLUMNS, swap
from tests.replay.hypothesis_settings import EXAMPLES, FIRST
from tests.shop.models import Category, Customer, Measurement, Order, Seat, Tag

pytestmark = pytest.mark.django_db(databases=["default", "remote"])

#: A customer has orders and categories have others above them, nothing else points at another; tags have a natural key.
MODELS: list[type[Model]] = [Customer, Order, Order, Category, Seat, Measurement, Tag]
#: Rows of LOCAL come back under a key that was there before. What a database hands out lies above.
KEYS, HANDED_OUT = range(1, 6), 1000
SEEDS = range(FIRST + 200, FIRST + 200 + max(3, EXAMPLES // 2))


def values(model: type[Model], chance: random.Random) -> dict[str, Any]:
    number = chance.randrange(8)
    match model.__name__:
        case "Seat":
            return {"number": number, "row": chance.choice("AB"), "guest": chance.choice([None, "x", "y"])}
        case "Measurement":
            names = chance.sample(sorted(COLUMNS), 4)
            return {name: chance.choice([None, *COLUMNS[name]]) for name in names} | {"slug": unique(chance)}
        case "Tag":
            return {"word": f"word {number}", "note": unique(chance)}
        case "Order":
            return {"customer": some(Customer, chance), "note": unique(chance)}
        case "Category":
            parent = some(Category, chance) if chance.random() < 0.6 else None
            return {"parent": parent, "name": unique(chance)}
    return {"name": unique(chance), "cash": number}


def unique(chance: random.Random) -> str:
    return f"{chance.randrange(10**9)}"


def is_possible(model: type[Model], row: Model | None, new: dict[str, Any]) -> bool:
    """Whether the side that `default` is takes these values."""
    others = model._base_manager.exclude(pk=row.pk if row else None)
    if model is Seat:
        taken = others.filter(number=new["number"]) | others.filter(
            row=new["row"], guest=new["guest"], guest__isnull=False
        )
        return not taken.exists()
    if model is Order:
        return new["customer"] is not None
    if model is Category:
        return row is None or new["parent"] is None or not is_below(new["parent"], row)
    return model is not Tag or not others.filter(word=new["word"]).exists()


def is_below(category: Category | None, other: Model) -> bool:
    """Whether it is the other one, or somewhere under it."""
    while category is not None and category.pk != other.pk:
        category = category.parent
    return category is not None


def contents(model: type[Model], alias: str) -> dict[int, str]:
    """What the rows hold, by key, with names in place of what they point at."""
    key, column, names = model._meta.pk.attname, "", {}
    if model is Order or model is Category:
        target: type[Model] = Customer if model is Order else Category
        column = "customer_id" if model is Order else "parent_id"
        names = {pk: row["name"] for pk, row in rows_of(target, alias).items()}
    found = {}
    for pk, row in rows_of(model, alias).items():
        plain = {**row, key: None}
        if column:
            plain[column] = names.get(row[column], row[column])
        found[pk] = repr(plain)
    return found


def some(model: type[Model], chance: random.Random) -> Model | None:
    """A row of the side that `default` is: the same one whatever its key."""
    rows = sorted((content, pk) for pk, content in contents(model, LOCAL).items())
    return model._base_manager.get(pk=chance.choice(rows)[1]) if rows else None


def write_here(chance: random.Random) -> None:
    model = chance.choice(MODELS)
    row = some(model, chance) if chance.random() < 0.6 else None
    if row is None:
        key = chance.choice(KEYS)
        row = model._base_manager.filter(pk=key).first()
        write(chance, model, row, key)
    else:
        write(chance, model, row, None)


def write_there(chance: random.Random) -> None:
    model = chance.choice(MODELS)
    row = some(model, chance) if chance.random() < 0.7 else None
    write(chance, model, row, None)


def write(chance: random.Random, model: type[Model], row: Any, key: int | None) -> None:
    """Add a row, or change, touch or delete this one."""
    what, new = chance.choice(["put", "put", "part", "touch", "delete"]), values(model, chance)
    if row is not None and what == "delete":
        row.delete()
    elif row is not None and what == "touch":
        row.save()
    elif is_possible(model, row, new):
        found = row or model(pk=key)
        for name, value in new.items():
            setattr(found, name, value)
        found.save(update_fields=[*new] if row is not None and what == "part" else None)


def seen() -> list[Any]:
    return [[rows_of_both(model, contents) for model in dict.fromkeys(MODELS)], decisions()]


COURSE = Course(
    length=18,
    weights={"here": 24, "there": 2, "unlogged there": 2, "swap": 2, "run": 10, "run there": 3, "time": 2},
    write_here=write_here,
    write_there=write_there,
    swap=swap,
    seen=seen,
    pause=3600,
)


@contextmanager
def beginning_anew(chance: random.Random) -> Iterator[None]:
    settings = {
        "SYNCHRO_IDENTITY": "reference",
        "SYNCHRO_BATCH_SIZE": chance.choice([3, 5000]),
        "SYNCHRO_CONFLICT": chance.choice(["newer", "newer", "local", "remote"]),
    }
    with transaction.atomic(using=LOCAL), override_settings(**settings), rolled_back():
        for alias in (LOCAL, REMOTE):
            for model in dict.fromkeys(MODELS):
                have_keys_lie_above(alias, model)
        yield


def have_keys_lie_above(alias: str, model: type[Model]) -> None:
    """Have this database hand out other keys than those that are given."""
    with unlogged(alias), DisableSynchroLog():
        values = first_values(model, alias)
        model._base_manager.using(alias).create(pk=HANDED_OUT, **values).delete(using=alias)
        if model is Order:
            Customer.objects.using(alias).all().delete()
    table, column = model._meta.db_table, model._meta.pk.column
    backend_for(connections[alias]).pass_sequence(table, column, HANDED_OUT)


def first_values(model: type[Model], alias: str) -> dict[str, Any]:
    if model is Order:
        return {"customer": Customer.objects.using(alias).create()}
    return {"number": HANDED_OUT} if model is Seat else {}


def test_a_batch_goes_in_bulk_just_as_any_other_way() -> None:
    assert batches_in_bulk_where_every_way_ends_alike(SEEDS, beginning_anew, COURSE.live) > len(SEEDS)
