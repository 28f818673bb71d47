"""
Whatever holds on to whatever, and wherever a batch ends in between, REMOTE ends as LOCAL is.

Rows are moved, renamed, shifted, tied to rings and torn out with all that is below them, in transactions of their own.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from typing import Any

import pytest
from django.db import IntegrityError, connections, transaction
from django.db.models import Model
from django.db.models.signals import post_delete
from django.test.utils import override_settings

from synchro.backends import backend_for
from synchro.core import call_synchronize
from tests.knots.models import (
    Anchor,
    Berth,
    Bunk,
    Cabin,
    Call,
    Deck,
    Duty,
    Flag,
    Hold,
    Key,
    Lock,
    Mast,
    Place,
    Player,
    Port,
    Ring,
    Rope,
    Sail,
    Sailor,
    Ship,
    Team,
)
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import BY_TRIGGERS, LOCAL, REMOTE, watching
from tests.replay.histories.harness import object_by_object, rolled_back
from tests.replay.hypothesis_settings import EXAMPLES, FIRST

pytestmark = pytest.mark.django_db(databases=["default", "remote"])

MODELS: list[type[Model]] = [
    Ship, Deck, Cabin, Bunk, Anchor, Sailor, Duty, Hold, Port, Call, Flag, Mast, Sail, Place, Berth, Rope, Team, Player,
]  # fmt: skip
SEEDS = range(FIRST + 700, FIRST + 700 + max(2, EXAMPLES // 2))
TABLES = [model._meta.db_table for model in (*MODELS, Ring, Lock, Key)]
LENGTH = 60


@pytest.fixture(scope="module", autouse=True)
def watched(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    with watching(django_db_blocker, "knots"):
        yield


@pytest.mark.parametrize("seed", SEEDS)
def test_remote_ends_as_local_wherever_a_batch_ends(seed: int) -> None:
    chance = random.Random(seed)
    start = {
        "SYNCHRO_BATCH_SIZE": chance.randint(1, 5),
        "SYNCHRO_IDENTITY": chance.choice(["reference", "pk"]),
        "SYNCHRO_ON_ERROR": chance.choice(["stop", "stop", "quarantine"]),
    }
    way = object_by_object() if chance.random() < 0.3 else nullcontext()
    with override_settings(**start), rolled_back(), way:
        history = History(chance)
        for _ in range(25):
            history.step(history.create)
        call_synchronize()
        for _ in range(LENGTH):
            history.step()
            if chance.random() < 0.15:
                call_synchronize(atomic=chance.random() < 0.2)
        call_synchronize()
        call_synchronize()
        assert_same_rows()
        if backend_for(connections[REMOTE]).defers_foreign_keys:
            connections[REMOTE].check_constraints(TABLES)


class History:
    """What a program does on LOCAL."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.steps: list[Callable[[], None]] = [
            self.create, self.create, self.change, self.change, self.touch, self.delete, self.tear_out, self.tear_out,
            self.replace, self.rename, self.shift, self.tie,
        ]  # fmt: skip

    def step(self, what: Callable[[], None] | None = None) -> None:
        """One transaction."""
        connection = connections[LOCAL]
        unchecked = connection.constraint_checks_disabled() if connection.vendor == "mysql" else nullcontext()
        with suppress(IntegrityError), unchecked, transaction.atomic():
            (what or self.chance.choice(self.steps))()
            connection.check_constraints(TABLES)

    # -- the steps ----------------------------------------------------------------------------------------------

    def create(self) -> None:
        model = self.chance.choice(MODELS)
        if values := self.values(model):
            model(**values).save(force_insert=True)

    def change(self) -> None:
        row = self.some(self.chance.choice(MODELS))
        values = self.values(type(row)) if row is not None else None
        if row is not None and values:
            names = [name for name in values if not type(row)._meta.get_field(name).primary_key]  # type: ignore[union-attr]
            for name in names:
                setattr(row, name, values[name])
            row.save(update_fields=names if names and self.chance.random() < 0.5 else None)

    def touch(self) -> None:
        row = self.some(self.chance.choice(MODELS))
        if row is not None:
            row.save()

    def delete(self) -> None:
        row = self.some(self.chance.choice(MODELS))
        if row is not None:
            row.delete()

    def tear_out(self) -> None:
        """Delete a row and all that is below it, in any order."""
        row = self.some(self.chance.choice([Ship, Sailor, Hold, Port, Flag, Cabin, Team, Ring, Lock]))
        if row is not None:
            rows = list(below(row).values())
            self.chance.shuffle(rows)
            for each in rows:
                erase(each)

    def replace(self) -> None:
        """Have all that points at a row point at another one, and delete it; perhaps it was touched before."""
        model = self.chance.choice([Ship, Sailor, Hold, Port, Flag, Cabin, Team])
        row, other = self.some(model), self.some(model)
        if row is None or other is None or row.pk == other.pk:
            return
        if self.chance.random() < 0.7:
            row.save()
        for child, name in pointing(row):
            if child.pk != row.pk or type(child) is not model:
                setattr(child, name, other)
                child.save()
        erase(row)

    def rename(self) -> None:
        """Give a port another code together with what points at it."""
        port = self.some(Port)
        if port is None:
            return
        calls = list(Call.objects.filter(port_id=port.code))
        port.code = f"{self.chance.randrange(10**6)}"
        for row in self.chance.sample([port, *calls], 1 + len(calls)):
            if row is not port:
                row.port_id = port.code
            row.save()

    def shift(self) -> None:
        """Have all places move up, or change places with each other."""
        several = list(Place.objects.order_by("number"))
        numbers = [place.number for place in several]
        if self.chance.random() < 0.5:
            self.chance.shuffle(numbers)
        else:
            numbers = [number + 1 for number in numbers]
        for place in several:
            Place.objects.filter(pk=place.pk).update(number=10**6 + place.pk)
        for place, number in self.chance.sample([*zip(several, numbers, strict=True)], len(several)):
            place.number = number
            place.save()

    def tie(self) -> None:
        """Rows that must point at each other, all new or with one that is there already."""
        lock, key = uuid.uuid4(), uuid.uuid4()
        if self.chance.random() < 0.3:
            Lock.objects.create(id=lock, key_id=key)
            Key.objects.create(id=key, lock_id=lock)
            return
        keys = [uuid.uuid4() for _ in range(self.chance.randint(1, 4))]
        after = self.some(Ring) if self.chance.random() < 0.5 else None
        for place, own in enumerate(keys):
            last = place == len(keys) - 1
            following = keys[0] if after is None and last else after.next_id if last else keys[place + 1]
            Ring.objects.create(id=own, name=f"{place}", next_id=following)
        if after is not None:
            after.next_id = keys[0]
            after.save()

    # -- what they are about ------------------------------------------------------------------------------------

    def some(self, model: type[Model]) -> Any:
        rows = list(model._base_manager.order_by("pk"))
        return self.chance.choice(rows) if rows else None

    def values(self, model: type[Model]) -> dict[str, Any]:
        """New values; none where there is no row that one of them has to point at, or where another row has them."""
        found: dict[str, Any] = {}
        for field in model._meta.concrete_fields:
            if field.remote_field is not None:
                row = self.some(field.related_model) if not field.null or self.chance.random() < 0.7 else None
                if row is None and not field.null:
                    return {}
                found[field.name] = row
            elif field.name in ("name", "code"):
                found[field.name] = f"{self.chance.randrange(10**6)}"
            elif field.name in ("number", "row", "column", "height", "area"):
                found[field.name] = self.chance.randrange(12)
        return found


def pointing(row: Model) -> Iterator[tuple[Any, str]]:
    """The rows that point at one, each with the name of the foreign key."""
    for relation in row._meta.related_objects:
        field: Any = relation.field
        value = getattr(row, field.target_field.attname)
        for child in relation.related_model._base_manager.filter(**{field.attname: value}):
            yield child, field.name


def below(row: Model) -> dict[tuple[type[Model], Any], Model]:
    """A row and all that points at it, directly or not."""
    found: dict[tuple[type[Model], Any], Model] = {}
    frontier = [row]
    while frontier:
        each = frontier.pop()
        if (type(each), each.pk) not in found:
            found[type(each), each.pk] = each
            frontier += [child for child, _name in pointing(each)]
    return found


def erase(row: Model) -> None:
    """Delete one row and nothing else, whatever points at it."""
    type(row)._base_manager.filter(pk=row.pk)._raw_delete(LOCAL)  # type: ignore[attr-defined]
    if not BY_TRIGGERS:
        post_delete.send(sender=type(row), instance=row, using=LOCAL, origin=row)
