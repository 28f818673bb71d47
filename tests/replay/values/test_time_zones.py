"""Moments are the same moments whatever the project says about time zones."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from synchro.core import call_synchronize
from synchro.models import options
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import let_time_pass, other_side, remote
from tests.shop.models import Customer, Measurement

pytestmark = pytest.mark.django_db(databases=["default", "remote"])


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu", "America/St_Johns"])
def test_without_time_zones_moments_arrive_unchanged(settings: Any, zone: str) -> None:
    settings.USE_TZ, settings.TIME_ZONE = False, zone
    moment = datetime(2026, 7, 1, 12, 30, 15, 123_456)
    measurement = Measurement.objects.create(moment=moment)
    call_synchronize()
    assert remote(Measurement).moment == moment

    measurement.short = "changed"
    measurement.save()
    report = call_synchronize()

    assert report.entries == 1
    assert_same_rows()


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "America/St_Johns"])
def test_newer_is_newer_in_any_zone(settings: Any, zone: str) -> None:
    settings.USE_TZ, settings.TIME_ZONE = False, zone
    customer = Customer.objects.create(name="Vimes")
    call_synchronize()
    let_time_pass()
    customer.cash = 1
    customer.save()
    let_time_pass()
    with other_side():
        found = Customer.objects.get()
        found.cash = 2
        found.save()

    call_synchronize()

    assert remote(Customer).cash == 2


def test_checkpoint_is_naive_where_the_project_is(settings: Any) -> None:
    settings.USE_TZ = False
    Customer.objects.create(name="Vimes")
    before = datetime.now()

    call_synchronize()

    assert options.last_check is not None
    assert before <= options.last_check <= datetime.now()


def test_databases_may_keep_time_in_zones_of_their_own(settings: Any) -> None:
    """For engines that keep no zone with a moment, the connection's setting says which one it is."""
    if connections["remote"].features.supports_timezones:
        pytest.skip("this engine keeps moments in UTC")
    connection = connections["remote"]
    connection.settings_dict["TIME_ZONE"] = "Asia/Tokyo"
    _forget_zone(connection)
    try:
        Measurement.objects.create(moment=datetime(2026, 7, 1, 12, tzinfo=UTC))
        call_synchronize()
        assert remote(Measurement).moment == datetime(2026, 7, 1, 12, tzinfo=UTC)
        with connection.cursor() as cursor:
            cursor.execute("SELECT moment FROM shop_measurement")
            assert "21:00" in str(cursor.fetchone()[0])
    finally:
        connection.settings_dict["TIME_ZONE"] = None
        _forget_zone(connection)


def _forget_zone(connection: Any) -> None:
    for name in ("timezone", "timezone_name"):
        connection.__dict__.pop(name, None)
    timezone.get_default_timezone.cache_clear()
