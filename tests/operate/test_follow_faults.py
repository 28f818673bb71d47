"""``synchronize --follow`` under real faults: killed beside four writers, and cut off from REMOTE."""

from __future__ import annotations

import pytest
from django.db import connections

from synchro.models import Checkpoint
from tests.faults.proxy import Link, Proxy
from tests.move.test_move import at_work, fill, stop
from tests.operate.test_follow import ARE_SERVERS, eventually, following
from tests.replay import processes
from tests.replay.deployments import captured_by_triggers, remote_count
from tests.shop.models import Seat

pytestmark = pytest.mark.django_db(databases=["default", "remote"], transaction=True)

SETTINGS = {"SYNCHRO_CAPTURE": "triggers", "SYNCHRO_MODELS": ["shop"]}


def arrived() -> int:
    return Checkpoint.objects.values_list("batch", flat=True).first() or 0


def test_follow_that_is_killed_again_and_again_beside_four_writers_leaves_remote_equal() -> None:
    with captured_by_triggers("shop"):
        fill(50)
        with at_work() as site:
            for _round in range(3):
                before = arrived()
                with following(**SETTINGS) as process:
                    # It is killed while it is at work on a further batch, or just between two.
                    assert eventually(lambda before=before: arrived() > before), process.poll()  # type: ignore[misc]
                    process.kill()
            assert stop(site) > 0
        environment = processes.environment(**SETTINGS)
        done = processes.run("django", "synchronize", env=environment)
        assert done.returncode == 0, done.stderr
        # What was there before anything was captured has to be loaded.
        loaded = processes.run("django", "synchro_load", env=environment)
        assert loaded.returncode == 0, loaded.stderr
        compared = processes.run("django", "synchro_verify", env=environment)
        assert compared.returncode == 0, compared.stdout + compared.stderr


@pytest.mark.skipif(not ARE_SERVERS, reason="SQLite has no link that can be cut")
def test_follow_goes_on_after_the_link_to_remote_was_cut() -> None:
    settings = connections["remote"].settings_dict
    with Proxy(settings["HOST"], int(settings["PORT"])) as proxy:
        through_it = processes.database_url("remote").replace(f":{settings['PORT']}/", f":{proxy.port}/")
        with processes.start(
            "django", "synchronize", "--follow", env=processes.environment(remote=through_it)
        ) as process:
            Seat.objects.create(number=1)
            assert eventually(lambda: remote_count(Seat) == 1), process.poll()
            proxy.after(1500, Link.reset)  # in the midst of the next batch
            Seat.objects.create(number=2)
            assert eventually(lambda: remote_count(Seat) == 2), process.poll()
            assert proxy.happened.is_set()
            process.kill()
