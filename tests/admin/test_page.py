"""The page with the two buttons: who may press them, and what they say."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import AnonymousUser, Permission, User
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connection, connections
from django.test import Client
from django.urls import reverse

from synchro import status
from synchro.core import Report
from synchro.exceptions import Busy, NotReady
from synchro.models import ADDITION, Batch, ChangeLog, Checkpoint, Node, Peer, Reset, Run, options
from tests.people.models import Club

pytestmark = [
    pytest.mark.django_db(databases=["default", "remote"]),
    pytest.mark.usefixtures("jobs_within_the_request"),
]

PAGE = "/synchro/"
RESET = "/synchro/reset/"


@pytest.fixture(autouse=True)
def _people_are_watched(settings: Any) -> None:
    settings.SYNCHRO_MODELS = ["people"]


def staff(*codenames: str, **flags: bool) -> Client:
    user = User.objects.create_user("ann", **{"is_staff": True, **flags})
    user.user_permissions.set(
        Permission.objects.filter(content_type__app_label="synchro", codename__in=codenames)
    )
    client = Client(enforce_csrf_checks=False)
    client.force_login(user)
    return client


@pytest.fixture
def runs(monkeypatch: Any) -> list[Any]:
    """The outcomes that runs will have, in turn; a run takes its own away."""
    outcomes: list[Any] = []

    def call_synchronize(remote: str) -> Report:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr("synchro.core.call_synchronize", call_synchronize)
    return outcomes


def messages(response: Any) -> list[tuple[str, str]]:
    return [(message.level_tag, str(message)) for message in response.context["messages"]]


def log_a_change() -> None:
    Club.objects.create(name="chess")


# -- who -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", [PAGE, RESET])
@pytest.mark.parametrize("method", ["get", "post"])
def test_anonymous_is_sent_to_the_login_of_the_admin(url: str, method: str, runs: list[Any]) -> None:
    response = getattr(Client(), method)(url)
    assert response.status_code == 302
    assert response.url == f"/admin/login/?next={url}"


@pytest.mark.parametrize("url", [PAGE, RESET])
def test_user_who_is_not_staff_is_sent_to_the_login_whatever_the_permissions(
    url: str, runs: list[Any]
) -> None:
    client = staff("synchronize", "reset", is_staff=False)
    assert client.post(url, {"synchro": "1"}).url == f"/admin/login/?next={url}"


@pytest.mark.parametrize("url", [PAGE, RESET])
@pytest.mark.parametrize("method", ["get", "post"])
def test_staff_without_permission_is_refused(url: str, method: str, runs: list[Any]) -> None:
    assert getattr(staff("view_changelog"), method)(url).status_code == 403


def test_each_button_needs_its_own_permission(runs: list[Any]) -> None:
    log_a_change()
    client = staff("reset")
    assert client.post(PAGE).status_code == 403
    assert client.get(RESET).status_code == 200
    page = client.get(PAGE).content.decode()
    assert "Reset synchronization" in page
    assert 'value="Synchronize"' not in page
    User.objects.all().delete()
    client = staff("synchronize")
    assert client.get(RESET).status_code == 403
    assert client.post(RESET).status_code == 403
    page = client.get(PAGE).content.decode()
    assert "Reset synchronization" not in page
    assert 'value="Synchronize"' in page
    assert ChangeLog.objects.exists()


def test_reset_can_be_forbidden_to_everyone(settings: Any) -> None:
    settings.SYNCHRO_ALLOW_RESET = False
    log_a_change()
    client = staff(is_superuser=True)
    assert "Reset synchronization" not in client.get(PAGE).content.decode()
    assert client.get(RESET).status_code == 403
    assert client.post(RESET).status_code == 403
    assert ChangeLog.objects.exists()


def test_forged_request_is_refused(runs: list[Any]) -> None:
    log_a_change()
    client = staff(is_superuser=True)
    client.handler.enforce_csrf_checks = True
    assert client.post(PAGE).status_code == 403
    assert client.post(RESET).status_code == 403
    assert ChangeLog.objects.exists()


def test_forged_request_is_refused_without_the_middleware_too(settings: Any, runs: list[Any]) -> None:
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "Csrf" not in name]
    client = staff(is_superuser=True)
    client.handler.enforce_csrf_checks = True
    assert client.post(PAGE).status_code == 403


# -- what ----------------------------------------------------------------------------------------------------


def test_page_has_its_place_and_is_at_home_in_the_admin() -> None:
    assert reverse("synchro:synchro") == PAGE
    page = staff("synchronize", "reset").get(PAGE).content.decode()
    assert '<a href="/admin/">' in page
    assert 'id="site-name"' in page
    assert "<script>" not in page
    assert "onclick" not in page


def test_reading_the_page_does_nothing(runs: list[Any]) -> None:
    log_a_change()
    client = staff("synchronize", "reset")
    for url in (PAGE, RESET):
        assert client.get(url).status_code == 200
        assert client.head(url).status_code == 200
        assert client.put(url).status_code == 405
    assert ChangeLog.objects.exists()
    assert options.last_check is None


def test_synchronize_runs_once_and_comes_back_by_get_with_the_report(runs: list[Any]) -> None:
    runs.append(Report(remote="remote", entries=3, warnings=("The clock is wrong.",)))
    response = staff("synchronize").post(PAGE, {"synchro": "Synchronize"}, follow=True)
    assert response.redirect_chain == [(PAGE, 302)]
    assert runs == []
    assert messages(response) == [
        ("success", str(Report(remote="remote", entries=3))),
        ("warning", "The clock is wrong."),
    ]


@pytest.mark.django_db(databases=["default", "remote"], transaction=True)
def test_synchronize_brings_the_change_to_remote(settings: Any) -> None:
    settings.SYNCHRO_MODELS = [("people", "Club")]
    log_a_change()
    client = staff("synchronize")
    assert messages(client.post(PAGE, follow=True))[0] == (
        "success",
        "Synchronization performed successfully.",
    )
    assert Club.objects.using("remote").get().name == "chess"
    (found,) = status.remotes()
    assert (found.pending, found.date is None) == (0, False)
    assert messages(client.post(PAGE, follow=True))[0] == (
        "success",
        "No changes since last synchronization.",
    )
    run = Run.objects.get()
    assert (run.by, run.outcome, run.entries) == ("ann", Run.DONE, 1)


def test_reset_asks_first_and_then_forgets(runs: list[Any]) -> None:
    log_a_change()
    client = staff("reset")
    question = client.get(RESET).content.decode()
    assert "will be forgotten" in question
    assert "remote: 1 entries that have not arrived there, 0 changes in quarantine" in question
    for wrong in ({}, {"database": "another"}):
        response = client.post(RESET, {"reset": "1", **wrong})
        assert "Nothing was reset" in messages(response)[0][1]
        assert ChangeLog.objects.exists()
    name = Path(str(connection.settings_dict["NAME"])).name
    response = client.post(RESET, {"reset": "1", "database": name}, follow=True)
    assert response.redirect_chain == [(PAGE, 302)]
    assert messages(response)[-1] == ("success", "Synchronization has been reset.")
    assert not ChangeLog.objects.exists()
    assert options.last_check is not None
    (done,) = Reset.objects.all()
    assert (done.by, done.forgotten) == (
        User.objects.get().username,
        "remote: 1 entries pending, 0 changes in quarantine",
    )


def test_typed_name_says_that_it_is_a_copy(monkeypatch: Any) -> None:
    """The page has said for whom a reset is meant, and who knows this node."""
    log_a_change()
    asked: list[Any] = []
    monkeypatch.setattr("synchro.core.reset_synchro", lambda by, is_copy: asked.append(is_copy))
    client = staff("reset")

    client.post(RESET, {"database": "another"})
    client.post(RESET, {"database": Path(str(connections["default"].settings_dict["NAME"])).name})

    assert asked == [True]


def test_reset_where_nothing_would_be_forgotten_asks_for_no_name(runs: list[Any]) -> None:
    response = staff("reset").post(RESET, {"reset": "1"}, follow=True)
    assert messages(response) == [("success", "Synchronization has been reset.")]


@pytest.mark.parametrize("error", [NotReady, Busy])
def test_reset_that_has_to_wait_says_so(error: type[Exception], monkeypatch: Any) -> None:
    def reset_synchro(by: str, is_copy: bool) -> None:
        raise error("The database cannot be asked.")

    monkeypatch.setattr("synchro.core.reset_synchro", reset_synchro)

    response = staff("reset").post(RESET, follow=True)

    assert messages(response) == [("error", "The database cannot be asked.")]


@pytest.mark.parametrize(
    "error", [Busy("Another process is at it."), ImproperlyConfigured("Another process is at it.")]
)
def test_refusal_is_told_in_its_own_words(error: Exception, runs: list[Any]) -> None:
    runs.append(error)
    response = staff("synchronize").post(PAGE, follow=True)
    assert messages(response) == [("error", "Synchronization failed: Another process is at it.")]


@pytest.mark.parametrize("synchro_debug", [True, False])
def test_unforeseen_error_shows_neither_values_nor_passwords_and_is_logged(
    synchro_debug: bool, settings: Any, runs: list[Any], caplog: Any
) -> None:
    settings.SYNCHRO_DEBUG = synchro_debug
    runs.append(DatabaseError("password=hunter2 DETAIL: Key (email)=(ann@example.org) already exists."))
    response = staff("synchronize").post(PAGE, follow=True)
    ((level, text),) = messages(response)
    assert level == "error"
    assert "DatabaseError" in text
    assert "hunter2" not in response.content.decode()
    assert "ann@example.org" not in response.content.decode()
    assert ("hunter2" in caplog.text) == synchro_debug
    assert "ann@example.org" not in caplog.text or synchro_debug
    # where it happened, and what it was
    assert "DatabaseError" in caplog.text
    assert "synchro/jobs/work.py" in caplog.text


def test_a_run_is_not_wrapped_into_the_transaction_of_the_request(monkeypatch: Any) -> None:
    for alias in django_settings.DATABASES:
        monkeypatch.setitem(connections[alias].settings_dict, "ATOMIC_REQUESTS", True)
    depths = []

    def call_synchronize(remote: str) -> Report:
        depths.append([len(connections[alias].savepoint_ids) for alias in django_settings.DATABASES])
        return Report(remote="remote")

    client = staff("synchronize")
    before = [len(connections[alias].savepoint_ids) for alias in django_settings.DATABASES]
    monkeypatch.setattr("synchro.core.call_synchronize", call_synchronize)
    client.post(PAGE)
    assert depths == [before]


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", "Synchronize"),
        ("pl", "Synchronizuj"),
        ("de", "Synchronisieren"),
        ("fr", "Synchroniser"),
        ("es", "Sincronizar"),
    ],
)
def test_page_speaks_the_language_of_its_reader(language: str, words: str) -> None:
    page = staff("synchronize").get(PAGE, headers={"accept-language": language}).content.decode()
    assert f'value="{words}"' in page


# -- where things stand --------------------------------------------------------------------------------------


def test_page_tells_what_is_waiting_for_each_remote(django_assert_max_num_queries: Any) -> None:
    peer = Peer.objects.create(uuid="123e4567-e89b-12d3-a456-426614174000", alias="remote")
    Checkpoint.objects.create(peer=peer, batch=2, date=datetime(2020, 1, 2, 3, 4, tzinfo=UTC))
    for number, size in ((1, 1000), (2, 500), (3, 70), (4, 7)):
        Batch.objects.create(number=number, ranges="", size=size)
    log_a_change()
    Node.objects.update_or_create(
        pk=1, defaults={"highest": ChangeLog.objects.latest("id").pk, "batch": 4, "forgotten": 1}
    )
    log_a_change()
    log_a_change()
    with django_assert_max_num_queries(5):
        (found,) = status.remotes()
    assert (found.alias, found.pending, found.more) == ("remote", 79, False)
    assert found.date == datetime(2020, 1, 2, 3, 4, tzinfo=UTC)
    page = staff("synchronize").get(PAGE).content.decode()
    assert ">79</dd>" in page
    assert "Jan. 2, 2020" in page


def test_forgotten_batches_do_not_wait() -> None:
    for number in (1, 2):
        Batch.objects.create(number=number, ranges="", size=10)
    Node.objects.update_or_create(pk=1, defaults={"batch": 2, "forgotten": 1})
    assert [found.pending for found in status.remotes()] == [10]


def test_what_may_be_millions_is_not_counted(monkeypatch: Any) -> None:
    monkeypatch.setattr(status, "LIMIT", 3)
    for _ in range(4):
        log_a_change()
    (found,) = status.remotes()
    assert (found.pending, found.more) == (3, True)


def test_page_without_remote_says_so_and_has_no_button(settings: Any) -> None:
    settings.SYNCHRO_REMOTE = None
    page = staff("synchronize", "reset").get(PAGE).content.decode()
    assert "changes are only logged" in page
    assert 'value="Synchronize"' not in page


def test_permissions_exist_after_migrate() -> None:
    names = set(
        Permission.objects.filter(content_type__app_label="synchro").values_list("codename", flat=True)
    )
    assert {"synchronize", "reset", "view_changelog", "view_reference", "view_conflict"} <= names
    assert not {name for name in names if name.startswith(("add_", "change_", "delete_"))}
    assert not AnonymousUser().has_perm("synchro.synchronize")
    assert connection.alias == "default"
    assert ADDITION == 1
