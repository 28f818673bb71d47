"""Metrics for Prometheus, read as Prometheus reads them."""

from __future__ import annotations

import json
import re
import signal
import socket
import urllib.request
from typing import Any

import pytest
from django.db import connections
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from synchro.contrib.prometheus import metrics
from synchro.core import call_synchronize
from tests.operate.test_follow import eventually, following
from tests.replay.deployments import create_on_remote, remote_count
from tests.replay.processes import ROOT
from tests.shop.models import Seat

pytestmark = pytest.mark.django_db(databases=["default", "remote"], transaction=True)


def read(text: str) -> dict[str, float]:
    """The samples, by name and the labels other than ``remote``."""
    return {
        " ".join(
            [sample.name, *(value for name, value in sorted(sample.labels.items()) if name != "remote")]
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scraped() -> dict[str, float]:
    return read(generate_latest(REGISTRY).decode())


def test_metrics_tell_what_is_pending_and_what_runs_did(settings: Any) -> None:
    settings.SYNCHRO_ON_ERROR = "quarantine"
    metrics.connect()
    metrics.connect()
    create_on_remote(Seat, number=1)
    for number in (1, 2, 3):
        Seat.objects.create(number=number)
    before = scraped()
    call_synchronize()
    after = scraped()

    def counted(name: str) -> float:
        return after[name] - before.get(name, 0)

    assert (before["synchro_local_up"], before["synchro_pending_entries"]) == (1, 3)
    assert before["synchro_lag_seconds"] >= 0
    assert (after["synchro_pending_entries"], after["synchro_lag_seconds"]) == (0, 0)
    assert after["synchro_quarantined_changes"] == 1
    assert after["synchro_last_run_failed"] == 0
    assert counted("synchro_rows_total added shop.Seat") == 2
    assert (counted("synchro_entries_total"), counted("synchro_batch_seconds_count")) == (3, 1)
    assert (counted("synchro_refusals_total"), counted("synchro_runs_total done")) == (1, 1)


@pytest.mark.once
def test_local_that_is_down_is_a_metric_and_no_error() -> None:
    metrics.connect()

    def refuse(*_args: Any) -> Any:
        from django.db import OperationalError

        raise OperationalError("the server has gone away")

    with connections["default"].execute_wrapper(refuse):
        assert scraped()["synchro_local_up"] == 0


@pytest.mark.once
def test_project_serves_them_on_a_page_of_its_own(rf: Any) -> None:
    from synchro.contrib.prometheus.views import metrics as page

    metrics.connect()
    response = page(rf.get("/metrics"))

    assert read(response.content.decode())["synchro_local_up"] == 1
    assert response["Content-Type"].startswith("text/plain")


@pytest.mark.once
def test_following_process_serves_them() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def answer() -> dict[str, float]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as page:
                return read(page.read().decode())
        except OSError:
            return {}

    with following("-v", "0", "--metrics-port", str(port)) as process:
        assert eventually(lambda: "synchro_local_up" in answer()), process.poll()
        Seat.objects.create(number=1)
        assert eventually(lambda: remote_count(Seat) == 1)
        assert eventually(lambda: answer().get("synchro_rows_total added shop.Seat") == 1)
        with following("--metrics-port", str(port)) as second:
            _output, errors = second.communicate(timeout=120)
            assert second.returncode == 1
            assert str(port) in errors
            assert "Traceback" not in errors
        process.send_signal(signal.SIGTERM)
        _output, errors = process.communicate(timeout=60)

    assert (process.returncode, errors) == (0, "")


@pytest.mark.once
def test_dashboard_and_page_name_the_metrics_that_there_are() -> None:
    metrics.connect()
    Seat.objects.create(number=1)
    call_synchronize()
    families = list(text_string_to_metric_families(generate_latest(REGISTRY).decode()))
    there = {sample.name for family in families for sample in family.samples} | {
        each.name for each in families
    }
    ours = {name for name in there if name.startswith("synchro_")}
    dashboard = (ROOT / "docker" / "grafana" / "synchro.json").read_text()
    page = (ROOT / "docs" / "metrics.md").read_text()

    assert set(re.findall(r"synchro_[a-z_]+", dashboard)) <= ours
    assert set(re.findall(r"synchro_[a-z_]+", page)) - {"synchro_status"} <= ours
    documented = set(re.findall(r"^\| `(synchro_[a-z_]+)`", page, re.MULTILINE))
    assert {re.sub("_(bucket|count|sum|created)$", "", name) for name in ours} - documented <= {
        name.removesuffix("_total") for name in documented
    }
    assert all(panel["targets"] for panel in json.loads(dashboard)["panels"])
