"""Quarantine in the admin: retry or discard one, several, all."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client

from synchro.core import call_synchronize
from synchro.exceptions import Busy
from synchro.models import SetAside
from synchro.replay.session import Database, Databases, run_lock
from synchro.verify import verify
from tests.replay.compare import assert_same_rows
from tests.replay.refusals import aside, place, refusing
from tests.shop.models import Customer

pytestmark = [
    pytest.mark.django_db(databases=["default", "remote"], transaction=True),
    pytest.mark.usefixtures("jobs_within_the_request"),
]

LIST = "/admin/synchro/setaside/"


@pytest.fixture
def refused(settings: Any) -> list[Customer]:
    """Two customers whom REMOTE has refused."""
    settings.SYNCHRO_ON_ERROR = "quarantine"
    customers = [Customer.objects.create(name="cursed", cash=cash) for cash in (1, 2)]
    with refusing(Customer):
        call_synchronize()
    assert aside() == place(*customers)
    return customers


def staff(*codenames: str) -> Client:
    user = User.objects.create_user("ann", is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(
            content_type__app_label="synchro", codename__in=("view_setaside", *codenames)
        )
    )
    client = Client()
    client.force_login(user)
    return client


def rows_of(*customers: Customer) -> list[int]:
    keys = [str(customer.pk) for customer in customers]
    return list(SetAside.objects.filter(object_id__in=keys).values_list("pk", flat=True))


def test_one_is_tried_again_and_the_others_stay(refused: list[Customer]) -> None:
    first, second = refused
    client = staff("synchronize")
    client.post(LIST, {"action": "retry", "_selected_action": rows_of(second)})
    assert aside() == place(first)
    assert [customer.cash for customer in Customer.objects.using("remote").all()] == [2]

    client.post("/synchro/start/", {"kind": "retry", "alias": "remote"})
    assert aside() == set()
    assert_same_rows(Customer)


def test_discarded_changes_are_gone_and_a_comparison_names_them(refused: list[Customer]) -> None:
    first, second = refused
    client = staff("discard")
    data = {"action": "discard_changes", "_selected_action": rows_of(first)}
    question = client.post(LIST, data).content.decode()
    assert "will not be sent to remote any more" in question
    assert aside() == place(first, second)

    answer = client.post(LIST, {**data, "confirmed": "yes"}, follow=True).content.decode()

    assert "1 change was discarded." in answer
    assert aside() == place(second)
    assert LogEntry.objects.get().user.username == "ann"
    call_synchronize(retry=True)
    assert [customer.cash for customer in Customer.objects.using("remote").all()] == [2]
    (result,) = verify("remote", [Customer])
    assert [difference.key for difference in result.differences] == [first.pk]
    # a later change brings the whole object
    first.cash = 7
    first.save()
    call_synchronize()
    assert_same_rows(Customer)


def test_more_than_a_form_may_hold_are_discarded_but_not_what_came_since(
    refused: list[Customer], monkeypatch: Any
) -> None:
    monkeypatch.setattr("synchro.admin.quarantine.MOST_SENT", 1)
    client = staff("discard")
    data = {"action": "discard_changes", "_selected_action": rows_of(*refused), "select_across": "1"}
    page = client.post(LIST, data).content.decode()
    assert page.count('name="_selected_action"') == 1
    row = SetAside.objects.latest("id")
    late = Customer.objects.create(name="late")
    SetAside.objects.create(
        peer=row.peer,
        batch=row.batch,
        content_type=row.content_type,
        object_id=f"{late.pk}",
        changed=row.changed,
    )

    first = {"_selected_action": rows_of(refused[0]), "confirmed": "yes", "upto": f"{row.pk}"}
    client.post(LIST, {**data, **first})

    assert aside() == place(late)


def test_each_action_needs_its_permission(refused: list[Customer]) -> None:
    client = staff()
    for action in ("retry", "discard_changes"):
        client.post(LIST, {"action": action, "confirmed": "yes", "_selected_action": rows_of(*refused)})
    assert aside() == place(*refused)


def test_nothing_is_discarded_while_a_run_is_at_work(refused: list[Customer], monkeypatch: Any) -> None:
    def busy(databases: Databases) -> Any:
        raise Busy("Another process is synchronizing.")

    monkeypatch.setattr("synchro.discard.run_lock", busy)
    data = {"action": "discard_changes", "confirmed": "yes", "_selected_action": rows_of(*refused)}
    assert (
        "Another process is synchronizing." in staff("discard").post(LIST, data, follow=True).content.decode()
    )
    assert aside() == place(*refused)
    with run_lock(Databases(Database("remote"))):
        pass


def test_what_an_interrupted_run_left_is_taken_over_first(refused: list[Customer]) -> None:
    row = SetAside.objects.first()
    assert row is not None
    SetAside.objects.create(
        peer=row.peer,
        batch=row.batch + 5,
        content_type=row.content_type,
        object_id="99",
        cause="",
        changed=row.changed,
    )
    data = {"action": "discard_changes", "confirmed": "yes", "_selected_action": rows_of(*refused)}
    assert "A run was interrupted" in staff("discard").post(LIST, data, follow=True).content.decode()
    assert place(*refused) <= aside()
