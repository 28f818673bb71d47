"""The lists of the log, the references and the conflicts: read only, and quick however long they are."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from synchro.admin import CappedPaginator, ReadOnlyAdmin
from synchro.models import (
    ADDITION,
    CHANGE,
    DELETION,
    ChangeLog,
    Conflict,
    Job,
    Peer,
    Reference,
    Run,
    SetAside,
)
from tests.people.models import ByText, City, Club

pytestmark = pytest.mark.django_db

LISTS = ["changelog", "reference", "conflict", "setaside", "run", "job"]


@pytest.fixture(autouse=True)
def _people_are_watched(settings: Any) -> None:
    settings.SYNCHRO_MODELS = ["people"]


@pytest.fixture
def client() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


def fill(count: int, start: int = 0) -> None:
    types = [ContentType.objects.get_for_model(model) for model in (Club, City)]
    peers = [Peer.objects.get_or_create(uuid=f"123e4567-e89b-12d3-a456-42661417400{n}")[0] for n in range(3)]
    now = timezone.now()
    for n in range(start, start + count):
        content_type = types[n % 2]
        ChangeLog.objects.create(
            content_type=content_type, object_id=f"{n}", action=1 + n % 3, fields=("name",)
        )
        Reference.objects.create(
            content_type=content_type,
            peer=peers[n % 3],
            local_object_id=f"{n}",
            remote_object_id=f"{n + 1000}",
        )
        Conflict.objects.create(
            content_type=content_type, peer=peers[n % 3], object_id=f"{n}", decision="local",
            batch=1, local_date=now, remote_date=now,
        )  # fmt: skip
        SetAside.objects.create(
            content_type=content_type, peer=peers[n % 3], object_id=f"{n}", cause="it is too long",
            batch=1, changed=now, natural_key='["Ankh-Morpork"]',
        )  # fmt: skip
        Run.objects.create(alias="remote", by=f"{n}", begun=now, ended=now, outcome=Run.DONE)
        Job.objects.create(kind=Job.VERIFY, alias="remote", by=f"{n}", state=Job.DONE)


def url(name: str, rest: str = "") -> str:
    return f"/admin/synchro/{name}/{rest}"


def shown(response: Any) -> list[Any]:
    return list(response.context["cl"].result_list)


@pytest.mark.parametrize("name", LISTS)
def test_hundred_rows_take_no_more_queries_than_ten(name: str, client: Client) -> None:
    fill(10)
    client.get(url(name))
    with CaptureQueriesContext(connection) as ten:
        assert len(shown(client.get(url(name)))) == 10
    fill(90, start=10)
    with CaptureQueriesContext(connection) as hundred:
        assert len(shown(client.get(url(name)))) == 100
    assert len(hundred) == len(ten)
    assert len(hundred) <= (9 if name == "changelog" else 6)  # what is pending for each REMOTE


@pytest.mark.parametrize("name", LISTS)
def test_nothing_counts_or_sorts_the_whole_table(name: str, client: Client, monkeypatch: Any) -> None:
    monkeypatch.setattr(ReadOnlyAdmin, "list_per_page", 2)
    fill(3)
    with CaptureQueriesContext(connection) as queries:
        client.get(url(name))
    of_table = [q["sql"] for q in queries if f"synchro_{name}" in q["sql"]]
    assert len(of_table) == 2
    for sql in of_table:
        assert "LIMIT" in sql.upper()
        assert "ORDER BY" not in sql or f"{connection.ops.quote_name('id')} DESC LIMIT" in sql


def test_only_the_newest_are_counted_and_the_page_says_so(client: Client, monkeypatch: Any) -> None:
    fill(7)
    assert "Only the newest" not in client.get(url("changelog")).content.decode()
    monkeypatch.setattr(CappedPaginator, "cap", 5)
    response = client.get(url("changelog"))
    assert response.context["cl"].result_count == 5
    assert "Only the newest 5 are listed" in response.content.decode()


@pytest.mark.parametrize("name", LISTS)
def test_newest_come_first(name: str, client: Client) -> None:
    fill(3)
    ids = [row.pk for row in shown(client.get(url(name)))]
    assert ids == sorted(ids, reverse=True)


@pytest.mark.parametrize("name", LISTS)
def test_nothing_can_be_added_changed_or_deleted(name: str, client: Client) -> None:
    fill(1)
    row = shown(client.get(url(name)))[0]
    assert client.get(url(name, "add/")).status_code == 403
    page = client.get(url(name, f"{row.pk}/change/"))
    assert page.status_code == (302 if name == "job" else 200)  # a job has its page on the dashboard
    assert client.post(url(name, f"{row.pk}/change/"), {"object_id": "9"}).status_code == 403
    assert client.post(url(name, f"{row.pk}/delete/"), {"post": "yes"}).status_code == 403
    data = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
    client.post(url(name), data)
    assert type(row).objects.get() == row


@pytest.mark.parametrize("name", LISTS)
def test_one_needs_the_permission_to_view(name: str) -> None:
    user = User.objects.create_user("ann", is_staff=True)
    client = Client()
    client.force_login(user)
    assert client.get(url(name)).status_code == 403
    user.user_permissions.add(Permission.objects.get(codename=f"view_{name}"))
    assert client.get(url(name)).status_code == 200


def test_search_finds_the_range_that_has_a_key(client: Client) -> None:
    rows = Reference.objects
    kind, peer = ContentType.objects.get_for_model(Club), Peer.objects.create(alias="x")
    whole = rows.create(
        content_type=kind, peer=peer, block=512, local_object_id=600, remote_object_id=5000, length=40
    )
    for term, found in (
        ("600", 1),
        ("639", 1),
        ("5039", 1),
        ("640", 0),
        ("5040", 0),
        ("x", 0),
        ("9" * 30, 0),
    ):
        page = client.get(reverse("admin:synchro_reference_changelist"), {"q": term})
        assert len(page.context["cl"].result_list) == found, term
    assert "600" in str(whole)


@pytest.mark.parametrize(
    ("name", "term"), [("changelog", "4"), ("conflict", "4"), ("reference", "1004"), ("setaside", "4")]
)
def test_search_finds_the_whole_key_only(name: str, term: str, client: Client) -> None:
    fill(50)
    (row,) = shown(client.get(url(name), {"q": f" {term} "}))
    assert term in (getattr(row, "object_id", None), getattr(row, "remote_object_id", None))
    assert shown(client.get(url(name), {"q": "nothing"})) == []


def test_search_takes_keys_with_spaces_and_quotes(client: Client) -> None:
    entry = ChangeLog.objects.create(
        content_type=ContentType.objects.get_for_model(ByText), object_id='[1,"a b"]', action=ADDITION
    )
    assert shown(client.get(url("changelog"), {"q": '[1,"a b"]'})) == [entry]


def test_log_is_filtered_by_action_and_by_watched_model(client: Client) -> None:
    fill(6)
    response = client.get(url("changelog"), {"action__exact": DELETION})
    assert {entry.action for entry in shown(response)} == {DELETION}
    city = ContentType.objects.get_for_model(City)
    response = client.get(url("changelog"), {"model": city.pk})
    assert {entry.content_type for entry in shown(response)} == {city}
    choices = response.context["cl"].filter_specs[1].lookup_choices
    assert (str(city.pk), "People | city") in choices
    assert not [label for _, label in choices if "Authentication" in label]
    assert len(shown(client.get(url("changelog"), {"model": "nonsense"}))) == 6


def test_entry_of_a_model_that_is_gone_is_listed_all_the_same(client: Client) -> None:
    gone = ContentType.objects.create(app_label="gone", model="ghost")
    entries = [
        ChangeLog.objects.create(content_type=gone, object_id="7", action=CHANGE),
        ChangeLog.objects.create(content_type_id=gone.pk + 1000, object_id="8", action=CHANGE),
    ]
    response = client.get(url("changelog"))
    assert shown(response) == entries[::-1]
    for entry in entries:
        assert client.get(url("changelog", f"{entry.pk}/change/")).status_code == 200


def test_conflict_about_a_member_of_a_set_is_shown_with_both_sides(client: Client) -> None:
    fill(1)
    values = {"local_values": '{"members": {"in": 7}}', "remote_values": '{"members": {"out": 4}}'}
    Conflict.objects.update(fields=("members",), **values)
    assert '<td class="field-field_names">members</td>' in client.get(url("conflict")).content.decode()
    page = client.get(url("conflict", f"{Conflict.objects.get().pk}/change/")).content.decode()
    assert "in the set: 7" in page
    assert "not in the set: 4" in page


def test_what_is_set_aside_is_shown_with_its_cause_and_without_values(client: Client) -> None:
    fill(1)
    row = SetAside.objects.get()
    SetAside.objects.create(
        content_type=row.content_type,
        peer=row.peer,
        object_id="8",
        batch=2,
        changed=row.changed,
        is_over=True,
    )
    response = client.get(url("setaside"))
    assert shown(response) == [row]
    for page in (response, client.get(url("setaside", f"{row.pk}/change/"))):
        assert "it is too long" in page.content.decode()
        assert "Ankh-Morpork" not in page.content.decode()


def test_lists_lead_to_the_page_with_the_buttons() -> None:
    user = User.objects.create_user("ann", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_changelog"))
    client = Client()
    client.force_login(user)
    assert 'href="/synchro/"' not in client.get(url("changelog")).content.decode()
    user.user_permissions.add(Permission.objects.get(codename="synchronize"))
    assert '<a href="/synchro/">Synchronization</a>' in client.get(url("changelog")).content.decode()


def test_app_has_its_name_on_the_index_of_the_admin(client: Client) -> None:
    assert "Synchronization" in client.get("/admin/").content.decode()
