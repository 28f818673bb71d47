"""Columns of MySQL's spatial types: what the server keeps of a geometry, its reference system included, arrives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.db import connections, models
from django.db.migrations import CreateModel

from synchro.core import call_synchronize
from tests.evolving.history import LOCAL, REMOTE, History
from tests.replay.deployments import BY_TRIGGERS

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "remote"]),
    pytest.mark.skipif(
        {connections[alias].vendor for alias in (LOCAL, REMOTE)} != {"mysql"},
        reason="MySQL's and MariaDB's types",
    ),
]

SHAPES = {
    "ST_GeomFromText('POINT(1 2)')",
    "ST_GeomFromText('POINT(48.5 2)', 4326)",
    "ST_GeomFromText('POLYGON((0 0,0 1,1 1,0 0))')",
    "ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 1),LINESTRING(0 0,1 1))')",
    "NULL",
}


class GeometryField(models.Field):  # type: ignore[type-arg]
    """A column of others."""

    def db_type(self, connection: Any) -> str:
        return "geometry"


@pytest.fixture
def spots(tmp_path: Path) -> Iterator[Any]:
    history = History("spatial", tmp_path, BY_TRIGGERS)
    fields = [
        ("id", models.BigAutoField(primary_key=True)),
        ("name", models.CharField(max_length=9)),
        ("shape", GeometryField(null=True)),
    ]
    with history.begun():
        history.evolve([[CreateModel("Spot", fields)]])
        yield apps.get_model("evolving", "Spot")._base_manager


def put(shape: str, key: int) -> None:
    with connections[LOCAL].cursor() as cursor:
        cursor.execute(f"UPDATE evolving_spot SET shape = {shape} WHERE id = {key}")


def shapes(alias: str) -> list[Any]:
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT HEX(shape), ST_SRID(shape) FROM evolving_spot ORDER BY id")
        return cursor.fetchall()


def test_geometries_arrive_as_the_server_keeps_them(spots: Any) -> None:
    for shape in sorted(SHAPES):
        put(shape, spots.create(name="new").pk)
    call_synchronize()
    assert shapes(REMOTE) == shapes(LOCAL)
    assert len(set(shapes(REMOTE))) == len(SHAPES)

    first, second, *_others = spots.order_by("pk")
    put("ST_GeomFromText('POINT(3 4)')", first.pk)
    put("NULL", second.pk)
    for spot in (first, second) if not BY_TRIGGERS else ():
        spots.get(pk=spot.pk).save()
    call_synchronize()
    assert shapes(REMOTE) == shapes(LOCAL)
