"""A hundred differences among rows of which the servers say that the others are equal: each is found."""

from __future__ import annotations

import random
from typing import Any

import pytest
from django.db.models import Model

from synchro.backends.digests.sqlite import SQLiteDigests
from synchro.core import DisableSynchroLog, call_synchronize
from synchro.keys import to_text
from synchro.verify import checksums, compare, verify
from synchro.verify.results import DIFFERENT, EXTRA, MISSING
from tests.replay.deployments import REMOTE, create_on_remote, unlogged
from tests.shop.models import Country, Customer, Measurement, Warehouse
from tests.verify.planting import raw_delete

pytestmark = pytest.mark.django_db(databases=["default", "remote"], transaction=True)

#: A key that is the same number, two that references know, and one that is a text; each with the column that differs.
MODELS: list[tuple[type[Model], str]] = [
    (Warehouse, "name"),
    (Customer, "name"),
    (Measurement, "short"),
    (Country, "name"),
]


def values_of(model: type[Model], column: str, number: int) -> dict[str, Any]:
    key = {Country: {"code": f"c{number}"}, Warehouse: {"pk": number + 1}}
    return {column: f"Row {number} ", **key.get(model, {})}


def plant(model: type[Model], column: str) -> list[tuple[str, str]]:
    """Plant 25 differences among the rows; return the kind of each, and the key by which it is named."""
    there = {getattr(row, column): row for row in model._base_manager.using(REMOTE).all()}
    rows = random.sample(list(model._base_manager.all()), 25)
    planted = []
    for place, row in enumerate(rows):
        text = getattr(row, column)
        other, key, kind = there[text], to_text(model, row.pk), DIFFERENT
        changed: Any = [text.replace("R", "B"), text.swapcase(), text.rstrip(), text + "\u0301", ""][
            place % 5
        ]
        if model is Measurement and changed == "" and place < 10:
            alias, pk = (REMOTE, other.pk) if place < 5 else ("default", row.pk)
            Measurement.objects.using(alias).filter(pk=pk).update(short=None)
        match place // 5:
            case 0 | 1:
                alias, pk = ("default", row.pk) if place < 5 else (REMOTE, other.pk)
                model._base_manager.using(alias).filter(pk=pk).update(**{column: changed})
            case 2:
                raw_delete(model, REMOTE, other.pk)
                kind = MISSING
            case 3:
                raw_delete(model, "default", row.pk)
                kind = EXTRA
            case _ if place % 2:
                with DisableSynchroLog():
                    new = model._base_manager.create(**values_of(model, column, 1000 + place))
                kind, key = MISSING, to_text(model, new.pk)
            case _:
                new = create_on_remote(model, **values_of(model, column, 1000 + place))
                kind, key = EXTRA, to_text(model, new.pk)
        planted.append((kind, key))
    return planted


def test_each_of_a_hundred_differences_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    for column in ("PARTS", "SPREAD"):
        monkeypatch.setattr(checksums, column, 16)
    monkeypatch.setattr(SQLiteDigests, "rows_at_once", 16)
    monkeypatch.setattr(checksums, "FEW", 10)  # so that ranges are divided further
    create_on_remote(Customer, name="REMOTE's own")  # keys are not the same then
    for model, column in MODELS:
        for number in range(40):
            model._base_manager.create(**values_of(model, column, number))
    call_synchronize()
    with unlogged("default"), unlogged(REMOTE):
        Customer.objects.using(REMOTE).filter(name="REMOTE's own").delete()
        planted = {model: plant(model, column) for model, column in MODELS}
    looked_at = []
    compared = compare.compare_rows
    monkeypatch.setattr(
        compare, "compare_rows", lambda *args: looked_at.append(len(args[2])) or compared(*args)
    )

    found = {result.model: result for result in verify("remote", [model for model, _column in MODELS])}

    for model, expected in planted.items():
        named = {
            (d.kind, to_text(model, d.remote_key if d.key is None else d.key))
            for d in found[model].differences
        }
        assert named == set(expected), model
    assert found[Warehouse].equal == 40 - 20
    assert sum(looked_at) < 200  # each twice; the others were left to the servers
