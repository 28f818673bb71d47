"""
Whatever points at what, in whichever way, REMOTE ends up the same whichever way the batches go.

Each row has a name that no other has, so rows go by that, and so does what they point at.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, TypeAlias

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import IntegrityError, connections, transaction
from django.db.models import Model
from django.test.utils import override_settings

from synchro.backends import backend_for
from synchro.core import DisableSynchroLog, call_synchronize
from synchro.exceptions import SynchroError
from synchro.models import Conflict, Reference
from tests.odd.models import Badge, Box, Level, Loan, Player, Scan, Team, Trace
from tests.replay.deployments import LOCAL, REMOTE, let_time_pass, other_side, unlogged
from tests.replay.histories.test_bulk import call_quietly, in_groups, object_by_object, wholesale
from tests.replay.histories.test_shop import rolled_back
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
    Trace: "text", Box: "name", Team: "motto", Player: "name", Badge: "holder", Scan: "door", Loan: "thing",
    User: "name", Invoice: "total", Level: "name",
}  # fmt: skip
#: And of a value that no two rows may share, of which there are few.
RARE: dict[type[Model], str] = {Team: "name", Badge: "code"}
#: Rows of LOCAL come back under a key that was there before.
KEYS = range(1, 5)
HANDED_OUT = {LOCAL: 1000, REMOTE: 20_000}
LENGTH = 22
SEEDS = range(FIRST + 300, FIRST + 300 + max(1, EXAMPLES // 6))

#: What REMOTE had after each run, and what came of the run.
Trace_: TypeAlias = list[Any]


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


def run(trace: Trace_, atomic: bool) -> None:
    try:
        report = call_synchronize(atomic=atomic)
        came = [(m.model, m.added, m.changed, m.deleted, m.kept) for m in report.models]
    except SynchroError as error:
        came = [type(error).__name__]
    trace.append((came, is_sound(), {model.__name__: state(model) for model in NAMES}, decisions()))


def is_sound() -> bool:
    """Whether REMOTE's server would commit this; those that check at once have no say, and take long to find out."""
    if not backend_for(connections[REMOTE]).defers_foreign_keys:
        return True
    try:
        connections[REMOTE].check_constraints()
    except IntegrityError:
        return False
    return True


def state(model: type[Model]) -> list[Any]:
    """What each side has, and which row is whose: both sides say the same of that."""
    here, there = contents(model, LOCAL), contents(model, REMOTE)
    ours, theirs = pairs(model, LOCAL), pairs(model, REMOTE)
    found = [(here.get(one), there.get(other), (other, one) in theirs) for one, other in ours]
    owned = {other for _one, other in ours}
    return sorted(found, key=str) + sorted(content for key, content in there.items() if key not in owned)


def pairs(model: type[Model], alias: str) -> set[tuple[int, int]]:
    kind = ContentType.objects.db_manager(alias).get_for_model(model)
    found = Reference.objects.using(alias).filter(content_type_id=kind.pk)
    return {(int(one), int(other)) for one, other in found.values_list("local_object_id", "remote_object_id")}


def decisions() -> list[tuple[Any, ...]]:
    return sorted(Conflict.objects.values_list("content_type__model", "fields", "decision"), key=str)


def live(seed: int) -> Trace_:
    """The same history for the same seed: what both sides do, and runs in both directions."""
    chance = random.Random(seed)
    trace: Trace_ = []
    models, atomic = chosen(chance), chance.random() < 0.25
    for _ in range(chance.choice([10, 30])):
        write(chance, models, True)
    run(trace, atomic)
    for _ in range(LENGTH):
        what = chance.choices(["here", "there", "unlogged there", "run", "exchange", "time"],
                              [24, 2, 2, 10, 3, 2])[0]  # fmt: skip
        if what == "run":
            run(trace, atomic)
        elif what == "here":
            for _time in range(chance.choice([1, 2, 8])):
                write(chance, models, True)
        elif what == "time":
            let_time_pass(chance.choice([10, 3600]))
        else:
            with other_side(), unlogged(LOCAL) if what == "unlogged there" else nullcontext():
                call_quietly() if what == "exchange" else write(chance, models, False)
            if what == "exchange":
                let_time_pass(3600)
    run(trace, atomic)
    return trace


@contextmanager
def beginning_anew(**settings: Any) -> Iterator[None]:
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


def test_a_batch_arrives_as_a_whole_just_as_any_other_way() -> None:
    as_a_whole = 0
    for seed in SEEDS:
        other_way = object_by_object if seed % 3 == 0 else in_groups
        chance = random.Random(seed)
        start = {
            "SYNCHRO_BATCH_SIZE": chance.choice([1, 3, 10, 5000, 5000]),
            "SYNCHRO_CONFLICT": chance.choice(["newer", "newer", "local", "remote"]),
            "SYNCHRO_ON_ERROR": chance.choice(["stop", "quarantine"]),
            "SYNCHRO_IDENTITY": chance.choice(["reference", "reference", "pk"]),
        }
        with beginning_anew(**start), wholesale() as went:
            expected = live(seed)
            as_a_whole += sum(bool(part.named) for part in went.values())
        with beginning_anew(**start), other_way():
            found = live(seed)

        assert found == expected, f"seed {seed}"
    assert as_a_whole
