"""Verify: it finds each difference, names it, and reports none that a change on its way explains."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from time import sleep
from typing import Any
from uuid import UUID

import pytest
from django.db import connections
from django.db.models import Model

from synchro.core import call_synchronize
from synchro.exceptions import SynchroError
from synchro.models import ChangeLog, Checkpoint, Node
from synchro.replay import run
from synchro.verify import compare
from synchro.verify.expected import _is_equal
from synchro.verify.results import DIFFERENT, EXTRA, MISSING
from tests.replay import driver, processes
from tests.replay.deployments import BY_TRIGGERS, REMOTE, create_on_remote, other_side, remote_count, unlogged
from tests.shop.models import (
    Album,
    Artist,
    Category,
    Comment,
    Country,
    Customer,
    Employee,
    Measurement,
    Order,
    Parcel,
    Pizzeria,
    Restaurant,
    Seat,
    Shelf,
    Warehouse,
)
from tests.verify.planting import change, delete, differences, found, populate, suspects

pytestmark = pytest.mark.django_db(databases=["default", "remote"], transaction=True)


def test_databases_that_are_equal_are_said_to_be() -> None:
    populate()

    results = found()

    assert {model: result.differences for model, result in results.items() if result.differences} == {}
    assert all(result.equal == result.rows and not result.on_the_way for result in results.values())
    assert {Customer, Order, Shelf, Pizzeria, Album.artists.through}.issubset(results)
    assert results[Category].rows == 2


PLANTED: list[tuple[str, str, Callable[[], None], tuple[str, str, tuple[str, ...]]]] = [
    ("a value", REMOTE, change(Customer, cash=4), ("Customer", DIFFERENT, ("cash",))),
    ("a letter's case", REMOTE, change(Customer, name="vimes"), ("Customer", DIFFERENT, ("name",))),
    ("a trailing blank", REMOTE, change(Customer, name="Vimes "), ("Customer", DIFFERENT, ("name",))),
    ("an accent", REMOTE, change(Country, name="Uberwald"), ("Country", DIFFERENT, ("name",))),
    ("a value on LOCAL", "default", change(Customer, "default", cash=9), ("Customer", DIFFERENT, ("cash",))),
    ("a microsecond", REMOTE, change(Measurement, moment=datetime(2020, 2, 29, 12, 0, 0, 6, UTC)),
     ("Measurement", DIFFERENT, ("moment",))),
    ("NULL for a value", REMOTE, change(Parcel, receiver=None), ("Parcel", DIFFERENT, ("receiver",))),
    ("a self reference", REMOTE, change(Category, parent=None), ("Category", DIFFERENT, ("parent",))),
    ("a column of the parent's table", REMOTE, change(Restaurant, seats=7), ("Restaurant", DIFFERENT, ("seats",))),
    ("a row that REMOTE lost", REMOTE, delete(Order, REMOTE), ("Order", MISSING, ())),
    ("a row that LOCAL lost", "default", delete(Order, "default"), ("Order", EXTRA, ())),
    ("a row of a composite key", REMOTE, change(Shelf, width=6), ("Shelf", DIFFERENT, ("width",))),
    ("the same key", REMOTE, change(Warehouse, name="docks"), ("Warehouse", DIFFERENT, ("name",))),
    ("a pair that REMOTE lost", REMOTE, delete(Album.artists.through, REMOTE), ("Album_artists", MISSING, ())),
    ("a pair that LOCAL lost", "default", delete(Album.artists.through, "default"), ("Album_artists", EXTRA, ())),
]  # fmt: skip


@pytest.mark.parametrize(
    ("alias", "plant", "expected"), [each[1:] for each in PLANTED], ids=[p[0] for p in PLANTED]
)
def test_each_planted_difference_is_found(
    alias: str, plant: Callable[[], None], expected: tuple[str, str, tuple[str, ...]]
) -> None:
    populate()
    with unlogged(alias):
        plant()

    assert differences() == [expected]


def test_servers_tell_themselves_which_rows_are_equal() -> None:
    """Whatever the key, the references and the types of columns. Generic keys are compared by this process."""
    populate()
    Measurement.objects.create(
        day=date(2020, 2, 29), hour=time(10, 20, 30, 400000), lasted=timedelta(days=-1, microseconds=5),
        ratio=0.1, data={"a": [1, None, "ü"]}, raw=b"\x00\xff", token=UUID(int=5), yes=True, maybe=False, short="",
        long="a,b'%s\\\n", address="192.0.2.1", small=-1, number=2**31 - 1, big=-(2**63), positive=2**63 - 1, slug="ö",
    )  # fmt: skip
    call_synchronize()

    left = {model: suspects(model) for model in found() if model is not Comment}

    assert {model: counts for model, counts in left.items() if counts is None or counts[1]} == {}
    assert left[Customer] == (1, 0)
    assert left[Measurement] == (2, 0)
    assert left[Album.artists.through] == (2, 0)


def test_true_is_not_one() -> None:
    populate()
    with unlogged("default"), unlogged(REMOTE):
        change(Measurement, "default", data={"a": [True, 1, None]})()
        change(Measurement, data={"a": [1, 1, None]})()

    assert differences() == [("Measurement", DIFFERENT, ("data",))]


@pytest.mark.parametrize("field", [Measurement._meta.get_field(name) for name in ("ratio", "huge_amount")])
def test_no_number_is_the_same_as_no_number(field: Any) -> None:
    """PostgreSQL keeps such values."""
    assert _is_equal(field, float("nan"), float("nan"))
    assert _is_equal(field, Decimal("NaN"), Decimal("NaN"))
    assert not _is_equal(field, float("nan"), 1.0)
    assert not _is_equal(field, None, Decimal("NaN"))


def test_value_that_cannot_be_read_is_not_equal_to_none() -> None:
    if connections["default"].vendor != "sqlite":
        pytest.skip("only SQLite holds what is no date")
    populate()
    with unlogged("default"), connections["default"].cursor() as cursor:
        cursor.execute("UPDATE shop_measurement SET day = 'someday'")

    assert differences() == [("Measurement", DIFFERENT, ("day",))]


def test_generic_key_that_names_another_row_is_found() -> None:
    populate()
    with unlogged(REMOTE):
        other = create_on_remote(Customer, name="somebody's")
        Comment.objects.using(REMOTE).update(object_id=other.pk)

    assert differences(Comment) == [("Comment", DIFFERENT, ("object_id",))]


def test_generic_key_that_leads_nowhere_is_the_same_where_it_leads_nowhere() -> None:
    """REMOTE's row keeps what it points at, by REMOTE's key, when the target is deleted."""
    populate()
    Customer.objects.get().delete()
    comment = Comment.objects.get()
    call_synchronize()
    assert Comment.objects.using(REMOTE).get().object_id != comment.object_id

    assert differences() == []

    with unlogged(REMOTE):
        other = create_on_remote(Customer, name="somebody's")
        Comment.objects.using(REMOTE).update(object_id=other.pk)
    assert differences(Comment) == [("Comment", DIFFERENT, ("object_id",))]


def test_rows_of_remote_alone_are_named() -> None:
    populate()
    with unlogged(REMOTE):
        create_on_remote(Warehouse, name="somebody's")
        create_on_remote(Country, code="zz", name="nowhere")

    assert differences(Warehouse, Country) == [("Country", EXTRA, ()), ("Warehouse", EXTRA, ())]


def test_what_is_on_its_way_is_no_difference() -> None:
    populate()
    customer = Customer.objects.get()
    customer.cash = 8
    customer.save()
    Order.objects.all().delete()
    Country.objects.create(code="yy", name="new")
    Album.objects.get().artists.clear()

    results = found()

    assert [result for result in results.values() if result.differences] == []
    waiting = {model.__name__: result.on_the_way for model, result in results.items() if result.on_the_way}
    assert waiting == {"Customer": 1, "Order": 1, "Country": 1, "Album_artists": 2}


def test_what_remote_has_not_sent_is_no_difference() -> None:
    if not BY_TRIGGERS:
        pytest.skip("by signals REMOTE's deployment captures, not this process")
    populate()
    Category.objects.using(REMOTE).filter(name="maps").update(name="atlases")
    Employee.objects.using(REMOTE).create(name="new there")
    Order.objects.using(REMOTE).all().delete()

    results = found()

    assert [result for result in results.values() if result.differences] == []
    waiting = {model.__name__: result.on_the_way for model, result in results.items() if result.on_the_way}
    assert waiting == {"Category": 1, "Employee": 1, "Order": 1}


def test_set_whose_owner_is_deleted_is_on_its_way() -> None:
    populate()
    Album.objects.all().delete()
    Artist.objects.filter(name="Lias").delete()

    results = found()

    assert [result for result in results.values() if result.differences] == []
    assert results[Album.artists.through].on_the_way == 2
    assert results[Artist.friends.through].on_the_way == 2


@pytest.mark.parametrize("is_deleted", [False, True])
def test_set_that_remote_has_changed_is_no_difference(is_deleted: bool) -> None:
    populate()
    with other_side():
        if is_deleted:
            Album.objects.get().delete()
        else:
            Album.objects.get().artists.clear()
            Artist.objects.get(name="Buddy").friends.clear()

    results = found()

    assert [result for result in results.values() if result.differences] == []
    assert results[Album.artists.through].on_the_way == 2


def test_what_is_in_quarantine_is_counted_apart(settings: Any) -> None:
    settings.SYNCHRO_ON_ERROR = "quarantine"
    with unlogged(REMOTE):
        create_on_remote(Seat, number=1)
    Seat.objects.create(number=1)
    call_synchronize()

    (result,) = found(Seat).values()

    assert (result.rows, result.quarantined) == (1, 1)
    assert [difference.kind for difference in result.differences] == [EXTRA]


def test_exit_code_tells_of_quarantine() -> None:
    """Whoever moves would leave these rows behind."""
    with unlogged(REMOTE):
        create_on_remote(Seat, number=1)
    Seat.objects.create(number=1)
    environment = processes.environment(SYNCHRO_ON_ERROR="quarantine")
    processes.run("django", "synchronize", env=environment)
    with unlogged(REMOTE):
        delete(Seat, REMOTE)()

    done = processes.run("django", "synchro_verify", "--json", "shop.Seat", env=environment)

    (seats,) = json.loads(done.stdout)["remote"]
    assert (seats["differences"], seats["quarantined"], done.returncode) == ([], 1, 3)


def test_databases_that_have_never_met_are_compared() -> None:
    Country.objects.create(code="xx", name="here")
    with unlogged(REMOTE):
        create_on_remote(Country, code="xx", name="there")
        create_on_remote(Country, code="yy", name="there")
    ChangeLog.objects.all().delete()

    assert differences(Country) == [("Country", DIFFERENT, ("name",)), ("Country", EXTRA, ())]
    assert not Node.objects.using(REMOTE).exists()


class Meanwhile:
    """Does something once, right before a step of the comparison of a model, or right after it."""

    def __init__(self, step: Callable[..., Any], model: type[Model], do: Callable[[], None]) -> None:
        self._step, self._model, self._do, self._is_done = step, model, do, False

    def __call__(self, session: Any, model: type[Model], *rest: Any) -> Any:
        if model is self._model and not self._is_done:
            self._is_done = True
            self._do()
        return self._step(session, model, *rest)


def delete_everywhere(model: type[Model]) -> Callable[[], None]:
    def delete() -> None:
        for row in model._base_manager.all():
            row.delete()
        call_synchronize()

    return delete


@pytest.mark.parametrize("model", [Warehouse, Order, Country])
def test_row_that_is_deleted_on_both_while_it_is_looked_for_is_no_difference(
    model: type[Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    populate()
    look = Meanwhile(compare.extra_rows, model, delete_everywhere(model))
    monkeypatch.setattr(compare, "extra_rows", look)

    assert differences(model) == []


def test_row_that_is_changed_and_changed_back_meanwhile_is_no_difference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    populate()
    country = Country.objects.get()

    def save(name: str) -> None:
        country.name = name
        country.save()

    def change_it() -> None:
        save("other")
        call_synchronize()
        save("Überwald")

    with unlogged(REMOTE):
        change(Country, name="different at first")()
    asked = compare.pending_on_local

    def ask(session: Any, model: type[Model], keys: Any) -> Any:
        found = asked(session, model, keys)
        monkeypatch.setattr(compare, "pending_on_local", asked)
        change_it()
        return found

    monkeypatch.setattr(compare, "pending_on_local", ask)

    assert differences(Country) == []


def test_batch_that_local_was_not_told_of_makes_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run was killed at that moment, or is just about to say so."""
    populate()
    Order.objects.create(customer=Customer.objects.get(), note="new")
    with monkeypatch.context() as patch:
        patch.setattr(run, "acknowledge", lambda *_arguments: 1 / 0)
        with pytest.raises(SynchroError):
            call_synchronize()
    assert remote_count(Order) == 2

    (result,) = found(Order).values()

    assert (result.differences, result.equal, result.on_the_way) == ([], 1, 1)


def test_writers_at_work_make_no_false_difference() -> None:
    """Several look while rows are changed, and replayed, in another process."""
    for number in range(30):
        Warehouse.objects.create(name=f"old {number}")
        Customer.objects.create(name=f"old {number}")
    call_synchronize()
    over = threading.Event()

    def write() -> None:
        count = 0
        while not over.is_set():
            count += 1
            Warehouse.objects.filter(name__startswith="old").order_by("?").first().save()  # type: ignore[union-attr]
            customer = Customer.objects.order_by("?").first()
            assert customer is not None
            customer.cash = count
            customer.save()
            Country.objects.create(code=f"c{count}", name="new")
            Country.objects.filter(code=f"c{count - 5}").delete()
        connections.close_all()

    with processes.Fork(driver.loop) as replayer:
        replayer.go_on()
        assert replayer.line() == "here"
        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(10):
                assert differences(Warehouse, Customer, Country) == []
        finally:
            over.set()
            writer.join()
    assert Checkpoint.objects.get().batch > 2  # the replayer was at work
    call_synchronize()
    assert all(result.rows == result.equal for result in found(Warehouse, Customer, Country).values())


def test_repair_brings_what_is_missing_or_different() -> None:
    populate()
    with unlogged(REMOTE):
        Customer.objects.using(REMOTE).filter(name="Vimes").update(cash=77)
        change(Country, name="other")()
        delete(Order, REMOTE)()
        delete(Album.artists.through, REMOTE)()

    environment = processes.environment()
    done = processes.run("django", "synchro_verify", "--repair", "--json", env=environment)
    again = processes.run("django", "synchro_verify", "--json", env=environment)

    assert done.returncode == 3, done.stderr
    kinds = {
        each["model"]: [d["kind"] for d in each["differences"]] for each in json.loads(done.stdout)["remote"]
    }
    assert kinds["shop.Customer"] == [DIFFERENT]
    left = [each for each in json.loads(again.stdout)["remote"] if each["differences"]]
    assert left == []
    assert remote_count(Order) == 1


def test_signal_ends_it_and_what_was_not_compared_is_not_called_equal() -> None:
    populate()
    Country.objects.create(code="yy", name="waited for")
    environment = processes.environment()

    with processes.start("django", "synchro_verify", "--wait", "300", env=environment) as process:
        sleep(5)  # what it begins with takes time
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=30)

    assert process.returncode == 143, errors
    assert "No row differs" not in output
    assert "not all rows were compared" in errors


def test_command_names_rows_and_hides_values() -> None:
    populate()
    with unlogged(REMOTE):
        change(Country, name="a secret")()

    done = processes.run("django", "synchro_verify", "shop.Country", env=processes.environment())
    shown = processes.run("django", "synchro_verify", "shop.Country", "--values", env=processes.environment())

    assert done.returncode == 3
    assert "different: xx, in name" in done.stdout
    assert "secret" not in done.stdout
    assert "'Überwald', on REMOTE 'a secret'" in shown.stdout
