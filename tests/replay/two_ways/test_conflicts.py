"""Both sides changed the same row: the newer change stays."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections

from synchro.backends import backend_for
from synchro.core import call_synchronize
from synchro.models import ChangeLog, Conflict
from synchro.replay.log import remote_log
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import BY_TRIGGERS, REMOTE, let_time_pass, other_side, remote, remote_count
from tests.shop.models import (
    Album,
    Artist,
    Book,
    Category,
    Country,
    Currency,
    Customer,
    Edition,
    Order,
    Price,
    Publisher,
    Warehouse,
)

pytestmark = pytest.mark.django_db(databases=["default", "remote"])


@pytest.fixture
def customer(db: None) -> Customer:
    """A customer that both sides have."""
    found = Customer.objects.create(name="Vimes", cash=1)
    call_synchronize()
    let_time_pass()
    return found


def change_here(customer: Customer, **values: Any) -> None:
    vars(customer).update(values)
    customer.save()
    let_time_pass()


def change_there(key: object, update_fields: list[str] | None = None, **values: Any) -> None:
    """What people do on the other side, whose own log has it."""
    with other_side():
        found = Customer.objects.get(pk=key)
        vars(found).update(values)
        found.save(update_fields=update_fields)
    let_time_pass()


def test_newer_change_of_remotes_own_is_not_overwritten(customer: Customer) -> None:
    change_here(customer, cash=2)
    change_there(remote(Customer).pk, cash=3)

    report = call_synchronize()

    assert remote(Customer).cash == 3
    assert [model.kept for model in report.models] == [1]


@pytest.mark.parametrize("theirs_is_newer", [True, False])
def test_values_that_both_sides_made_the_same_are_no_conflict(
    customer: Customer, theirs_is_newer: bool
) -> None:
    """As permissions are that `migrate` renames on each side."""
    if theirs_is_newer:
        change_here(customer, cash=2, name="both")
        change_there(remote(Customer).pk, cash=3, name="both")
    else:
        change_there(remote(Customer).pk, cash=3, name="both")
        change_here(customer, cash=2, name="both")

    call_synchronize()

    (conflict,) = Conflict.objects.all()
    assert conflict.fields == ("cash",)
    assert remote(Customer).name == "both"
    assert remote(Customer).cash == (3 if theirs_is_newer else 2)


def test_older_change_of_remotes_own_is_overwritten(customer: Customer) -> None:
    change_there(remote(Customer).pk, cash=3)
    change_here(customer, cash=2)

    call_synchronize()

    assert remote(Customer).cash == 2
    assert_same_rows()


def test_change_that_remote_made_long_ago_and_has_not_sent_is_overwritten_and_on_record(
    customer: Customer,
) -> None:
    change_there(remote(Customer).pk, cash=3)
    let_time_pass(3 * 3600)
    call_synchronize()
    Country.objects.create(code="PL")
    call_synchronize()

    for cash in (2, 4):
        change_here(customer, cash=cash)
        call_synchronize()

    assert_same_rows()
    conflict = Conflict.objects.get()
    assert conflict.decision == Conflict.LOCAL
    assert '"cash": 3' in (conflict.remote_values or "")


def test_however_much_remote_has_not_sent_what_is_overwritten_is_on_record(
    customer: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does send, but the line was down for weeks."""
    monkeypatch.setattr(remote_log, "LOOK_BACK", 5)
    with other_side():
        Country.objects.create(code="PL")
        call_synchronize()
    change_there(remote(Customer).pk, cash=3)
    with other_side():
        for number in range(20):
            Country.objects.create(code=f"{number}")
    let_time_pass(3 * 3600)
    change_here(customer, cash=2)

    call_synchronize()

    assert remote(Customer).cash == 2
    assert '"cash": 3' in (Conflict.objects.get().remote_values or "")


def test_deletion_that_remote_made_long_ago_and_has_not_sent_is_undone_and_on_record(
    customer: Customer,
) -> None:
    with other_side():
        Customer.objects.get().delete()
    let_time_pass(3 * 3600)

    change_here(customer, cash=2)
    call_synchronize()

    assert_same_rows()
    assert Conflict.objects.get().decision == Conflict.LOCAL


def test_plain_row_that_remote_changed_long_ago_is_not_overwritten_in_silence() -> None:
    warehouse = Warehouse.objects.create(name="first")
    call_synchronize()
    with other_side():
        there = Warehouse.objects.get()
        there.name = "theirs"
        there.save()
    let_time_pass(3 * 3600)
    warehouse.name = "ours"
    warehouse.save()

    call_synchronize()

    assert_same_rows()
    assert '"name": "theirs"' in (Conflict.objects.get().remote_values or "")


def test_what_remote_has_sent_is_no_conflict_however_old(customer: Customer) -> None:
    change_there(remote(Customer).pk, cash=3)
    let_time_pass(3 * 3600)
    with other_side():
        call_synchronize()
    change_here(Customer.objects.get(), cash=2)

    call_synchronize()

    assert_same_rows()
    assert not Conflict.objects.exists()


def test_change_of_another_row_of_remotes_own_is_no_conflict(customer: Customer) -> None:
    with other_side():
        Customer.objects.create(name="Rust")
        let_time_pass()
    change_here(customer, cash=2)
    with other_side():
        Customer.objects.filter(name="Rust").get().save()

    report = call_synchronize()

    assert remote(Customer, name="Vimes").cash == 2
    assert report.conflicts == 0


def test_change_of_remotes_own_that_was_weighed_before_is_not_weighed_again(
    customer: Customer,
) -> None:
    """Newer than one change, it is older than the next."""
    change_here(customer, cash=2)
    change_there(remote(Customer).pk, cash=3)
    call_synchronize()

    change_here(customer, cash=4)
    call_synchronize()

    assert remote(Customer).cash == 4


def test_row_that_remote_changed_after_it_was_deleted_here_stays(customer: Customer) -> None:
    customer.delete()
    let_time_pass()
    change_there(remote(Customer).pk, cash=3)

    call_synchronize()

    assert remote(Customer).cash == 3


def test_row_that_remote_changed_before_it_was_deleted_here_goes(customer: Customer) -> None:
    change_there(remote(Customer).pk, cash=3)
    customer.delete()
    let_time_pass()

    call_synchronize()

    assert remote_count(Customer) == 0


def test_row_that_remote_deleted_after_it_was_changed_here_stays_deleted(customer: Customer) -> None:
    change_here(customer, cash=2)
    with other_side():
        Customer.objects.get().delete()

    call_synchronize()

    assert remote_count(Customer) == 0


def test_row_that_remote_deleted_before_it_was_changed_here_comes_back(customer: Customer) -> None:
    with other_side():
        Customer.objects.get().delete()
    let_time_pass()
    change_here(customer, cash=2)

    call_synchronize()

    assert remote(Customer).cash == 2
    assert_same_rows()


def test_given_key_that_both_sides_created_goes_to_the_newer() -> None:
    Country.objects.create(code="PL", name="older")
    Country.objects.create(code="DE", name="to be overwritten")
    let_time_pass()
    with other_side():
        Country.objects.create(code="PL", name="newer")

    call_synchronize()

    assert remote(Country, code="PL").name == "newer"
    assert remote(Country, code="DE").name == "to be overwritten"


def test_changes_of_different_columns_both_survive_where_the_columns_are_known(customer: Customer) -> None:
    customer.name = "Sir Samuel"
    customer.save(update_fields=["name"])
    let_time_pass()
    change_there(remote(Customer).pk, cash=3, update_fields=["cash"])

    call_synchronize()

    assert (remote(Customer).name, remote(Customer).cash) == ("Sir Samuel", 3)


@pytest.mark.skipif(not BY_TRIGGERS, reason="signals do not know which columns a plain save() changes")
@pytest.mark.parametrize("first_here", [True, False])
def test_plain_saves_of_different_columns_both_survive_by_triggers(
    customer: Customer, first_here: bool
) -> None:
    """What 0.7 could not do: each side had read the row before the other changed it."""
    change_there(remote(Customer).pk, name="Sir Samuel")
    change_here(customer, cash=2)
    for here in (first_here, not first_here, first_here):
        with nullcontext() if here else other_side():
            call_synchronize()

    for found in (Customer.objects.get(), remote(Customer)):
        assert (found.name, found.cash) == ("Sir Samuel", 2)
    assert not Conflict.objects.exists()


def test_child_is_replayed_even_where_its_parent_is_kept(customer: Customer) -> None:
    change_here(customer, cash=2)
    change_there(remote(Customer).pk, cash=3)
    Order.objects.create(customer=customer)

    call_synchronize()

    assert remote(Order).customer.cash == 3


def test_clocks_that_differ_are_no_advantage(customer: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    """REMOTE's clock is an hour ahead, so its older change bears the later time."""
    change_there(remote(Customer).pk, cash=3)
    for entry in ChangeLog.objects.using(REMOTE).all():
        ahead = entry.date + timedelta(hours=1)
        ChangeLog.objects.using(REMOTE).filter(pk=entry.pk).update(date=ahead)
    change_here(customer, cash=2)
    backend = backend_for(connections[REMOTE])
    right = backend.now

    monkeypatch.setattr(backend, "now", lambda: right() + timedelta(hours=1))

    call_synchronize()

    assert remote(Customer).cash == 2


def test_clock_of_remote_that_is_late_is_no_disadvantage(
    customer: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_here(customer, cash=2)
    change_there(remote(Customer).pk, cash=3)
    for entry in ChangeLog.objects.using(REMOTE).all():
        late = entry.date - timedelta(hours=1)
        ChangeLog.objects.using(REMOTE).filter(pk=entry.pk).update(date=late)
    backend = backend_for(connections[REMOTE])
    right = backend.now

    monkeypatch.setattr(backend, "now", lambda: right() - timedelta(hours=1))

    call_synchronize()

    assert remote(Customer).cash == 3


def test_decision_is_kept_with_both_values(customer: Customer) -> None:
    change_here(customer, cash=2)
    change_there(remote(Customer).pk, cash=3)

    report = call_synchronize()

    conflict = Conflict.objects.get()
    assert report.conflicts == 1
    assert (conflict.object_id, conflict.decision) == (str(customer.pk), Conflict.REMOTE)
    assert '"cash": 2' in (conflict.local_values or "")
    assert '"cash": 3' in (conflict.remote_values or "")


def test_members_that_each_side_added_to_a_set_are_all_in_it() -> None:
    album = Album.objects.create(name="Blue")
    joni, james = Artist.objects.create(name="Joni"), Artist.objects.create(name="James")
    call_synchronize()
    let_time_pass()

    album.artists.add(joni)
    let_time_pass()
    with other_side():
        Album.objects.get().artists.add(Artist.objects.get(name="James"))
    call_synchronize()
    with other_side():
        call_synchronize()

    assert {one.name for one in remote(Album).artists.all()} == {"Joni", "James"}
    assert {one.pk for one in album.artists.all()} == {joni.pk, james.pk}


@pytest.mark.parametrize(("policy", "cash"), [("local", 2), ("remote", 3)])
@pytest.mark.parametrize("first_here", [True, False])
def test_policy_decides_whoever_was_later(
    customer: Customer, settings: Any, policy: str, cash: int, first_here: bool
) -> None:
    settings.SYNCHRO_CONFLICT = policy
    key = remote(Customer).pk
    if first_here:
        change_here(customer, cash=2)
    change_there(key, cash=3)
    if not first_here:
        change_here(customer, cash=2)

    call_synchronize()

    assert remote(Customer).cash == cash


def test_policy_of_the_model_goes_before_that_of_the_project(
    customer: Customer, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SYNCHRO_CONFLICT = "remote"
    monkeypatch.setattr(Customer, "SYNCHRO_CONFLICT", "local", raising=False)
    change_here(customer, cash=2)
    change_there(remote(Customer).pk, cash=3)

    call_synchronize()

    assert remote(Customer).cash == 2


def test_change_without_a_rival_arrives_under_any_policy(customer: Customer, settings: Any) -> None:
    settings.SYNCHRO_CONFLICT = "remote"

    change_here(customer, cash=2)
    call_synchronize()

    assert remote(Customer).cash == 2


def test_row_that_remote_gave_a_child_after_it_was_deleted_here_stays(customer: Customer) -> None:
    Order.objects.create(customer=customer, note="older")
    call_synchronize()
    customer.delete()
    let_time_pass()
    with other_side():
        Order.objects.create(customer=Customer.objects.get(), note="newer")

    report = call_synchronize()

    assert remote(Order, note="newer").customer.name == remote(Customer).name
    assert report.conflicts == 1
    with other_side():
        call_synchronize()
    assert Order.objects.get().note == "newer"


@pytest.mark.parametrize("batch_size", [1, 5000])
def test_it_is_on_record_that_a_row_stays_for_its_child_whatever_came_before(
    customer: Customer, settings: Any, batch_size: int
) -> None:
    """REMOTE's log has been looked at, for something else, by then."""
    settings.SYNCHRO_BATCH_SIZE = batch_size
    key = str(customer.pk)
    order = Order.objects.create(customer=customer)
    call_synchronize()
    let_time_pass(60)
    order.delete()
    customer.delete()
    let_time_pass()
    with other_side():
        Order.objects.create(customer=Customer.objects.get())

    call_synchronize()

    conflict = Conflict.objects.get()
    assert (conflict.object_id, conflict.fields, conflict.decision) == (key, None, "remote")


@pytest.mark.parametrize("batch_size", [1, 5000])
def test_all_that_stand_above_a_newer_row_of_a_tree_stay_though_all_were_deleted(
    settings: Any, batch_size: int
) -> None:
    settings.SYNCHRO_BATCH_SIZE = batch_size
    root = Category.objects.create(name="root")
    branch = Category.objects.create(name="branch", parent=root)
    Category.objects.create(name="twig", parent=branch)
    Category.objects.create(name="other branch", parent=root)
    call_synchronize()
    let_time_pass()
    root.delete()
    let_time_pass()
    with other_side():
        Category.objects.create(name="leaf", parent=Category.objects.get(name="twig"))

    call_synchronize()

    names = {category.name for category in Category.objects.using(REMOTE).all()}
    assert names == {"root", "branch", "twig", "leaf"}
    # Where a foreign key cannot be checked later, Django empties it before the deletion: two changes of one object.
    assert Conflict.objects.order_by().values("object_id").distinct().count() == 3


def test_row_stays_for_a_newer_child_that_points_at_another_column_than_its_key() -> None:
    currency = Currency.objects.create(code="AM$")
    Price.objects.create(currency=currency, amount="1.00")
    call_synchronize()
    let_time_pass()
    currency.delete()
    let_time_pass()
    with other_side():
        Price.objects.create(currency=Currency.objects.get(), amount="2.00")

    call_synchronize()

    assert remote(Price, amount="2.00").currency == remote(Currency)
    assert Conflict.objects.filter(fields=None).count() == 1


def test_row_that_remote_gave_a_child_before_it_was_deleted_here_goes(customer: Customer) -> None:
    with other_side():
        Order.objects.create(customer=Customer.objects.get())
    let_time_pass()
    customer.delete()

    call_synchronize()

    assert (remote_count(Customer), remote_count(Order)) == (0, 0)


def test_what_stands_above_a_newer_child_stays_to_the_top() -> None:
    publisher = Publisher.objects.create(name="Gollancz")
    book = Book.objects.create(publisher=publisher, title="Sourcery")
    call_synchronize()
    book.delete()
    publisher.delete()
    let_time_pass()
    with other_side():
        Edition.objects.create(book=Book.objects.get(), number=1, price="1.00")

    call_synchronize()

    assert remote(Edition).book.publisher.name == "Gollancz"
