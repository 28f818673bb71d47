"""A callable of the project's own decides between two changes of a row, or merges them."""

from __future__ import annotations

import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connections
from django.db.models.signals import pre_save
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from synchro.core import call_synchronize
from synchro.exceptions import SynchroError, Undecided
from synchro.models import CHANGE, ChangeLog, Conflict
from tests.replay import driver, processes
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import (
    REMOTE,
    captured_by_triggers,
    let_time_pass,
    other_side,
    remote,
    remote_count,
    synchronize_there,
    use_up_key_on_remote,
)
from tests.replay.faults.test_killed import run_until_free
from tests.replay.histories.harness import rolled_back, run_until_quiet
from tests.replay.hypothesis_settings import modest
from tests.replay.policies import more_cash
from tests.shop.models import Album, Country, Customer, Order, Seat, Warehouse

pytestmark = pytest.mark.django_db(databases=["default", "remote"])


class Decider:
    """Answers what it is told to, and remembers what it was asked."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[tuple[Any, ...]] = []

    def __call__(self, *question: Any) -> Any:
        self.asked.append(question)
        return self.answer(*question) if callable(self.answer) else self.answer


@pytest.fixture
def customer(db: None) -> Customer:
    """A customer that both sides have, under different keys."""
    use_up_key_on_remote(Customer, name="gone")
    found = Customer.objects.create(name="Vimes", cash=1)
    call_synchronize()
    let_time_pass()
    return found


@pytest.fixture
def decide(settings: Any) -> Callable[[Any], Decider]:
    def set_to(answer: Any) -> Decider:
        settings.SYNCHRO_CONFLICT = Decider(answer)
        return settings.SYNCHRO_CONFLICT  # type: ignore[no-any-return]

    return set_to


def change_here(update_fields: list[str] | None = None, **values: Any) -> None:
    found = Customer.objects.get()
    vars(found).update(values)
    found.save(update_fields=update_fields)
    let_time_pass()


def change_there(update_fields: list[str] | None = None, **values: Any) -> None:
    with other_side():
        change_here(update_fields, **values)


def local(model: type[Any], **lookup: Any) -> Any:
    return model.objects.get(**lookup)


@pytest.mark.parametrize(("winner", "cash"), [("local", 2), ("remote", 3)])
@pytest.mark.parametrize("first_here", [True, False])
def test_callable_says_who_wins_whoever_was_later(
    customer: Customer, decide: Any, winner: str, cash: int, first_here: bool
) -> None:
    decide(winner)
    for change, value in [(change_here, 2), (change_there, 3)][:: 1 if first_here else -1]:
        change(cash=value)

    report = call_synchronize()

    assert remote(Customer).cash == cash
    assert report.conflicts == 1
    assert Conflict.objects.get().decision == winner


def test_callable_is_told_both_objects_both_times_and_what_both_changed(
    customer: Customer, decide: Any
) -> None:
    decider = decide("local")
    change_here(["cash", "name"], cash=2, name="Sam")
    change_there(["cash"], cash=3)

    call_synchronize()

    ((model, here, there, here_at, there_at, fields),) = decider.asked
    assert model is Customer
    assert (here.pk, here.cash, here.name) == (customer.pk, 2, "Sam")
    assert (there.pk, there.cash, there.name) == (remote(Customer).pk, 3, "Sam") or there.name == "Vimes"
    assert fields == ("cash",)
    assert timedelta(seconds=5) < there_at - here_at < timedelta(seconds=15)
    assert here_at.utcoffset() == there_at.utcoffset() == timedelta(0)


@pytest.mark.parametrize("where", ["setting", "path", "model", "path on the model"])
def test_callable_may_stand_in_the_settings_or_on_the_model(
    customer: Customer, settings: Any, monkeypatch: Any, where: str
) -> None:
    policy: Any = "tests.replay.policies.more_cash" if "path" in where else more_cash
    if "model" in where:
        monkeypatch.setattr(Customer, "SYNCHRO_CONFLICT", policy, raising=False)
    else:
        settings.SYNCHRO_CONFLICT = policy
    change_here(cash=3)
    change_there(cash=2)

    call_synchronize()

    assert remote(Customer).cash == 3


def test_change_without_a_rival_is_not_put_before_it(customer: Customer, decide: Any) -> None:
    decider = decide("remote")
    change_here(["cash"], cash=2)
    change_there(["name"], name="Sam")

    call_synchronize()

    assert (remote(Customer).cash, remote(Customer).name) == (2, "Sam")
    assert decider.asked == []


def test_change_that_remote_made_long_ago_is_put_before_it_too(customer: Customer, decide: Any) -> None:
    decider = decide("remote")
    change_there(cash=3)
    let_time_pass(24 * 3600)
    change_here(cash=2)

    call_synchronize()

    assert len(decider.asked) == 1
    assert remote(Customer).cash == 3


def test_plain_rows_that_need_no_look_are_put_before_it_too(decide: Any) -> None:
    warehouse = Warehouse.objects.create(name="old")
    call_synchronize()
    decider = decide("remote")
    with other_side():
        Warehouse.objects.update(name="there")
        Warehouse.objects.get().save()
    let_time_pass(24 * 3600)
    warehouse.name = "here"
    warehouse.save()

    call_synchronize()

    assert len(decider.asked) == 1
    assert remote(Warehouse).name == "there"


@pytest.mark.parametrize("first", ["here", "there"])
def test_merged_values_are_on_both_sides_whichever_replays_first(
    customer: Customer, decide: Any, first: str
) -> None:
    decider = decide(lambda model, here, there, *_: {"cash": max(here.cash, there.cash)})
    change_here(cash=5, name="older")
    change_there(cash=3, name="newer")

    runs = [call_synchronize, synchronize_there]
    for run in runs if first == "here" else runs[::-1]:
        run()

    assert len(decider.asked) == 1
    for one in (local(Customer), remote(Customer)):
        assert (one.cash, one.name) == (5, "newer")
    assert_same_rows()


def test_merged_values_arrive_with_one_way_too(customer: Customer, decide: Any) -> None:
    decide({"cash": 100})
    change_here(["cash"], cash=2)
    change_there(["cash"], cash=3)

    report = call_synchronize()

    assert (local(Customer).cash, remote(Customer).cash) == (100, 100)
    conflict = Conflict.objects.get()
    assert (conflict.decision, conflict.fields, report.conflicts) == (Conflict.MERGED, ("cash",), 1)
    assert (conflict.local_values, conflict.remote_values) == ('{"cash": 2}', '{"cash": 3}')
    assert_same_rows()


def test_what_was_decided_is_not_asked_again(customer: Customer, decide: Any) -> None:
    decider = decide({"cash": 100})
    change_here(cash=2)
    change_there(cash=3)
    call_synchronize()
    let_time_pass()

    change_here(cash=4)
    call_synchronize()
    customer.delete()
    call_synchronize()

    assert len(decider.asked) == 1
    assert remote_count(Customer) == 0


def test_change_that_remote_makes_after_a_merge_is_its_own(customer: Customer, decide: Any) -> None:
    decider = decide({"cash": 100})
    change_here(cash=2)
    change_there(cash=3)
    call_synchronize()
    let_time_pass()
    change_there(cash=1)

    call_synchronize()
    synchronize_there()

    assert (local(Customer).cash, remote(Customer).cash) == (1, 1)
    assert len(decider.asked) == 1


def test_fields_that_only_one_side_changed_can_be_merged_too(customer: Customer, decide: Any) -> None:
    decide({"cash": 100, "name": "Vimes, twice"})
    change_here(["cash"], cash=2)
    change_there(["cash", "name"], cash=3, name="Sam")

    call_synchronize()
    synchronize_there()

    for one in (local(Customer), remote(Customer)):
        assert (one.cash, one.name) == (100, "Vimes, twice")


def test_foreign_key_is_merged_by_locals_object(decide: Any) -> None:
    use_up_key_on_remote(Customer, name="gone")
    first, second, third, _ = (Customer.objects.create(name=name) for name in "abcd")
    order = Order.objects.create(customer=first)
    call_synchronize()
    let_time_pass()
    decide(lambda *_: {"customer": Customer.objects.get(name="c")})
    order.customer = second
    order.save()
    with other_side():
        theirs = Order.objects.get()
        theirs.customer = Customer.objects.get(name="d")
        theirs.save()

    call_synchronize()

    assert local(Order).customer == third
    assert remote(Order).customer.name == "c"
    assert_same_rows()


def test_row_that_changed_while_it_was_asked_about_is_asked_about_again(
    customer: Customer, decide: Any
) -> None:
    def interrupted(model: Any, here: Any, there: Any, *_: Any) -> Any:
        if len(decider.asked) == 1:
            change_here(["cash"], cash=50)
        return {"cash": here.cash + there.cash}

    decider = decide(interrupted)
    change_here(["cash"], cash=2)
    change_there(["cash"], cash=3)

    call_synchronize()

    assert (local(Customer).cash, remote(Customer).cash) == (53, 53)


@pytest.mark.parametrize(("winner", "rows"), [("local", 0), ("remote", 1)])
def test_deletion_here_is_put_before_it_against_a_change_there(
    customer: Customer, decide: Any, winner: str, rows: int
) -> None:
    decider = decide(winner)
    change_there(cash=3)
    customer.delete()

    call_synchronize()

    assert remote_count(Customer) == rows
    ((_model, here, there, *_),) = decider.asked
    assert (here, there.cash) == (None, 3)


@pytest.mark.parametrize(("winner", "rows"), [("local", 1), ("remote", 0)])
def test_change_here_is_put_before_it_against_a_deletion_there(
    customer: Customer, decide: Any, winner: str, rows: int
) -> None:
    decider = decide(winner)
    change_here(cash=3)
    with other_side():
        Customer.objects.get().delete()

    call_synchronize()

    assert remote_count(Customer) == rows
    ((_model, here, there, *_),) = decider.asked
    assert (here.cash, there) == (3, None)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        True,
        "newer",
        ("local",),
        {"nonsense": 1},
        {"id": 7},
        {"cash": "much"},
        {"cash": None},
        {"name": "x" * 10_000, "cash": object()},
        lambda *_: 1 // 0,
        lambda: "local",
    ],
)
def test_nonsense_stops_the_run_before_it_writes(customer: Customer, decide: Any, answer: Any) -> None:
    decide(answer)
    Country.objects.create(code="PL", name="Poland")
    change_here(cash=2)
    change_there(cash=3)

    with pytest.raises(Undecided, match=rf"Customer {customer.pk}.*Decider"):
        call_synchronize()

    assert (local(Customer).cash, remote(Customer).cash) == (2, 3)
    assert remote_count(Country) == Conflict.objects.count() == 0


def test_skipped_column_cannot_be_merged(decide: Any) -> None:
    decide({"visits": 7})
    country = Country.objects.create(code="PL")
    call_synchronize()
    let_time_pass()
    country.name = "here"
    country.save()
    Country.objects.using(REMOTE).update(name="there")
    log_on_remote(Country, "PL")

    with pytest.raises(Undecided, match=r"Country PL.*visits"):
        call_synchronize()

    assert (local(Country).visits, remote(Country).name) == (0, "there")


def log_on_remote(model: type[Any], key: object) -> None:
    kind = ContentType.objects.db_manager(REMOTE).get_for_model(model)
    ChangeLog.objects.using(REMOTE).create(content_type_id=kind.pk, object_id=key, action=CHANGE)


@pytest.fixture
def order(db: None) -> Order:
    """An order that both sides have changed."""
    order = Order.objects.create(customer=Customer.objects.create(name="Vimes"), note="")
    call_synchronize()
    let_time_pass()
    order.note = "here"
    order.save()
    with other_side():
        found = Order.objects.get()
        found.note = "there"
        found.save()
    return order


@pytest.mark.parametrize(
    "answer",
    [
        lambda _model, _here, there, *_: {"customer": there.customer},
        lambda *_: {"customer": Country.objects.get()},
        lambda *_: {"customer": Customer(name="unsaved")},
        lambda *_: {"note": Customer.objects.get()},
        lambda *_: {"customer": None},
    ],
)
def test_object_that_a_field_cannot_point_at_is_nonsense(order: Order, decide: Any, answer: Any) -> None:
    Country.objects.create(code="PL")
    decide(answer)

    with pytest.raises(Undecided, match=rf"Order {order.pk}"):
        call_synchronize()

    assert (local(Order).note, remote(Order).note) == ("here", "there")
    assert local(Order).customer == order.customer


def test_merge_that_breaks_a_unique_value_stops_the_run_before_it_writes(decide: Any) -> None:
    Seat.objects.create(number=1)
    seat = Seat.objects.create(number=2, guest="nobody")
    call_synchronize()
    let_time_pass()
    decide({"number": 1})
    seat.guest = "here"
    seat.save()
    with other_side():
        found = Seat.objects.get(number=2)
        found.guest = "there"
        found.save()

    with pytest.raises(Undecided, match=rf"Seat {seat.pk}"):
        call_synchronize()

    assert (local(Seat, number=2).guest, remote(Seat, number=2).guest) == ("here", "there")
    decide("local")
    call_synchronize()
    assert_same_rows()


def test_merge_that_a_receiver_refuses_stops_the_run_in_words(customer: Customer, decide: Any) -> None:
    def receive(instance: Customer, **kwargs: Any) -> None:
        if instance.cash == 100:
            raise Unwanted

    decide({"cash": 100})
    change_here(cash=2)
    change_there(cash=3)
    pre_save.connect(receive, sender=Customer)
    try:
        with pytest.raises(Undecided, match=rf"Customer {customer.pk}.*Unwanted"):
            call_synchronize()
    finally:
        pre_save.disconnect(receive, sender=Customer)

    assert (local(Customer).cash, remote(Customer).cash) == (2, 3)


class Unwanted(Exception):
    """A rule of the project's own."""


def test_values_that_local_refuses_stop_the_run_before_it_writes(order: Order, decide: Any) -> None:
    decide({"customer": 4711})

    with pytest.raises(SynchroError, match=r"shop\.Order"):
        call_synchronize()

    assert (local(Order).note, remote(Order).note) == ("here", "there")
    assert local(Order).customer == order.customer


def test_merging_a_row_that_one_side_deleted_is_nonsense(customer: Customer, decide: Any) -> None:
    decide({"cash": 3})
    change_there(cash=3)
    customer.delete()

    with pytest.raises(Undecided, match="deleted"):
        call_synchronize()

    assert remote(Customer).cash == 3


def test_as_many_statements_for_many_conflicts_as_for_few(decide: Any) -> None:
    decide("local")
    counts = []
    for number in (2, 40):
        for place in range(number):
            Country.objects.create(code=f"{number}-{place}", name="old")
        call_synchronize()
        let_time_pass()
        for country in Country.objects.filter(code__startswith=f"{number}-"):
            country.name = "here"
            country.save()
        with other_side():
            for country in Country.objects.filter(code__startswith=f"{number}-"):
                country.name = "there"
                country.save()
        with (
            CaptureQueriesContext(connections["default"]) as here,
            CaptureQueriesContext(connections[REMOTE]) as there,
        ):
            assert call_synchronize().conflicts == number
        counts.append([_about_rows_and_conflicts(queries) for queries in (here, there)])

    assert counts[0] == counts[1]


def _about_rows_and_conflicts(queries: CaptureQueriesContext) -> int:
    """MariaDB is asked now and then for its transactions, which is of no interest here."""
    return sum("shop_" in query["sql"] or "synchro_conflict" in query["sql"] for query in queries)


@modest
@given(st.lists(st.tuples(st.sampled_from(["here", "there", "run", "run there"]), st.integers(0, 2))))
def test_two_sides_that_merge_meet_whatever_happens(history: list[tuple[str, int]]) -> None:
    with rolled_back(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("django.conf.settings.SYNCHRO_CONFLICT", more_cash, raising=False)
        for name in "abc":
            Customer.objects.create(name=name)
        call_synchronize()
        for place, (what, number) in enumerate(history):
            if what == "run":
                call_synchronize()
            elif what == "run there":
                synchronize_there()
            elif what == "here":
                _edit(number, place)
            else:
                with other_side():
                    _edit(number, place)
        run_until_quiet()

        assert_same_rows(Customer)


def _edit(number: int, cash: int) -> None:
    customer = Customer.objects.get(name="abc"[number])
    customer.cash = cash * 7 % 5
    customer.save(update_fields=["cash"] if cash % 2 else None)


@pytest.fixture
def dispute(db: None) -> None:
    """Both sides have changed the same customer and the same member of a set, and more is pending."""
    use_up_key_on_remote(Customer, name="gone")
    Customer.objects.create(name="Vimes", cash=1)
    Album.objects.create(name="Blue").countries.add(Country.objects.create(code="CA"))
    call_synchronize()
    Customer.objects.create(name="Carrot")
    let_time_pass()
    found = Customer.objects.get(name="Vimes")
    found.cash = 5
    found.save()
    Album.objects.get().countries.remove("CA")
    let_time_pass()
    with other_side():
        found = Customer.objects.get(name="Vimes")
        found.cash = 3
        found.save()
        Album.objects.get().countries.set([])
        Album.objects.get().countries.add("CA")
    let_time_pass()


@pytest.mark.django_db(transaction=True, databases=["default", "remote"])
@pytest.mark.parametrize("step", ["merged", "written", "committed"])
def test_killed_while_merging_it_goes_on_with_what_was_merged(
    dispute: None, settings: Any, tmp_path: Path, monkeypatch: Any, step: str
) -> None:
    asked = tmp_path / "asked"
    settings.SYNCHRO_CONFLICT = more_cash
    monkeypatch.setenv("SYNCHRO_TEST_ASKED", str(asked))
    assert processes.forked(driver.happening, "kill", step, "2") == -signal.SIGKILL

    run_until_free()
    synchronize_there()

    assert (local(Customer, name="Vimes").cash, remote(Customer, name="Vimes").cash) == (5, 5)
    assert asked.read_text() == "asked\n"
    assert Conflict.objects.filter(decision=Conflict.MERGED).count() == 1
    assert_same_rows()
    assert call_synchronize().entries == 0


@pytest.mark.django_db(transaction=True, databases=["default", "remote"])
@pytest.mark.parametrize("step", ["recorded", "committed"])
def test_conflict_is_on_record_once_wherever_the_process_is_killed(dispute: None, step: str) -> None:
    assert processes.forked(driver.happening, "kill", step, "2") == -signal.SIGKILL

    run_until_free()

    assert (
        Conflict.objects.get(object_id=Album.objects.get().pk, fields=("countries",)).decision
        == Conflict.REMOTE
    )
    conflict = Conflict.objects.exclude(fields=("countries",)).get()
    assert (conflict.decision, conflict.remote_values is not None) == (Conflict.REMOTE, True)
    assert ChangeLog.objects.filter(object_id=conflict.object_id).exists()


@pytest.mark.django_db(transaction=True, databases=["default", "remote"])
def test_merged_values_are_captured_by_triggers_too() -> None:
    with captured_by_triggers(("shop", "Customer")), override_settings(SYNCHRO_CONFLICT=more_cash):
        Customer.objects.create(name="Vimes", cash=1)
        call_synchronize()
        let_time_pass()
        Customer.objects.update(cash=3)
        change_there(["cash"], cash=5)
        change_there(["name"], name="Sam")

        assert call_synchronize().conflicts == 1
        synchronize_there()
        assert call_synchronize().entries == 0

    for one in (local(Customer), remote(Customer)):
        assert (one.cash, one.name) == (5, "Sam")
