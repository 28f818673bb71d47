"""Types that Django's own packages add to PostgreSQL, and columns of others: equal, or refused by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.db import connections, models
from django.db.migrations import CreateModel

from synchro.core import call_synchronize
from synchro.exceptions import Refused
from tests.evolving.history import LOCAL, REMOTE, History
from tests.replay.deployments import BY_TRIGGERS

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "remote"]),
    pytest.mark.skipif(
        {connections[alias].vendor for alias in (LOCAL, REMOTE)} != {"postgresql"},
        reason="PostgreSQL's own types",
    ),
]


class IntervalField(models.Field):  # type: ignore[type-arg]
    """A column of others."""

    def db_type(self, connection: Any) -> str:
        return "interval"


@pytest.fixture
def values(tmp_path: Path) -> Iterator[type[models.Model]]:
    from django.contrib.postgres.fields import ArrayField, DateTimeRangeField, IntegerRangeField

    history = History("values", tmp_path, BY_TRIGGERS)
    fields = [
        ("id", models.BigAutoField(primary_key=True)),
        ("numbers", ArrayField(models.IntegerField(), null=True)),
        ("data", ArrayField(models.JSONField(), null=True)),
        ("span", IntegerRangeField(null=True)),
        ("times", DateTimeRangeField(null=True)),
        ("lasts", IntervalField(null=True)),
    ]
    with history.begun():
        history.evolve([[CreateModel("Value", fields)]])
        yield apps.get_model("evolving", "Value")


def hold(model: type[models.Model], column: str, value: str) -> None:
    row = model._base_manager.create()
    with connections[LOCAL].cursor() as cursor:
        cursor.execute(f"UPDATE evolving_value SET {column} = %s WHERE id = %s", [value, row.pk])


def texts(alias: str) -> list[Any]:
    with connections[alias].cursor() as cursor:
        cursor.execute(
            "SELECT numbers::text, data::text, span::text, times::text, lasts::text FROM evolving_value ORDER BY id"
        )
        return cursor.fetchall()


def test_values_arrive_as_the_server_spells_them(values: type[models.Model]) -> None:
    for column, value in [
        ("numbers", "{1,NULL,3}"), ("numbers", "{}"), ("data", '{"1.5",NULL,"{\\"a\\": [1]}"}'), ("span", "[1,5]"),
        ("span", "empty"), ("span", "(,)"), ("times", "[2024-01-01 00:00:00.000001+02,]"), ("lasts", "3 days 00:00:01"),
    ]:  # fmt: skip
        hold(values, column, value)
    call_synchronize()
    assert texts(REMOTE) == texts(LOCAL)


@pytest.mark.parametrize(
    ("column", "value"),
    [("numbers", "[0:1]={7,8}"), ("data", '{"null",NULL}'), ("lasts", "1 mon"), ("times", "[infinity,]")],
)
def test_value_that_would_change_on_the_way_is_refused_by_name(
    values: type[models.Model], column: str, value: str
) -> None:
    hold(values, column, value)
    with pytest.raises(Refused, match=rf"evolving\.Value 1, column {column}: "):
        call_synchronize()
    assert not texts(REMOTE)
