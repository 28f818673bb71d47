"""``synchronize --follow`` goes on after the server of both databases was restarted, or has crashed."""

from __future__ import annotations

import os

import pytest
from django.db import connections

from tests import backends
from tests.operate.test_follow import eventually, following
from tests.replay.deployments import remote_count
from tests.shop.models import Seat

pytestmark = pytest.mark.django_db(databases=["default", "remote"], transaction=True)


def test_follow_goes_on_after_its_servers_were_restarted_and_have_crashed() -> None:
    try:
        server = backends.find(os.environ.get("SYNCHRO_TEST_PAIR", "sqlite-sqlite").split("-")[0])
    except backends.BackendError as error:
        pytest.skip(str(error))
    with following() as process:
        Seat.objects.create(number=0)
        assert eventually(lambda: remote_count(Seat) == 1), process.poll()
        for number, crashes in ((1, False), (2, True)):
            connections.close_all()
            if crashes:
                backends.kill(server.name)
                backends.start(server.name)
            else:
                backends.restart(server.name)
            Seat.objects.create(number=number)
            assert eventually(lambda there=number + 1: remote_count(Seat) == there), process.poll()  # type: ignore[misc]
    assert sorted(Seat.objects.using("remote").values_list("number", flat=True)) == [0, 1, 2]
