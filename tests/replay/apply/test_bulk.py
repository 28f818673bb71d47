"""Batches of plain rows go as a whole where REMOTE has left them alone, and arrive like all others."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from threading import Event
from typing import Any
from uuid import UUID

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connections, transaction
from django.db.models import Model

from synchro.backends import mysql
from synchro.core import call_synchronize
from synchro.exceptions import Refused
from synchro.models import ADDITION, CHANGE, DELETION, ChangeLog, Conflict
from synchro.replay.apply.bulk import rows as bulk_rows
from synchro.replay.apply.bulk.entries import BulkPart
from tests.replay.bulk_parts import noted_parts
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import (
    LOCAL,
    REMOTE,
    create_on_remote,
    let_time_pass,
    other_side,
    remote,
    remote_count,
    save_unlogged,
    unlogged,
)
from tests.replay.faults.test_races import at_step, elsewhere
from tests.replay.writers import in_thread
from tests.shop.models import Customer, Measurement, Order, Seat, Warehouse

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "remote"])


class Ways(list[bool]):
    """For each batch, whether all of it went in bulk; and the models that did."""

    def __init__(self, parts: dict[str, BulkPart]) -> None:
        self.parts = parts

    def __eq__(self, other: object) -> bool:
        return self._all() == other

    def __getitem__(self, place: Any) -> Any:
        return self._all()[place]

    def __contains__(self, value: object) -> bool:
        return value in self._all()

    def __repr__(self) -> str:
        return repr(self._all())

    def _all(self) -> list[bool]:
        return [part.is_all for part in self.parts.values()]

    @property
    def models(self) -> list[set[type[Model]]]:
        return [{*part.named} for part in self.parts.values()]


@pytest.fixture
def ways() -> Iterator[Ways]:
    with noted_parts() as parts:
        yield Ways(parts)


def log(model: type[Model], key: object, action: int, fields: tuple[str, ...] | None = None) -> None:
    kind = ContentType.objects.get_for_model(model)
    ChangeLog.objects.create(content_type_id=kind.pk, object_id=key, action=action, fields=fields)


def test_rows_that_are_added_changed_and_deleted_arrive_as_a_whole(ways: list[bool]) -> None:
    kept, gone = (Warehouse.objects.create(name=name) for name in ("Ankh", "Morpork"))
    first = call_synchronize()
    kept.name = "Quirm"
    kept.save()
    gone.delete()
    Warehouse.objects.create(name="Lancre")

    second = call_synchronize()

    assert_same_rows()
    assert [(m.added, m.changed, m.deleted) for m in (*first.models, *second.models)] == [
        (2, 0, 0),
        (1, 1, 1),
    ]
    assert ways == [True, True]


def test_new_keys_on_remote_lie_beyond_those_that_arrived(ways: list[bool]) -> None:
    Warehouse.objects.create(pk=500, name="Ankh")

    call_synchronize()

    assert create_on_remote(Warehouse, name="REMOTE's own").pk > 500
    assert ways == [True]


def test_only_the_columns_that_entries_name_are_written(ways: list[bool]) -> None:
    seat = Seat.objects.create(number=1, guest="Vimes")
    call_synchronize()
    Seat.objects.using(REMOTE).update(guest="Carrot", row="R")
    Seat.objects.update(number=2, guest="Angua")
    log(Seat, seat.pk, CHANGE, ("number",))
    log(Seat, seat.pk, CHANGE, ("guest",))

    call_synchronize()

    there = remote(Seat)
    assert (there.number, there.guest, there.row) == (2, "Angua", "R")


@pytest.fixture
def same_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for model in (Customer, Measurement, Order, Seat):
        monkeypatch.setattr(model, "SYNCHRO_IDENTITY", "pk", raising=False)


def test_only_named_columns_are_written_of_a_whole_batch(same_keys: None, ways: list[bool]) -> None:
    seats = [Seat.objects.create(number=number, guest=f"guest {number}") for number in range(3)]
    call_synchronize()
    with unlogged(REMOTE):
        Seat.objects.using(REMOTE).update(row="R")
    for seat in seats:
        Seat.objects.filter(pk=seat.pk).update(number=seat.number + 10, guest=None)
    ChangeLog.objects.all().delete()
    log(Seat, seats[0].pk, CHANGE, ("number",))
    log(Seat, seats[1].pk, CHANGE, ("guest",))
    log(Seat, seats[2].pk, CHANGE, ("number",))
    log(Seat, seats[2].pk, CHANGE, ("guest",))

    call_synchronize()

    there = {seat.pk: (seat.number, seat.guest, seat.row) for seat in Seat.objects.using(REMOTE).all()}
    assert [there[seat.pk] for seat in seats] == [(10, "guest 0", "R"), (1, None, "R"), (12, None, "R")]
    assert ways == [True, True]


def test_row_that_remote_lacks_is_made_whole_though_its_entry_names_one_column(
    same_keys: None, ways: list[bool]
) -> None:
    seat = Seat.objects.create(number=1, guest="Vimes")
    ChangeLog.objects.all().delete()
    log(Seat, seat.pk, CHANGE, ("number",))

    call_synchronize()

    assert_same_rows(Seat)
    assert ways == [True]


def test_every_type_of_column_arrives_in_a_whole_batch(same_keys: None, ways: list[bool]) -> None:
    full = Measurement.objects.create(
        moment=datetime(2026, 11, 22, 10, 0, 0, 123456, tzinfo=UTC),
        day=date(2026, 11, 22),
        hour=time(10, 0, 0, 654321),
        lasted=timedelta(1, 7384, 5),
        amount=Decimal("12345.67890"),
        ratio=0.1,
        data={"a": [1, 1.0, None, "ż"]},
        raw=b"\x00\xff'\\",
        token=UUID("12345678-1234-5678-1234-567812345678"),
        yes=True,
        short="tab\tline\nback\\slash 😀",
        long="",
        address="::1",
        big=2**62,
    )
    Measurement.objects.create()

    call_synchronize()
    assert_same_rows(Measurement)
    Measurement.objects.filter(pk=full.pk).update(
        long="another", moment=datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    )
    log(Measurement, full.pk, CHANGE)
    call_synchronize()

    assert_same_rows(Measurement)
    assert ways == [True, True]


def test_row_that_was_born_and_is_gone_takes_no_row_of_remote_along(ways: list[bool]) -> None:
    own = create_on_remote(Warehouse, name="REMOTE's own")
    log(Warehouse, own.pk, ADDITION)
    log(Warehouse, own.pk, DELETION)

    call_synchronize()

    assert remote(Warehouse).name == "REMOTE's own"


def test_unique_values_that_are_swapped_in_a_whole_batch_arrive(same_keys: None, ways: list[bool]) -> None:
    one, two = (Seat.objects.create(number=number) for number in (1, 2))
    call_synchronize()
    Seat.objects.filter(pk=one.pk).update(number=3)
    two.number = 1
    two.save()
    one.number = 2
    one.save()

    call_synchronize()

    assert_same_rows(Seat)
    assert ways == [True, False]


def test_newer_change_of_remote_is_not_overwritten_by_a_whole_batch(ways: list[bool]) -> None:
    warehouse = Warehouse.objects.create(name="first")
    call_synchronize()
    with other_side():
        call_synchronize()
    warehouse.name = "older"
    warehouse.save()
    let_time_pass()
    with other_side():
        there = Warehouse.objects.get()
        there.name = "newer"
        there.save()

    call_synchronize()

    assert remote(Warehouse).name == "newer"
    assert Conflict.objects.count() == 1


def test_change_that_remote_makes_while_a_batch_is_on_its_way_is_not_overwritten(ways: list[bool]) -> None:
    warehouse = Warehouse.objects.create(name="first")
    call_synchronize()
    let_time_pass(2000)
    warehouse.name = "older"
    warehouse.save()
    let_time_pass()

    with at_step("read", lambda: elsewhere(_change_on_remote, warehouse.pk)):
        call_synchronize()

    assert remote(Warehouse).name == "newer"
    assert ways[-1] is False


def _change_on_remote(key: int) -> None:
    Warehouse.objects.using(REMOTE).filter(pk=key).update(name="newer")
    kind = ContentType.objects.db_manager(REMOTE).get_for_model(Warehouse)
    ChangeLog.objects.using(REMOTE).create(content_type_id=kind.pk, object_id=key, action=CHANGE)


def test_entry_with_a_key_that_cannot_be_read_is_refused(ways: list[bool]) -> None:
    log(Warehouse, "not a number", CHANGE)

    with pytest.raises(Refused, match="cannot be read"):
        call_synchronize()


def test_row_that_nothing_points_at_is_deleted_as_a_whole(same_keys: None, ways: list[bool]) -> None:
    customer = Customer.objects.create(name="Vimes")
    call_synchronize()
    customer.delete()

    call_synchronize()

    assert remote_count(Customer) == 0
    assert ways == [True, True]


def test_row_that_others_depend_on_is_deleted_in_the_usual_way(same_keys: None, ways: list[bool]) -> None:
    customer = Customer.objects.create(name="Vimes")
    call_synchronize()
    create_on_remote(Order, customer_id=customer.pk)
    customer.delete()

    call_synchronize()

    assert remote_count(Customer) == remote_count(Order) == 0
    assert ways == [True, False]


def test_rows_with_foreign_keys_arrive_as_a_whole(same_keys: None, ways: list[bool]) -> None:
    """The other way round than they are written."""
    vimes, carrot = (Customer.objects.create(name=name) for name in ("Vimes", "Carrot"))
    orders = [Order.objects.create(customer=customer) for customer in (vimes, vimes, carrot)]
    call_synchronize()
    assert_same_rows()
    orders[0].customer = carrot
    orders[0].save()
    orders[1].delete()

    call_synchronize()

    assert_same_rows()
    assert ways == [True, True]


def test_what_a_row_points_at_and_remote_lacks_comes_along(same_keys: None, ways: list[bool]) -> None:
    customer = Customer(name="Vimes")
    save_unlogged(customer)
    Order.objects.create(customer=customer)

    call_synchronize()

    assert_same_rows()
    assert remote_count(Customer) == 1
    assert ways == [False]


def test_wide_rows_are_read_in_parts(
    same_keys: None, ways: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_rows, "FIRST_PART", 2)
    monkeypatch.setattr(bulk_rows, "PART_BYTES", 3_000)
    for number in range(8):
        Measurement.objects.create(long=str(number) * 1_000)
    read = []
    rows_of = bulk_rows.BulkRows.rows

    def watched(model: bulk_rows.BulkRows, keys: list[int], fields: list[Any]) -> object:
        read.append(len(keys))
        return rows_of(model, keys, fields)

    monkeypatch.setattr(bulk_rows.BulkRows, "rows", watched)

    call_synchronize()

    assert_same_rows(Measurement)
    assert ways == [True]
    assert read == [2, 2, 2, 2]


def test_keys_that_a_server_cuts_off_are_read_one_by_one(
    ways: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cuts in the midst of a key, and what is left of that is another row's."""
    monkeypatch.setattr(mysql, "LONGEST_TEXT", len("1001,1002,100"))
    other = create_on_remote(Warehouse, pk=100, name="REMOTE's own")
    for key in (1001, 1002, 1003):
        Warehouse.objects.create(pk=key, name=f"{key}")

    call_synchronize()

    assert remote(Warehouse, pk=100).name == other.name
    assert Warehouse.objects.using(REMOTE).count() == 4
    assert ways == [connections[LOCAL].vendor != "mysql"]


def test_row_that_is_equal_until_somebody_commits_is_judged_by_what_he_did() -> None:
    """He changed it before LOCAL wrote it as it is on both sides, and LOCAL, which was later, wins on both."""
    connection = connections[REMOTE]
    if connection.vendor == "sqlite":
        pytest.skip("has one writer")
    warehouse = Warehouse.objects.create(name="first")
    call_synchronize()
    with other_side():
        call_synchronize()
    has_written, may_commit = Event(), Event()
    with ThreadPoolExecutor(1) as pool:
        writer = in_thread(pool, _change_and_wait, warehouse.pk, has_written, may_commit)
        assert has_written.wait(20)
        log(Warehouse, warehouse.pk, CHANGE)
        with at_step("identified", may_commit.set), watched(may_commit):
            call_synchronize()
        may_commit.set()
        writer.result(20)
    with other_side():
        call_synchronize()

    assert remote(Warehouse).name == Warehouse.objects.get().name == "first"


def _change_and_wait(key: int, has_written: Event, may_commit: Event) -> None:
    with transaction.atomic(using=REMOTE):
        _change_on_remote(key)
        has_written.set()
        may_commit.wait(20)


@contextmanager
def watched(may_commit: Event) -> Iterator[None]:
    """Inside, whoever keeps others of REMOTE waiting may commit."""
    done = Event()

    def watch() -> None:
        while not done.wait(0.05) and not may_commit.is_set():
            if _somebody_waits():
                may_commit.set()

    with ThreadPoolExecutor(1) as pool:
        watching = in_thread(pool, watch)
        try:
            yield
        finally:
            done.set()
            watching.result(20)


def _somebody_waits() -> bool:
    connection = connections[REMOTE]
    of_a_server = {
        "postgresql": "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
        "mysql": "SELECT 1 FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'",
    }
    with connection.cursor() as cursor:
        cursor.execute(of_a_server[connection.vendor])
        return cursor.fetchone() is not None
