"""Conflicts in the admin: side by side, and “take the other side”."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client

from synchro.core import call_synchronize
from synchro.models import ChangeLog, Conflict
from synchro.resolve import NotTaken, Resolution
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import let_time_pass, other_side, remote_count, synchronize_both
from tests.shop.models import Album, Artist, Customer, Order

pytestmark = pytest.mark.django_db(databases=["default", "remote"])

LIST = "/admin/synchro/conflict/"


def staff(*codenames: str) -> Client:
    user = User.objects.create_user("ann", is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(content_type__app_label="synchro", codename__in=codenames)
    )
    client = Client()
    client.force_login(user)
    return client


def changed_on_both_sides(winner: str) -> tuple[Customer, Conflict]:
    """A customer whose name and cash both sides changed."""
    customer = Customer.objects.create(name="Vimes", cash=1)
    call_synchronize()
    let_time_pass()
    there = {"name": "Nobby", "cash": 3}

    def change_there() -> None:
        with other_side():
            found = Customer.objects.get()
            vars(found).update(there)
            found.save()
        let_time_pass()

    def change_here() -> None:
        customer.name, customer.cash = "Carrot", 2
        customer.save()
        let_time_pass()

    for change in (change_there, change_here) if winner == "local" else (change_here, change_there):
        change()
    call_synchronize()
    let_time_pass()
    conflict = Conflict.objects.get()
    assert conflict.decision == winner
    return customer, conflict


@pytest.mark.parametrize("winner", ["local", "remote"])
def test_the_other_side_is_taken_and_reaches_remote_like_any_change(winner: str) -> None:
    customer, conflict = changed_on_both_sides(winner)
    client = staff("view_conflict", "resolve")
    page = client.get(f"{LIST}{conflict.pk}/change/")
    text = page.content.decode()
    assert "<mark>Carrot</mark>" in text
    assert "<mark>Nobby</mark>" in text
    side = "remote" if winner == "local" else "local"

    client.post(f"{LIST}{conflict.pk}/change/", {"side": side, "state": page.context["resolution"].state})

    customer.refresh_from_db()
    wanted = ("Nobby", 3) if side == "remote" else ("Carrot", 2)
    assert (customer.name, customer.cash) == wanted
    assert ChangeLog.objects.latest("id").object_id == str(customer.pk)
    call_synchronize()
    found = Customer.objects.using("remote").get()
    assert (found.name, found.cash) == wanted
    assert LogEntry.objects.get().user.username == "ann"
    synchronize_both(first_here=False)
    assert_same_rows(Customer)
    assert Customer.objects.get().name == wanted[0]


def test_it_needs_its_own_permission() -> None:
    _customer, conflict = changed_on_both_sides("local")
    client = staff("view_conflict")
    page = client.get(f"{LIST}{conflict.pk}/change/")
    assert "Take the side of" not in page.content.decode()
    state = page.context["resolution"].state
    assert client.post(f"{LIST}{conflict.pk}/change/", {"side": "remote", "state": state}).status_code == 403
    client.post(LIST, {"action": "take_the_other_side", "_selected_action": [conflict.pk]})
    assert Customer.objects.get().name == "Carrot"


def test_nothing_is_overwritten_that_was_changed_since_the_page_was_opened() -> None:
    _customer, conflict = changed_on_both_sides("local")
    client = staff("view_conflict", "resolve")
    state = client.get(f"{LIST}{conflict.pk}/change/").context["resolution"].state
    Customer.objects.update(cash=99)

    answer = client.post(f"{LIST}{conflict.pk}/change/", {"side": "remote", "state": state}, follow=True)

    assert "has changed since you opened the page" in answer.content.decode()
    assert Customer.objects.get().cash == 99


def test_several_are_taken_by_the_action_of_the_list() -> None:
    _customer, conflict = changed_on_both_sides("local")
    client = staff("view_conflict", "resolve")
    data = {"action": "take_the_other_side", "_selected_action": [conflict.pk]}
    answer = client.post(LIST, data, follow=True).content.decode()
    assert "The other side was taken of 1 conflict." in answer
    assert Customer.objects.get().name == "Nobby"


def test_a_row_that_local_deleted_comes_back() -> None:
    customer = Customer.objects.create(name="Vimes", cash=1)
    call_synchronize()
    let_time_pass()
    with other_side():
        found = Customer.objects.get()
        found.name = "Nobby"
        found.save()
    let_time_pass()
    key = customer.pk
    customer.delete()
    call_synchronize()
    let_time_pass()
    conflict = Conflict.objects.get()
    assert (conflict.decision, remote_count(Customer)) == ("local", 0)

    resolution = Resolution(conflict)
    resolution.take("remote", resolution.state)
    call_synchronize()

    assert Customer.objects.get().pk == key
    assert [c.name for c in Customer.objects.using("remote").all()] == ["Nobby"]


def test_a_row_that_local_deleted_and_remote_kept_is_deleted_there() -> None:
    customer = Customer.objects.create(name="Vimes", cash=1)
    call_synchronize()
    let_time_pass()
    customer.delete()
    let_time_pass()
    with other_side():
        found = Customer.objects.get()
        found.name = "Nobby"
        found.save()
    let_time_pass()
    call_synchronize()
    let_time_pass()
    conflict = Conflict.objects.get()
    assert (conflict.decision, remote_count(Customer)) == ("remote", 1)

    resolution = Resolution(conflict)
    resolution.take("local", resolution.state)
    call_synchronize()

    assert remote_count(Customer) == 0


def test_a_foreign_key_of_remote_leads_to_the_same_object_on_local() -> None:
    Customer.objects.using("remote").create(name="somebody else, so that keys differ")
    here, there = (Customer.objects.create(name=name) for name in ("Vimes", "Nobby"))
    order = Order.objects.create(customer=here, note="old")
    call_synchronize()
    let_time_pass()
    with other_side():
        found = Order.objects.get()
        found.customer = Customer.objects.get(name="Nobby")
        found.note = "theirs"
        found.save()
    let_time_pass()
    order.note = "ours"
    order.save()
    call_synchronize()
    conflict = Conflict.objects.latest("id")
    resolution = Resolution(conflict)
    resolution.take(resolution.only_other(), resolution.state)
    order.refresh_from_db()
    assert (order.customer, order.note) == (there, "theirs")


def test_a_member_is_put_where_the_other_side_had_it() -> None:
    album, artist = Album.objects.create(name="Music"), Artist.objects.create(name="Imp")
    Conflict.objects.create(
        peer_id=_peer(), batch=1, content_type_id=_type(Album), object_id=str(album.pk), fields=("artists",),
        local_values=f'{{"artists": {{"out": {artist.pk}}}}}', remote_values='{"artists": {"in": 4}}',
        local_date=datetime.now(UTC), remote_date=datetime.now(UTC), decision="local",
    )  # fmt: skip
    resolution = Resolution(Conflict.objects.get())
    assert resolution.fields[0].now == {"out": artist.pk}
    resolution.take("remote", resolution.state)
    assert list(album.artists.all()) == [artist]


@pytest.mark.parametrize(
    ("fields", "values", "words"),
    [
        (("gone",), '{"gone": 1}', "no field gone"),
        (("cash",), '{"cash": "much"}', "cash cannot hold"),
        (None, None, "won already"),
    ],
)
def test_what_cannot_be_made_from_the_record_is_refused(fields: Any, values: Any, words: str) -> None:
    customer = Customer.objects.create(name="Vimes")
    Conflict.objects.create(
        peer_id=_peer(), batch=1, content_type_id=_type(Customer), object_id=str(customer.pk), fields=fields,
        local_values=values, remote_values=values, local_date=datetime.now(UTC), remote_date=datetime.now(UTC),
        decision="remote" if values is None else "local",
    )  # fmt: skip
    resolution = Resolution(Conflict.objects.get())
    with pytest.raises(NotTaken, match=words):
        resolution.take("remote", resolution.state)
    assert Customer.objects.get().name == "Vimes"


def _peer() -> int:
    from synchro.models import Peer

    return Peer.objects.create(uuid="123e4567-e89b-12d3-a456-426614174000", alias="remote").pk


def _type(model: Any) -> int:
    from django.contrib.contenttypes.models import ContentType

    return ContentType.objects.get_for_model(model).pk
