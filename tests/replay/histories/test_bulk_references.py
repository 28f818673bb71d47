"""
Where REMOTE hands out the keys, it ends up the same whichever way the batches go.

The keys themselves may differ, so rows go by what they hold, and by whose row they are.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, TypeAlias

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connections, transaction
from django.db.models import Model
from django.test.utils import override_settings

from synchro.backends import backend_for
from synchro.core import DisableSynchroLog, call_synchronize
from synchro.exceptions import SynchroError
from synchro.models import Conflict, Reference
from tests.replay.compare import rows_of
from tests.replay.deployments import LOCAL, REMOTE, let_time_pass, other_side, unlogged
from tests.replay.histories.test_bulk import (
    COLUMNS,
    assert_every_way_ends_alike,
    call_quietly,
    swap,
)
from tests.replay.histories.test_shop import rolled_back
from tests.replay.hypothesis_settings import EXAMPLES, FIRST
from tests.shop.models import Category, Customer, Measurement, Order, Seat, Tag

pytestmark = pytest.mark.django_db(databases=["default", "remote"])

#: A customer has orders and categories have others above them, nothing else points at another; tags have a natural key.
MODELS: list[type[Model]] = [Customer, Order, Order, Category, Seat, Measurement, Tag]
#: Rows of LOCAL come back under a key that was there before. What a database hands out lies above.
KEYS, HANDED_OUT = range(1, 6), 1000
LENGTH = 18
SEEDS = range(FIRST + 200, FIRST + 200 + max(3, EXAMPLES // 2))

#: What REMOTE had after each run, and what came of the run.
Trace: TypeAlias = list[Any]


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


def run(trace: Trace) -> None:
    try:
        report = call_synchronize()
        came = [(m.model, m.added, m.changed, m.deleted, m.kept) for m in report.models]
    except SynchroError as error:
        came = [type(error).__name__]
    trace.append((came, [state(model) for model in dict.fromkeys(MODELS)], decisions()))


def state(model: type[Model]) -> list[Any]:
    """What each side has, and which row is whose: both sides say the same of that."""
    here, there = contents(model, LOCAL), contents(model, REMOTE)
    ours, theirs = pairs(model, LOCAL), pairs(model, REMOTE)
    found = [(here.get(one), there.get(other), (other, one) in theirs) for one, other in ours]
    owned = {other for _one, other in ours}
    return sorted(found, key=str) + sorted(content for pk, content in there.items() if pk not in owned)


def pairs(model: type[Model], alias: str) -> set[tuple[int, int]]:
    kind = ContentType.objects.db_manager(alias).get_for_model(model)
    found = Reference.objects.using(alias).filter(content_type_id=kind.pk)
    return {(int(one), int(other)) for one, other in found.values_list("local_object_id", "remote_object_id")}


def decisions() -> list[tuple[Any, ...]]:
    return sorted(Conflict.objects.values_list("content_type__model", "fields", "decision"), key=str)


def live(seed: int) -> Trace:
    """The same history for the same seed: what both sides do, and runs in both directions."""
    chance = random.Random(seed)
    trace: Trace = []
    for _ in range(LENGTH):
        what = chance.choices(["here", "there", "unlogged there", "swap", "run", "exchange", "time"],
                              [24, 2, 2, 2, 10, 3, 2])[0]  # fmt: skip
        if what == "run":
            run(trace)
        elif what == "here":
            for _time in range(chance.choice([1, 1, 6])):
                write_here(chance)
        elif what == "swap":
            swap(chance)
        elif what == "time":
            let_time_pass(chance.choice([10, 3600]))
        else:
            let_time_pass(
                1
            )  # between the two sides: within one millisecond, the random names of the nodes decide
            with other_side(), unlogged(LOCAL) if what == "unlogged there" else nullcontext():
                call_quietly() if what == "exchange" else write_there(chance)
            let_time_pass(3600 if what == "exchange" else 1)
    run(trace)
    return trace


@contextmanager
def beginning_anew(batch_size: int, policy: str) -> Iterator[None]:
    settings = {
        "SYNCHRO_IDENTITY": "reference",
        "SYNCHRO_BATCH_SIZE": batch_size,
        "SYNCHRO_CONFLICT": policy,
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


def test_a_batch_arrives_as_a_whole_just_as_any_other_way() -> None:
    assert_every_way_ends_alike(SEEDS, beginning_anew, live)
