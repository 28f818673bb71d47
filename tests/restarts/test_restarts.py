"""A server goes down in the middle of a batch, while people write."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from django.db import Error, connections

from synchro.core import call_synchronize
from synchro.exceptions import SynchroError
from tests import backends
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import create_on_remote
from tests.replay.faults.test_connections import at_step
from tests.replay.writers import in_thread, write_a_lot
from tests.shop.models import Customer

LOCAL_NAME, REMOTE_NAME = os.environ.get("SYNCHRO_TEST_PAIR", "sqlite-sqlite").split("-")
#: Each takes seconds; `benchmarks.faults` asks for more of them, and on other pairs too.
ROUNDS = int(os.environ.get("SYNCHRO_TEST_RESTARTS", "0"))
PAIRS = ("postgresql-postgresql", "mysql-mysql", "postgresql-mysql")
STEPS = ["formed", "read", "identified", "resolved", "written", "committed", "acknowledged"]
WRITERS = 4

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "remote"]),
    pytest.mark.skipif(
        not ROUNDS and f"{LOCAL_NAME}-{REMOTE_NAME}" not in PAIRS, reason="takes long, and other pairs do it"
    ),
]


def crash(name: str) -> None:
    backends.kill(name)
    backends.start(name)


FAULTS: list[Callable[[str], None]] = [crash, backends.restart]


@pytest.fixture(params=["default", "remote"])
def server(request: pytest.FixtureRequest) -> backends.Server:
    if request.param == "remote" and REMOTE_NAME == LOCAL_NAME:
        pytest.skip("LOCAL's server is REMOTE's as well")
    try:
        return backends.find(LOCAL_NAME if request.param == "default" else REMOTE_NAME)
    except backends.BackendError as error:
        pytest.skip(str(error))


def write_whatever_happens(seed: int, until: threading.Event) -> None:
    """What is refused because the server is away is written again, or not, as people do."""
    while not until.is_set():
        with suppress(Error):
            write_a_lot(seed, 5)
        seed += WRITERS
        for connection in connections.all():
            connection.close()


@pytest.fixture
def writers() -> Iterator[Callable[[], None]]:
    """Four people who write until the value is called."""
    done = threading.Event()
    with ThreadPoolExecutor(WRITERS) as pool:
        threads = [in_thread(pool, write_whatever_happens, seed, done) for seed in range(WRITERS)]

        def end() -> None:
            done.set()
            for thread in threads:
                thread.result()

        try:
            yield end
        finally:
            done.set()


def run_until(seen: list[str], seconds: float = 60) -> None:
    """Run again and again until the fault has happened."""
    deadline = time.monotonic() + seconds
    while not seen:
        assert time.monotonic() < deadline, "the run never came to that step"
        with suppress(SynchroError, Error):
            call_synchronize()
        for connection in connections.all():
            connection.close_if_unusable_or_obsolete()


def test_server_that_goes_down_in_mid_batch_while_people_write_loses_and_doubles_nothing(
    server: backends.Server, writers: Callable[[], None]
) -> None:
    create_on_remote(Customer, name="gone").delete()
    chance = random.Random(server.name)
    for number in range(ROUNDS or 1):
        fault = FAULTS[number % len(FAULTS)]
        with at_step(chance.choice(STEPS), lambda fault=fault: fault(server.name)) as seen:  # type: ignore[misc]
            run_until(seen)
    writers()
    connections.close_all()

    call_synchronize()
    call_synchronize()

    assert Customer.objects.exists()
    assert_same_rows()
