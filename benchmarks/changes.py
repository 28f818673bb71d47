"""Changes of LOCAL's rows, and the entries that triggers would write about them, in bulk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import connections, transaction
from django.db.models import F, Model

from benchmarks.stock.models import Block, Crate, Label, Maker, Piece, Shelf
from synchro.backends import backend_for
from synchro.models import ADDITION, CHANGE, DELETION, M2M_CHANGE, ChangeLog

LOCAL = "default"
#: The columns that an update changes.
CHANGED = ("name", "amount", "changed")
AT_ONCE = 10_000
#: How many rows there are of each model that pieces point at.
PARENTS = 1000

START = datetime(2026, 1, 1, tzinfo=UTC)


def row(number: int) -> tuple[Any, ...]:
    """In the order of the model's columns."""
    return (
        number,
        f"Item number {number:08d}",
        f"{number:08d} " + "what there is to say about it " * 4,
        number % 1000,
        Decimal(number % 100_000) / 100,
        START + timedelta(seconds=number, microseconds=number % 1_000_000),
    )


def insert_parents() -> None:
    for model in (Shelf, Maker):
        insert(model, PARENTS)


def foreign_keys(model: type[Model], number: int) -> tuple[int, ...]:
    """Which rows the row with this number points at."""
    return (number % PARENTS + 1, number * 7 % PARENTS + 1) if model in (Block, Piece) else ()


def further(model: type[Model], number: int) -> tuple[Any, ...]:
    """The values of the columns that only this model has."""
    return (f"L{number}",) if model is Label else foreign_keys(model, number)


def insert(model: type[Model], count: int, first: int = 1) -> None:
    fields = [field.attname for field in model._meta.concrete_fields]
    for start in range(first, first + count, AT_ONCE):
        numbers = range(start, min(start + AT_ONCE, first + count))
        with transaction.atomic(using=LOCAL):
            model._base_manager.bulk_create(
                [
                    model(**dict(zip(fields, (*row(number), *further(model, number)), strict=True)))
                    for number in numbers
                ],
                batch_size=1000,
            )
            log(model, numbers, ADDITION)


def update(model: type[Model], count: int, known: bool = True) -> None:
    """Change three columns of every row. Where they are not `known`, the entries name none."""
    model._base_manager.update(
        name="Another name of the same item",
        amount=F("amount") + 1,
        changed=START + timedelta(days=1),
    )
    log(model, range(1, count + 1), CHANGE, CHANGED if known else None)


def delete(model: type[Model], count: int) -> None:
    model._base_manager.all()._raw_delete(LOCAL)  # type: ignore[attr-defined]
    log(model, range(1, count + 1), DELETION)


def members(crate: int, count: int) -> list[int]:
    """The keys of the makers of a crate."""
    return [(crate * 13 + place) % PARENTS + 1 for place in range(count)]


def insert_members(crates: range, count: int) -> None:
    through = Crate.makers.through
    rows = [through(crate_id=crate, maker_id=maker) for crate in crates for maker in members(crate, count)]
    through._base_manager.bulk_create(rows, batch_size=1000)


def delete_members(crates: range) -> None:
    through = Crate.makers.through
    through._base_manager.filter(crate_id__gte=crates[0])._raw_delete(LOCAL)


def log_members(crates: range, count: int) -> None:
    """Entries of the rows of the automatic table."""
    texts = [f'["{crate}", "{maker}"]' for crate in crates for maker in members(crate, count)]
    for start in range(0, len(texts), AT_ONCE):
        _write(
            Crate.makers.through, [(text, None) for text in texts[start : start + AT_ONCE]], ADDITION, None
        )


def log_sets(crates: range, count: int) -> None:
    """Entries of the crates whose sets changed."""
    named = [(str(crate), json.dumps([str(maker) for maker in members(crate, count)])) for crate in crates]
    _write(Crate, named, M2M_CHANGE, ("makers",))


def log(model: type[Model], keys: range, action: int, fields: tuple[str, ...] | None = None) -> None:
    for part in _parts(keys):
        _write(model, [(str(key), None) for key in part], action, fields)


def _write(
    model: type[Model],
    named: list[tuple[str, str | None]],
    action: int,
    fields: tuple[str, ...] | None,
) -> None:
    """Write entries of the objects with these keys, each with the members that came or went."""
    connection = connections[LOCAL]
    columns = ["content_type_id", "object_id", "action", "date", "fields", "members"]
    type_id = ContentType.objects.get_for_model(model).pk
    now: Any = datetime.now(UTC)
    if not connection.features.supports_timezones:
        now = now.replace(tzinfo=None)
    if connection.vendor == "sqlite":
        now = str(now)
    names = None if fields is None else ",".join(fields)
    with transaction.atomic(using=LOCAL):
        rows = [(type_id, key, action, now, names, members) for key, members in named]
        backend_for(connection).insert(ChangeLog._meta.db_table, columns, rows)


def _parts(keys: range) -> Iterator[range]:
    for start in range(0, len(keys), AT_ONCE):
        yield keys[start : start + AT_ONCE]
