"""
Whatever points at what, in whichever way, REMOTE ends up the same whichever way the batches go.

Each row has a name that no other has, so rows go by that, and so does what they point at.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import pytest
from django.db import IntegrityError, connections, transaction
from django.db.models import Model
from django.test.utils import override_settings

from synchro.backends import backend_for
from synchro.core import DisableSynchroLog
from tests.odd import models as odd
from tests.odd.models import Badge, Box, Level, Loan, Player, Scan, Team
from tests.replay.deployments import LOCAL, REMOTE, let_time_pass, other_side, unlogged
from tests.replay.histories.harness import (
    Trace,
    batches_in_bulk_where_every_way_ends_alike,
    call_quietly,
    decisions,
    rolled_back,
    rows_of_both,
    run,
)
from tests.replay.hypothesis_settings import EXAMPLES, FIRST
from tests.shop.models import (
    Artist,
    Band,
    Category,
    Customer,
    Department,
    Employee,
    Membership,
    Order,
    Product,
    Profile,
)
from tests.spicy.models import Invoice, User
from tests.unwatched.models import Region, Supplier

pytestmark = pytest.mark.django_db(databases=["default", "remote"])

#: With the column of a row's name.
NAMES: dict[type[Model], str] = {
    Customer: "name", Order: "note", Profile: "text", Category: "name", Department: "name", Employee: "name",
    Band: "name", Artist: "name", Membership: "role", Product: "name", Supplier: "name", Region: "name",
    odd.Trace: "text", Box: "name", Team: "motto", Player: "name", Badge: "holder", Scan: "door", Loan: "thing",
    User: "name", Invoice: "total", Level: "name",
}  # fmt: skip
#: And of a value that no two rows may share, of which there are few.
RARE: dict[type[Model], str] = {Team: "name", Badge: "code"}
#: Rows of LOCAL come back under a key that was there before.
KEYS = range(1, 5)
HANDED_OUT = {LOCAL: 1000, REMOTE: 20_000}
LENGTH = 22
SEEDS = range(FIRST + 300, FIRST + 300 + max(1, EXAMPLES // 6))


def foreign(model: type[Model]) -> list[Any]:
    return [field for field in model._meta.concrete_fields if field.remote_field is not None]


def chosen(chance: random.Random) -> list[type[Model]]:
    """A few models, and what they point at."""
    found = dict.fromkeys(chance.sample(list(NAMES), 3))
    for _ in range(3):
        for model in list(found):
            found |= dict.fromkeys(f.related_model for f in foreign(model))
    return list(found)


def values(model: type[Model], chance: random.Random) -> dict[str, Any] | None:
    """New values; None where there is no row that one of them has to point at, or where another row has them."""
    found: dict[str, Any] = {NAMES[model]: chance.randrange(10**9)}
    for field in foreign(model):
        row = some(field.related_model, chance) if not field.null or chance.random() < 0.7 else None
        if row is None and not field.null:
            return None
        found[field.name] = row
    if model in RARE:
        found[RARE[model]] = f"{chance.randrange(5)}"
    unique = [name for name in found if model._meta.get_field(name).unique]  # type: ignore[union-attr]
    is_taken = any(model._base_manager.filter(**{name: found[name]}).exists() for name in unique)
    return None if is_taken else found


def contents(model: type[Model], alias: str, depth: int = 0) -> dict[int, str]:
    """What the rows hold, by key, with what those hold that they point at in place of keys."""
    columns = {field.attname: field for field in foreign(model)}
    below = {
        name: contents(field.related_model, alias, depth + 1) if depth < 2 else {}
        for name, field in columns.items()
    }
    own, found = model._meta.pk.attname, {}
    for row in model._base_manager.using(alias).values():
        plain = {name: value for name, value in row.items() if name != own or model is Level}
        for name in columns:
            if plain[name] is not None:
                plain[name] = below[name].get(plain[name], "nowhere")
        found[model._meta.pk.get_prep_value(row[own])] = repr(plain)
    return found


def some(model: type[Model], chance: random.Random) -> Any:
    """A row of the side that `default` is: the same one whatever its key."""
    rows = sorted((content, key) for key, content in contents(model, LOCAL).items())
    return by_key(model, chance.choice(rows)[1]) if rows else None


def by_key(model: type[Model], key: int) -> Any:
    return next(
        (row for row in model._base_manager.all() if key == model._meta.pk.get_prep_value(row.pk)), None
    )


def is_possible(row: Model | None, new: dict[str, Any]) -> bool:
    """Whether the row would not stand below itself."""
    for name, value in new.items():
        while row is not None and type(value) is type(row):
            if value.pk == row.pk:
                return False
            value = getattr(value, name)
    return True


def write(chance: random.Random, models: list[type[Model]], is_here: bool) -> None:
    """Add, change, touch or delete a row of the side that `default` is, or delete it and add it again."""
    model, key = chance.choice(models), None
    row = some(model, chance) if chance.random() < 0.65 else None
    if row is None and (is_here or model is Level):
        key = chance.choice(KEYS)
        row = by_key(model, key)
    what = chance.choice(["put", "put", "put", "part", "touch", "delete", "delete", "again"])
    new, is_unlogged = values(model, chance), chance.random() < 0.06
    with DisableSynchroLog() if is_unlogged else nullcontext(), suppress(IntegrityError):
        if row is not None and what in ("delete", "again"):
            row.delete()
            is_there = not any(isinstance(value, model) for value in (new or {}).values())
            if what == "again" and key is not None and new is not None and is_there:
                with transaction.atomic():
                    model(pk=key, **new).save(force_insert=True)
        elif row is not None and what == "touch":
            row.save()
        elif new is not None and is_possible(row, new):
            found = row or model(pk=key)
            for name, value in new.items():
                setattr(found, name, value)
            found.save(update_fields=[*new] if row is not None and what == "part" else None)


def seen() -> list[Any]:
    return [is_sound(), {model.__name__: rows_of_both(model, contents) for model in NAMES}, decisions()]


def is_sound() -> bool:
    """Whether REMOTE's server would commit this; those that check at once have no say, and take long to find out."""
    if not backend_for(connections[REMOTE]).defers_foreign_keys:
        return True
    try:
        connections[REMOTE].check_constraints()
    except IntegrityError:
        return False
    return True


def live(seed: int) -> Trace:
    """The same history for the same seed: what both sides do, and runs in both directions."""
    chance = random.Random(seed)
    trace: Trace = []
    models, atomic = chosen(chance), chance.random() < 0.25
    for _ in range(chance.choice([10, 30])):
        write(chance, models, True)
    run(trace, seen, atomic)
    for _ in range(LENGTH):
        what = chance.choices(["here", "there", "unlogged there", "run", "run there", "time"],
                              [24, 2, 2, 10, 3, 2])[0]  # fmt: skip
        if what == "run":
            run(trace, seen, atomic)
        elif what == "here":
            for _time in range(chance.choice([1, 2, 8])):
                write(chance, models, True)
        elif what == "time":
            let_time_pass(chance.choice([10, 3600]))
        else:
            with other_side(), unlogged(LOCAL) if what == "unlogged there" else nullcontext():
                call_quietly() if what == "run there" else write(chance, models, False)
            if what == "run there":
                let_time_pass(3600)
    run(trace, seen, atomic)
    return trace


@contextmanager
def beginning_anew(chance: random.Random) -> Iterator[None]:
    settings = {
        "SYNCHRO_BATCH_SIZE": chance.choice([1, 3, 10, 5000, 5000]),
        "SYNCHRO_CONFLICT": chance.choice(["newer", "newer", "local", "remote"]),
        "SYNCHRO_ON_ERROR": chance.choice(["stop", "quarantine"]),
        "SYNCHRO_IDENTITY": chance.choice(["reference", "reference", "pk"]),
    }
    with transaction.atomic(using=LOCAL), override_settings(**settings), rolled_back():
        for alias in (LOCAL, REMOTE):
            for place, model in enumerate(NAMES):
                if model is not Level:
                    have_keys_lie_above(alias, model, HANDED_OUT[alias] + place)
        yield


def have_keys_lie_above(alias: str, model: type[Model], number: int) -> None:
    """Have this database hand out other keys than those that are given, and than the other one."""
    connection, table, column = connections[alias], model._meta.db_table, model._meta.pk.column
    with unlogged(alias), connection.constraint_checks_disabled(), connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("DELETE FROM sqlite_sequence WHERE name = %s", [table])
            cursor.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (%s, %s)", [table, number])
        elif connection.vendor == "mysql":
            cursor.execute(f"INSERT IGNORE INTO {table} ({column}) VALUES (%s)", [number])
            cursor.execute(f"DELETE FROM {table} WHERE {column} = %s", [number])
    backend_for(connection).pass_sequence(table, column, number)


def test_a_batch_goes_in_bulk_just_as_any_other_way() -> None:
    assert batches_in_bulk_where_every_way_ends_alike(SEEDS, beginning_anew, live, one_by_one=3)
