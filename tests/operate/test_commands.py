"""The commands that tell how things stand, and their exit codes, as a shell sees them."""

from __future__ import annotations

import json
import subprocess
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from synchro.core import call_synchronize
from synchro.models import ChangeLog, Node, Run
from synchro.replay.session import Database, Databases, run_lock
from tests.replay import processes
from tests.replay.deployments import create_on_remote, remote_count
from tests.shop.models import Seat

pytestmark = pytest.mark.django_db(databases=["default", "remote"], transaction=True)


def manage(*arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    return processes.run("django", *arguments, env=processes.environment(**settings))


def status(*arguments: str, **settings: Any) -> tuple[int, Any]:
    done = manage("synchro_status", "--json", *arguments, **settings)
    assert not done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_status_tells_what_is_pending_and_what_the_last_run_did() -> None:
    Seat.objects.create(number=1)
    call_synchronize()
    Seat.objects.create(number=2)
    Seat.objects.create(number=3)
    ChangeLog.objects.filter(id__gt=Node.objects.get().highest).update(
        date=timezone.now() - timedelta(hours=1)
    )

    code, found = status("--max-lag", "60")

    (remote,) = found["remotes"]
    assert code == 3
    assert (remote["alias"], remote["problem"], remote["pending"]) == ("remote", None, 2)
    assert 3500 < remote["lag"] < 3700
    assert (remote["last_run"]["outcome"], remote["last_run"]["entries"]) == ("done", 1)
    assert status("--max-lag", "7200")[0] == 0


def test_status_works_while_remote_is_down() -> None:
    Seat.objects.create(number=1)
    environment = processes.environment(remote=_nowhere())

    done = processes.run("django", "synchro_status", "--json", env=environment)

    (remote,) = json.loads(done.stdout)["remotes"]
    assert (done.returncode, remote["pending"]) == (0, 1)
    assert remote["problem"] == "OperationalError"


def _nowhere() -> str:
    """The URL of a database that nobody can connect to."""
    url = processes.database_url("remote")
    if url.startswith("sqlite"):
        return "sqlite:////nowhere/at/all.sqlite3"
    settings = connections["remote"].settings_dict
    return url.replace(f":{settings['PORT']}/", ":1/")


def test_exit_code_tells_of_quarantine() -> None:
    create_on_remote(Seat, number=1)
    Seat.objects.create(number=1)
    Seat.objects.create(number=2)

    done = manage("synchronize", "--json", SYNCHRO_ON_ERROR="quarantine")

    report = json.loads(done.stdout)
    assert (done.returncode, report["aside"]) == (3, 1), done.stderr
    assert status("--max-quarantine", "0", SYNCHRO_ON_ERROR="quarantine")[0] == 3
    assert manage("synchronize", "-v", "0").returncode == 3


def test_exit_code_tells_of_a_refusal_and_the_run_is_recorded() -> None:
    create_on_remote(Seat, number=1)
    Seat.objects.create(number=1)

    done = manage("synchronize")

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    run = Run.objects.get()
    assert (run.outcome, run.batches) == (Run.FAILED, 0)
    assert "shop.Seat" in run.message


def test_exit_code_tells_that_another_process_is_at_it() -> None:
    Seat.objects.create(number=1)
    with run_lock(Databases(Database("remote"))):
        done = manage("synchronize")

    assert done.returncode == 4, done.stderr
    assert remote_count(Seat) == 0
    assert not Run.objects.exists()


@pytest.mark.once
@pytest.mark.parametrize(
    "command",
    [
        "synchronize",
        "synchro_load",
        "synchro_status",
        "synchro_verify",
        "synchro_move",
        "synchro_prune",
        "synchro_reset",
    ],
)
def test_help_has_examples_and_exit_codes(command: str) -> None:
    done = manage(command, "--help")

    assert done.returncode == 0
    assert f"manage.py {command}" in done.stdout
    assert "exit codes:" in done.stdout
    assert manage(command, "--nonsense").returncode == 2


def test_reset_says_what_is_lost_and_asks() -> None:
    Seat.objects.create(number=1)
    before = Node.objects.values_list("uuid", flat=True).first()

    assert "1 entries pending" in manage("synchro_reset", "--dry-run").stdout
    refused = manage("synchro_reset")
    assert (refused.returncode, ChangeLog.objects.count()) == (1, 1), refused.stderr
    assert manage("synchro_reset", "--no-input").returncode == 0
    assert not ChangeLog.objects.exists()
    assert Node.objects.get().uuid != before


def test_idle_run_leaves_no_record() -> None:
    call_synchronize()
    assert not Run.objects.exists()
    Seat.objects.create(number=1)
    call_synchronize()
    call_synchronize()
    run = Run.objects.get()
    assert (run.outcome, run.entries, json.loads(run.rows)) == (Run.DONE, 1, {"shop.Seat": [1, 0, 0, 0]})
