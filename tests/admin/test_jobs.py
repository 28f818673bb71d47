"""Jobs: the page answers at once, and another process does what was asked for."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import django
import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from synchro import jobs, stopping, tasks
from synchro.exceptions import NotConfigured
from synchro.jobs import executors
from synchro.jobs.work import work
from synchro.models import Job, Run
from synchro.replay import run as replay_run
from tests.replay import processes
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import remote_count
from tests.shop.models import Artist, Customer

pytestmark = pytest.mark.django_db(databases=["default", "remote"], transaction=True)


def staff(*codenames: str) -> Client:
    user = User.objects.create_user("ann", is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(content_type__app_label="synchro", codename__in=codenames)
    )
    client = Client()
    client.force_login(user)
    return client


def eventually(question: Callable[[], bool]) -> bool:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if question():
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def handed_over(monkeypatch: Any) -> list[int]:
    """Jobs that were handed over, and that nobody does."""
    numbers: list[int] = []
    monkeypatch.setitem(executors.LAUNCHERS, "process", lambda job: numbers.append(job.pk))
    return numbers


def test_a_process_of_its_own_does_it_and_the_page_tells(monkeypatch: Any) -> None:
    Customer.objects.create(name="Vimes")
    environment = processes.environment()
    started: list[subprocess.Popen[bytes]] = []

    class Popen(subprocess.Popen[bytes]):
        def __init__(self, command: list[str], **options: Any) -> None:
            # The tests' databases have other names than the settings say.
            super().__init__(command, **{**options, "env": {**options["env"], **environment}})
            started.append(self)

    monkeypatch.setattr(executors.subprocess, "Popen", Popen)
    client = staff("synchronize")

    response = client.post("/synchro/start/", {"kind": "synchronize", "alias": "remote"}, follow=True)

    assert "begun for “remote”" in response.content.decode()
    job = Job.objects.get()
    assert eventually(lambda: Job.objects.get().is_over)
    started[0].wait(60)
    job.refresh_from_db()
    assert (job.state, job.by, job.slot) == (Job.DONE, "ann", None), job.message
    assert remote_count(Customer) == 1
    assert Run.objects.get().by == "ann"
    page = client.get(f"/synchro/jobs/{job.pk}/").content.decode()
    assert "Synchronization performed successfully." in page
    assert "shop.Customer" in page


def test_never_twice_for_one_database(handed_over: list[int]) -> None:
    client = staff("synchronize")
    client.post("/synchro/start/", {"kind": "synchronize", "alias": "remote"})
    response = client.post("/synchro/start/", {"kind": "load", "alias": "remote"}, follow=True)

    assert "Something is at work for the database “remote” already." in response.content.decode()
    assert handed_over == [Job.objects.get().pk]
    # and whoever takes it a second time does nothing
    for _time in range(2):
        work(handed_over[0])
    assert Job.objects.get().state == Job.DONE
    jobs.start(Job.LOAD, "remote", by="ann")


def test_stop_ends_it_after_the_batch_at_hand(
    handed_over: list[int], settings: Any, monkeypatch: Any
) -> None:
    settings.SYNCHRO_BATCH_SIZE = 1
    for n in range(3):
        Customer.objects.create(name=f"{n}")
    job = jobs.start(Job.SYNCHRONIZE, "remote", by="ann")
    client = staff("synchronize")
    confirm = replay_run._confirm

    def and_somebody_stops_it(*args: Any) -> None:
        confirm(*args)
        client.post(f"/synchro/jobs/{job.pk}/stop/")
        assert eventually(stopping.is_asked)

    monkeypatch.setattr(replay_run, "_confirm", and_somebody_stops_it)
    work(job.pk)

    job.refresh_from_db()
    assert (job.state, remote_count(Customer)) == (Job.STOPPED, 1)
    assert not stopping.is_asked()
    assert "Stopped after 1 batches" in job.message


def test_one_that_nobody_has_begun_stops_at_once(handed_over: list[int]) -> None:
    job = jobs.start(Job.SYNCHRONIZE, "remote", by="ann")
    jobs.ask_to_stop(job.pk)
    work(job.pk)
    job.refresh_from_db()
    assert (job.state, job.slot) == (Job.STOPPED, None)


def test_stop_is_for_one_job_and_not_for_others_in_the_same_process() -> None:
    heard: list[bool] = []
    with stopping.by_event() as event:
        event.set()
        assert stopping.is_asked()
        other = threading.Thread(target=lambda: heard.append(stopping.is_asked()))
        other.start()
        other.join()
    assert heard == [False]
    assert not stopping.is_asked()


def test_a_job_whose_process_was_killed_is_given_up_and_can_be_started_again(handed_over: list[int]) -> None:
    job = jobs.start(Job.SYNCHRONIZE, "remote", by="ann")
    Job.objects.update(state=Job.RUNNING, seen=timezone.now() - timedelta(minutes=2))
    page = staff("synchronize").get("/synchro/").content.decode()
    assert 'value="Synchronize"' in page
    job.refresh_from_db()
    assert (job.state, "start it again" in job.message) == (Job.LOST, True)
    again = jobs.start(Job.SYNCHRONIZE, "remote", by="ann")
    Job.objects.filter(pk=again.pk).update(asked=timezone.now() - timedelta(hours=1))
    assert jobs.open_jobs() == {}
    assert "No worker has taken it" in Job.objects.get(pk=again.pk).message


def test_compare_and_load_say_what_they_found(handed_over: list[int]) -> None:
    Customer.objects.create(name="Vimes")
    work(jobs.start(Job.SYNCHRONIZE, "remote", by="ann").pk)
    Customer.objects.using("remote").update(name="Nobby")
    Artist.objects.create(name="Ysgramor")
    client = staff("synchronize", "view_run")

    work(jobs.start(Job.VERIFY, "remote", by="ann", labels=["shop.Customer"]).pk)
    page = client.get(f"/synchro/jobs/{handed_over[-1]}/").content.decode()
    assert "shop.Customer" in page
    assert "different: <code>" in page
    assert "shop.Artist" not in page

    work(jobs.start(Job.LOAD, "remote", by="ann").pk)
    assert Job.objects.get(pk=handed_over[-1]).state == Job.DONE, Job.objects.get(pk=handed_over[-1]).message
    assert "shop.Artist" in client.get(f"/synchro/jobs/{handed_over[-1]}/").content.decode()
    assert_same_rows(Customer, Artist)


def test_an_unknown_database_is_refused(handed_over: list[int]) -> None:
    with pytest.raises(NotConfigured, match="does not name the database"):
        jobs.start(Job.SYNCHRONIZE, "default", by="ann")
    assert not Job.objects.exists()


def test_each_view_needs_its_permission(handed_over: list[int]) -> None:
    job = jobs.start(Job.SYNCHRONIZE, "remote", by="ann")
    client = staff("view_changelog")
    for url in ("/synchro/", "/synchro/state/", "/synchro/series/", f"/synchro/jobs/{job.pk}/"):
        assert client.get(url).status_code == 403
    for url in ("/synchro/start/", f"/synchro/jobs/{job.pk}/stop/"):
        assert client.post(url, {"kind": "load"}).status_code == 403
    User.objects.all().delete()
    client = staff("view_run")
    assert client.get("/synchro/state/?ask=1").json()["busy"] is True
    assert set(client.get("/synchro/series/?hours=6").json()) == {"moments", "remotes"}
    for url in ("/synchro/start/", f"/synchro/jobs/{job.pk}/stop/", "/synchro/"):
        assert client.post(url, {"kind": "load"}).status_code == 403
    assert not Job.objects.get().is_stop_asked


def test_the_index_of_the_admin_leads_to_the_dashboard_whoever_may_see_it() -> None:
    client = staff("synchronize")
    assert '"/admin/synchro/dashboard/"' in client.get("/admin/").content.decode()
    assert client.get("/admin/synchro/dashboard/").url == "/synchro/"  # type: ignore[attr-defined]
    User.objects.all().delete()
    assert "/admin/synchro/dashboard/" not in staff("view_changelog").get("/admin/").content.decode()


def test_charts_show_how_far_behind_and_how_fast() -> None:
    now = timezone.now()
    for seconds, lag, rows in ((10, 5.0, 100), (12, 7.5, 300)):
        Run.objects.create(
            alias="remote", begun=now - timedelta(seconds=seconds + 2), ended=now - timedelta(seconds=seconds),
            outcome=Run.DONE, lag=lag, rows=f'{{"shop.Customer": [{rows}, 0, 0, 0]}}',
        )  # fmt: skip
    Run.objects.create(
        alias="remote", begun=now - timedelta(days=9), ended=now - timedelta(days=9), outcome=Run.FAILED
    )
    (remote,) = staff("synchronize").get("/synchro/series/?hours=24").json()["remotes"]
    assert [value for value in remote["lag"] if value is not None] == [7.5]
    assert [value for value in remote["rate"] if value is not None] == [100.0]


def test_a_run_notes_how_far_behind_remote_was(handed_over: list[int]) -> None:
    Customer.objects.create(name="Vimes")
    work(jobs.start(Job.SYNCHRONIZE, "remote", by="ann").pk)
    lag = Run.objects.get().lag
    assert lag is not None
    assert 0 <= lag < 60


# -- workers ---------------------------------------------------------------------------------------------------------


def test_the_first_way_that_the_project_has_configured_is_taken(settings: Any, monkeypatch: Any) -> None:
    assert executors.executor() == "process"
    settings.TASKS = {"default": {"BACKEND": "django.tasks.backends.immediate.ImmediateBackend"}}
    assert executors.executor() == "process"
    celery = pytest.importorskip("celery")
    app = celery.Celery("shop", broker="memory://", set_as_current=False)
    monkeypatch.setattr(celery, "current_app", app)
    assert executors.executor() == "celery"
    settings.TASKS = {"default": {"BACKEND": "django_tasks.backends.database.DatabaseBackend"}}
    assert executors.executor() == "tasks"


def test_celery_does_it(settings: Any, monkeypatch: Any) -> None:
    celery = pytest.importorskip("celery")
    settings.SYNCHRO_EXECUTOR = "celery"
    app = celery.Celery("shop", broker="memory://", set_as_current=False)
    monkeypatch.setattr(celery._state._tls, "current_app", app)
    app.conf.task_always_eager = True
    Customer.objects.create(name="Vimes")
    assert tasks.job.name == "synchro.job"

    job = jobs.start(Job.SYNCHRONIZE, "remote", by="ann")

    job.refresh_from_db()
    assert (job.state, remote_count(Customer)) == (Job.DONE, 1), job.message


@pytest.mark.skipif(django.VERSION < (6, 0), reason="Django has no task framework before 6.0")
def test_a_worker_of_djangos_framework_does_it(settings: Any) -> None:
    settings.SYNCHRO_EXECUTOR = "tasks"
    settings.TASKS = {"default": {"BACKEND": "django.tasks.backends.immediate.ImmediateBackend"}}
    Customer.objects.create(name="Vimes")

    job = jobs.start(Job.SYNCHRONIZE, "remote", by="ann")

    job.refresh_from_db()
    assert (job.state, remote_count(Customer)) == (Job.DONE, 1), job.message


def test_what_cannot_be_handed_over_fails_with_the_reason(monkeypatch: Any) -> None:
    monkeypatch.setattr(executors, "interpreter", lambda: "/nowhere/python")
    job = jobs.start(Job.SYNCHRONIZE, "remote", by="ann")
    job.refresh_from_db()
    assert (job.state, job.slot) == (Job.FAILED, None)
    assert "FileNotFoundError" in job.message


def test_a_process_that_does_not_get_as_far_as_the_job_is_told_at_once(monkeypatch: Any, caplog: Any) -> None:
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "there.is.none")
    monkeypatch.setattr(executors, "settings", object())
    jobs.start(Job.SYNCHRONIZE, "remote", by="ann")
    assert eventually(lambda: Job.objects.get().is_over)
    job = Job.objects.get()
    assert (job.state, job.slot) == (Job.LOST, None)
    assert "No worker has taken it" in job.message
    assert "there" in caplog.text


def test_python_is_found_inside_a_server_that_embeds_it(monkeypatch: Any) -> None:
    assert executors.interpreter() == sys.executable
    monkeypatch.setattr(sys, "executable", "/usr/bin/uwsgi")
    assert executors.interpreter().startswith(sys.prefix)
