"""One side deletes an object, the other gives it a row: one rule, on record, whoever runs first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
from django.db import connections
from django.db.models import Model
from django.test.utils import CaptureQueriesContext

from synchro.core import call_synchronize
from synchro.models import Conflict
from tests.replay.deployments import (
    LOCAL,
    REMOTE,
    assert_alike,
    captured_alike_or,
    let_time_pass,
    other_side,
    remote,
    remote_count,
    synchronize_both,
    synchronize_there,
    use_up_keys_of_the_shop_on_remote,
)
from tests.shop.models import (
    Album,
    Artist,
    Category,
    Country,
    Customer,
    Order,
    Parcel,
    Passport,
    Pizzeria,
    Place,
    Restaurant,
    Visa,
)

MODELS = (Album, Artist, Category, Country, Customer, Order, Parcel, Passport, Pizzeria, Visa)

pytestmark = pytest.mark.django_db(databases=["default", "remote"])


@pytest.fixture(scope="module", params=["alike", "mixed"], autouse=True)
def _captured(request: Any, django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Both sides capture in the same way, or one by signals and the other by triggers."""
    with captured_alike_or(request.param, django_db_blocker, *(model.__name__ for model in MODELS)):
        yield


@pytest.fixture(autouse=True)
def other_keys_on_remote(db: None) -> None:
    use_up_keys_of_the_shop_on_remote()


@pytest.fixture(params=[True, False], ids=["the deleting side first", "the other side first"])
def first_here(request: Any) -> bool:
    return bool(request.param)


@pytest.fixture
def vimes(db: None) -> Customer:
    """A customer that both sides have."""
    customer = Customer.objects.create(name="Vimes")
    Customer.objects.create(name="Carrot")
    call_synchronize()
    synchronize_there()
    let_time_pass(60)
    return customer


def there_is(name: str = "Vimes") -> Customer:
    return Customer.objects.get(name=name)


def order_there(note: str = "", name: str = "Vimes") -> None:
    with other_side():
        Order.objects.create(customer=there_is(name), note=note)
    let_time_pass()


def delete_here(instance: Model) -> None:
    instance.delete()
    let_time_pass()


def counts(*models: type[Model]) -> list[tuple[int, int]]:
    return [(model._base_manager.count(), remote_count(model)) for model in models]


def conflicts() -> list[Conflict]:
    return [one for alias in (LOCAL, REMOTE) for one in Conflict.objects.using(alias).order_by("pk")]


# -- the later of the two decides --------------------------------------------------------------------------------


def test_older_row_goes_with_its_object_and_is_on_record(vimes: Customer, first_here: bool) -> None:
    order_there("the last one")
    delete_here(vimes)

    synchronize_both(first_here)

    assert counts(Customer, Order) == [(1, 1), (0, 0)]
    assert_alike()
    (conflict,) = conflicts()
    assert conflict.decision == (Conflict.LOCAL if first_here else Conflict.REMOTE)
    assert "the last one" in (conflict.remote_values if first_here else conflict.local_values or "")


def test_newer_row_keeps_its_object_and_is_on_record(vimes: Customer, first_here: bool) -> None:
    delete_here(vimes)
    order_there("newer")

    synchronize_both(first_here)

    assert counts(Customer, Order) == [(2, 2), (1, 1)]
    assert_alike()
    (conflict,) = conflicts()
    assert conflict.content_type.model_class() is Customer
    assert conflict.decision == (Conflict.REMOTE if first_here else Conflict.LOCAL)


@pytest.mark.parametrize("later", [True, False])
@pytest.mark.parametrize(("here", "there"), [("local", "remote"), ("remote", "local")])
def test_policies_that_agree_decide_whoever_was_later(
    vimes: Customer, first_here: bool, settings: Any, here: str, there: str, later: bool
) -> None:
    if not later:
        order_there()
    delete_here(vimes)
    if later:
        order_there()

    runs = [(nullcontext, here), (other_side, there)]
    for side, policy in (runs if first_here else runs[::-1]) * 3:
        settings.SYNCHRO_CONFLICT = policy
        with side():
            call_synchronize()

    assert counts(Customer, Order) == ([(1, 1), (0, 0)] if here == "local" else [(2, 2), (1, 1)])
    assert_alike()


def test_policy_of_the_deleted_objects_model_decides(
    vimes: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Customer, "SYNCHRO_CONFLICT", "local", raising=False)
    monkeypatch.setattr(Order, "SYNCHRO_CONFLICT", "remote", raising=False)
    delete_here(vimes)
    order_there()

    call_synchronize()

    assert counts(Customer, Order) == [(1, 1), (0, 0)]


def test_older_row_that_was_moved_to_the_object_goes_with_it(vimes: Customer, first_here: bool) -> None:
    Order.objects.create(customer=there_is("Carrot"), note="moved")
    call_synchronize()
    let_time_pass(60)
    with other_side():
        order = Order.objects.get()
        order.customer = there_is()
        order.save()
    let_time_pass()
    delete_here(vimes)

    synchronize_both(first_here)

    assert counts(Customer, Order) == [(1, 1), (0, 0)]
    assert_alike()
    assert conflicts()


def test_older_rows_go_to_the_last_leaf(first_here: bool) -> None:
    root = Category.objects.create(name="root")
    call_synchronize()
    let_time_pass()
    with other_side():
        branch = Category.objects.create(name="branch", parent=Category.objects.get())
        Category.objects.create(name="leaf", parent=branch)
    let_time_pass()
    delete_here(root)

    synchronize_both(first_here)

    assert counts(Category) == [(0, 0)]
    assert len(conflicts()) == 2


def test_one_newer_leaf_keeps_the_whole_tree(first_here: bool, settings: Any) -> None:
    settings.SYNCHRO_BATCH_SIZE = 1
    root = Category.objects.create(name="root")
    call_synchronize()
    let_time_pass()
    with other_side():
        Category.objects.create(name="branch", parent=Category.objects.get())
    let_time_pass()
    delete_here(root)
    with other_side():
        Category.objects.create(name="leaf", parent=Category.objects.get(name="branch"))
    let_time_pass()

    synchronize_both(first_here)

    assert counts(Category) == [(3, 3)]
    assert_alike()


def test_older_row_whose_key_is_a_reference_goes_with_its_object(vimes: Customer, first_here: bool) -> None:
    with other_side():
        passport = Passport.objects.create(customer=there_is(), number="1")
        Visa.objects.create(passport=passport, country=Country.objects.create(code="PL"))
    let_time_pass()
    delete_here(vimes)

    synchronize_both(first_here)

    assert counts(Passport, Visa, Country) == [(0, 0), (0, 0), (1, 1)]
    assert_alike()
    assert len(conflicts()) == 2


# -- what was kept and what was not, when something changes again -----------------------------------------------


@pytest.mark.parametrize("what", ["goes", "moves"])
def test_object_that_was_kept_for_a_row_comes_back_though_the_row_is_gone(vimes: Customer, what: str) -> None:
    delete_here(vimes)
    order_there()
    call_synchronize()
    with other_side():
        order = Order.objects.get()
        if what == "goes":
            order.delete()
        else:
            order.customer = there_is("Carrot")
            order.save()
    let_time_pass()

    synchronize_both(first_here=False)

    assert counts(Customer) == [(2, 2)]
    assert_alike()


def test_tree_that_was_kept_comes_back_though_the_leaf_is_gone() -> None:
    root = Category.objects.create(name="root")
    Category.objects.create(name="branch", parent=root)
    call_synchronize()
    let_time_pass()
    delete_here(root)
    with other_side():
        Category.objects.create(name="leaf", parent=Category.objects.get(name="branch"))
    let_time_pass()
    call_synchronize()
    with other_side():
        Category.objects.get(name="leaf").delete()

    synchronize_both(first_here=False)

    assert counts(Category) == [(2, 2)]
    assert_alike()


@pytest.mark.parametrize("what", ["row", "object", "moved away", "taken back"])
def test_row_that_was_not_sent_comes_with_its_object_if_that_is_kept_after_all(
    vimes: Customer, first_here: bool, what: str
) -> None:
    order_there("first")
    delete_here(vimes)
    synchronize_there()
    with other_side():
        if what == "row":
            Order.objects.create(customer=there_is(), note="second")
        elif what == "object":
            there = there_is()
            there.cash = 5
            there.save()
        else:
            order = Order.objects.get()
            order.customer = there_is("Carrot")
            order.save()
    let_time_pass()
    if what == "taken back":
        with other_side():
            Order.objects.get().delete()

    synchronize_both(first_here)

    assert_alike()
    assert counts(Order) == {
        "row": [(2, 2)], "object": [(1, 1)], "moved away": [(1, 1)], "taken back": [(0, 0)],
    }[what]  # fmt: skip


def test_object_that_is_deleted_again_after_it_was_kept_goes(vimes: Customer) -> None:
    delete_here(vimes)
    order_there()
    call_synchronize()
    synchronize_there()
    delete_here(there_is())

    synchronize_both(first_here=True)

    assert counts(Customer, Order) == [(1, 1), (0, 0)]
    assert_alike()


# -- other references -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("later", [True, False])
def test_reference_that_may_be_empty_is_decided_in_the_same_way(
    vimes: Customer, first_here: bool, later: bool
) -> None:
    def send() -> None:
        with other_side():
            Parcel.objects.create(receiver=there_is(), weight=3)
        let_time_pass()

    if not later:
        send()
    delete_here(vimes)
    if later:
        send()

    synchronize_both(first_here)

    assert counts(Customer, Parcel) == [(1 + later, 1 + later), (1, 1)]
    assert (Parcel.objects.get().receiver is not None) == later
    assert_alike()


@pytest.mark.parametrize("later", [True, False])
def test_member_of_a_set_goes_with_either_end(first_here: bool, later: bool) -> None:
    album = Album.objects.create(name="Blue")
    joni = Artist.objects.create(name="Joni")
    call_synchronize()
    let_time_pass(60)

    def add() -> None:
        with other_side():
            Album.objects.get().artists.add(Artist.objects.get())
        let_time_pass()

    if not later:
        add()
    delete_here(joni)
    if later:
        add()

    synchronize_both(first_here)

    assert counts(Album, Artist, Album.artists.through) == [(1, 1), (0, 0), (0, 0)]
    assert_alike()
    (conflict,) = conflicts()
    assert conflict.fields in {("artists",), ("shop.Album.artists",)}
    assert album.artists.count() == 0


# -- objects of several tables ----------------------------------------------------------------------------------


@pytest.mark.parametrize("table", [Place, Restaurant, Pizzeria])
@pytest.mark.parametrize("batch_size", [1, 5000])
def test_object_of_several_tables_comes_back_as_a_whole(
    first_here: bool, table: type[Model], batch_size: int, settings: Any
) -> None:
    settings.SYNCHRO_BATCH_SIZE = batch_size
    Pizzeria.objects.create(name="Da Gigino", seats=20, ovens=2)
    call_synchronize()
    let_time_pass(60)
    with other_side():
        Pizzeria.objects.get().delete()
    let_time_pass()
    found: Any = table._base_manager.get()
    if table is Pizzeria:
        found.ovens = 3
        found.save()
    elif table is Restaurant:
        found.seats = 30
        found.save()
    else:
        found.name = "Da Luigi"
        found.save()

    synchronize_both(first_here)

    assert counts(Place, Restaurant, Pizzeria) == [(1, 1), (1, 1), (1, 1)]
    assert_alike()
    assert remote(Pizzeria).name == Pizzeria.objects.get().name
    assert conflicts()


@pytest.mark.parametrize("table", [Place, Restaurant, Pizzeria])
def test_object_of_several_tables_that_was_deleted_later_goes_as_a_whole(
    first_here: bool, table: type[Model]
) -> None:
    Pizzeria.objects.create(name="Da Gigino", seats=20, ovens=2)
    call_synchronize()
    let_time_pass(60)
    found: Any = table._base_manager.get()
    setattr(found, {Place: "name", Restaurant: "seats", Pizzeria: "ovens"}[table], 5)  # type: ignore[index]
    found.save()
    let_time_pass()
    with other_side():
        Pizzeria.objects.get().delete()

    synchronize_both(first_here)

    assert counts(Place, Restaurant, Pizzeria) == [(0, 0), (0, 0), (0, 0)]
    assert conflicts()


# -- what an object that comes back had -------------------------------------------------------------------------


def test_references_and_sets_of_an_object_that_comes_back_are_alike_on_both_sides(
    vimes: Customer, first_here: bool
) -> None:
    """Signals do not say whose references a deletion empties, nor from which sets it takes the object."""
    Parcel.objects.create(receiver=vimes)
    joni = Artist.objects.create(name="Joni")
    Album.objects.create(name="Blue").artists.add(joni)
    call_synchronize()
    let_time_pass(60)
    vimes.delete()
    joni.delete()
    let_time_pass()
    with other_side():
        for row in (there_is(), Artist.objects.get()):
            row.name = "newer"
            row.save()

    synchronize_both(first_here)

    assert counts(Customer, Artist) == [(2, 2), (1, 1)]
    assert_alike()


def test_batches_with_such_objects_take_as_many_statements_for_many_as_for_few(vimes: Customer) -> None:
    def statements(number: int, later: bool) -> int:
        customers = [Customer.objects.create(name=f"{later} {number} {i}") for i in range(number)]
        call_synchronize()
        let_time_pass(60)

        def give() -> None:
            with other_side():
                for customer in customers:
                    Order.objects.create(customer=Customer.objects.get(name=customer.name))
            let_time_pass()

        if not later:
            give()
        for customer in customers:
            customer.delete()
        let_time_pass()
        if later:
            give()
        synchronized = 0
        for side in (other_side, nullcontext):
            with (
                CaptureQueriesContext(connections[LOCAL]) as ours,
                CaptureQueriesContext(connections[REMOTE]) as theirs,
                side(),
            ):
                call_synchronize()
            synchronized += len(ours) + len(theirs)
        return synchronized

    for later in (True, False):
        few, many = statements(10, later), statements(20, later)  # enough for ranges of references
        assert many <= few + 4, f"{few} statements for few, {many} for many"
