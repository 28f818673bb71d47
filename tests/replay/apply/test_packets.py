"""MySQL and MariaDB take statements up to a length of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connections

from synchro.backends import backend_for
from synchro.core import call_synchronize
from synchro.exceptions import Refused
from synchro.models import ADDITION, ChangeLog
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import REMOTE, other_side, remote_count
from tests.shop.models import Customer, Measurement

pytestmark = [
    pytest.mark.django_db(databases=["default", "remote"]),
    pytest.mark.skipif(connections[REMOTE].vendor != "mysql", reason="takes statements of any length"),
]

#: Far below what any server has.
SHORT = 300_000


@pytest.fixture(params=["pk", "reference"])
def identity(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Measurement, "SYNCHRO_IDENTITY", request.param, raising=False)


@contextmanager
def statements() -> Iterator[list[int]]:
    """How long those are that REMOTE gets meanwhile."""
    found: list[int] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        found.append(len(sql) + sum(len(str(value)) for value in params or ()))
        return execute(sql, params, many, context)

    with connections[REMOTE].execute_wrapper(note):
        yield found


def test_rows_go_in_statements_that_the_server_takes(identity: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(backend_for(connections[REMOTE])), "longest_statement", lambda *_: SHORT)
    measurements = [Measurement.objects.create(long="x'\\" * 5_000, raw=b"\0" * 9_000) for _ in range(40)]

    with statements() as added:
        call_synchronize()
    assert_same_rows(Measurement)
    for measurement in measurements:
        measurement.long = "ż" * 9_000
        measurement.save()
    with statements() as changed:
        call_synchronize()

    assert_same_rows(Measurement)
    assert SHORT / 3 < max(added) < SHORT
    assert SHORT / 10 < max(changed) < SHORT


def test_more_rows_than_the_server_takes_at_once_arrive(identity: None) -> None:
    longest = backend_for(connections[REMOTE]).longest_statement()
    if longest > 16 * 2**20:
        pytest.skip("a batch is no longer than that")
    Measurement.objects.bulk_create([Measurement(long="x" * 16_000) for _ in range(1_300)], batch_size=200)
    kind = ContentType.objects.get_for_model(Measurement)
    ChangeLog.objects.all().delete()
    ChangeLog.objects.bulk_create(
        ChangeLog(content_type=kind, object_id=f"{key}", action=ADDITION)
        for key in Measurement.objects.values_list("pk", flat=True)
    )

    call_synchronize()

    assert remote_count(Measurement) == 1_300


def test_conflicts_about_wide_rows_are_put_on_record_in_parts(settings: Any) -> None:
    settings.SYNCHRO_CONFLICT = "local"
    measurements = [Measurement.objects.create() for _ in range(60)]
    call_synchronize()
    with other_side():
        for measurement in Measurement.objects.all():
            measurement.long = "there" * 40_000
            measurement.save()
    for measurement in measurements:
        measurement.long = "here" * 40_000
        measurement.save()

    assert call_synchronize().conflicts == 60

    assert_same_rows(Measurement)


def test_value_that_no_statement_can_hold_is_named(identity: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(backend_for(connections[REMOTE])), "longest_statement", lambda *_: SHORT)
    Customer.objects.create(name="Vimes")
    Measurement.objects.create(short="short")
    long = Measurement.objects.create(long="x" * SHORT + "y")

    with pytest.raises(Refused, match=rf"Measurement {long.pk}, column long: .*longer than a statement"):
        call_synchronize()

    assert remote_count(Customer) == 0
