"""Rows that are equal on both sides, and differences that are planted among them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.core.management import call_command
from django.db import connections
from django.db.models import Model

from synchro.core import call_synchronize
from synchro.replay.handshake import look_at
from synchro.replay.session import Database, Databases, own_settings
from synchro.verify import ModelResult, checksums, verify
from synchro.verify.sides import sides_of
from tests.replay.deployments import REMOTE, create_on_remote, unlogged
from tests.shop.models import (
    Album,
    Artist,
    Category,
    Comment,
    Country,
    Customer,
    Measurement,
    Order,
    Parcel,
    Pizzeria,
    Shelf,
    Warehouse,
)


def found(*models: type[Model]) -> dict[type[Model], ModelResult]:
    results = verify("remote", models)
    return {
        result.model: result for result in results if result.rows or result.differences or result.on_the_way
    }


def differences(*models: type[Model]) -> list[tuple[str, str, tuple[str, ...]]]:
    return [
        (result.model.__name__, difference.kind, difference.fields)
        for result in found(*models).values()
        for difference in result.differences
    ]


def populate() -> None:
    """Rows of every kind of key, of references and sets, with other keys on REMOTE."""
    create_on_remote(Customer, name="REMOTE's own")
    create_on_remote(Artist, name="REMOTE's own")
    call_command("synchronize", verbosity=0)
    customer = Customer.objects.create(name="Vimes", cash=3)
    Order.objects.create(customer=customer, note="boots")
    Parcel.objects.create(weight=3, receiver=customer)
    Shelf.objects.create(aisle=1, letter="a", width=5)
    Warehouse.objects.create(name="Docks")
    Country.objects.create(code="xx", name="Überwald")
    parent = Category.objects.create(name="books")
    Category.objects.create(name="maps", parent=parent)
    Comment.objects.create(target=customer, text="careful")
    Pizzeria.objects.create(name="Ron's", seats=3, ovens=2, owner=customer)
    one, other = Artist.objects.create(name="Buddy"), Artist.objects.create(name="Lias")
    one.friends.add(other)
    one.follows.add(other)
    album = Album.objects.create(name="Rocks")
    album.artists.set([one, other])
    Measurement.objects.create(moment=datetime(2020, 2, 29, 12, 0, 0, 5, UTC), amount=Decimal("1.5"))
    call_synchronize()
    with unlogged(REMOTE):
        Customer.objects.using(REMOTE).filter(name="REMOTE's own").delete()
        Artist.objects.using(REMOTE).filter(name="REMOTE's own").delete()


def change(model: type[Model], alias: str = REMOTE, **values: Any) -> Callable[[], None]:
    def plant() -> None:
        row = model._base_manager.using(alias).order_by("-pk").first()
        assert row is not None
        model._base_manager.using(alias).filter(pk=row.pk).update(**values)

    return plant


def delete(model: type[Model], alias: str) -> Callable[[], None]:
    def plant() -> None:
        row = model._base_manager.using(alias).order_by("-pk").first()
        assert row is not None
        raw_delete(model, alias, row.pk)

    return plant


def raw_delete(model: type[Model], alias: str, key: Any) -> None:
    """Delete a row alone, and have no signal sent."""
    with connections[alias].constraint_checks_disabled():
        model._base_manager.using(alias).filter(pk=key)._raw_delete(alias)  # type: ignore[attr-defined]


def suspects(model: type[Model]) -> tuple[int, int] | None:
    """Return how many rows the servers call equal, and how many keys they leave to be compared."""
    session = look_at(Databases(Database(REMOTE)))
    with own_settings(session):
        sides = sides_of(session, model)
        found = None if sides is None else checksums.suspects(sides)
        parts = None if found is None else list(found)
    if parts is None:
        return None
    return sum(p.equal for p in parts), sum(len(p.local_keys) + len(p.remote_keys) for p in parts)
