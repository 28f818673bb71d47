"""People write while changes are replayed, and their transactions end in any order or not at all."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import OperationalError, connection, connections, transaction

from synchro.core import Report, call_synchronize
from synchro.exceptions import NotReady
from synchro.models import ChangeLog, Node
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import remote, remote_count
from tests.replay.writers import in_thread, write_a_lot
from tests.shop.models import Customer
from tests.unwatched.models import Region

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "remote"])

WRITERS = 6


def holes() -> int:
    return len(json.loads(Node.objects.get().holes))


def waiting_for() -> list[object]:
    """The transactions that may yet fill the holes; None where nobody can tell."""
    return [writers for *_, writers in json.loads(Node.objects.get().holes)]


def runs_until(condition: Callable[[], bool], seconds: float = 30) -> list[Report]:
    """Run again and again, for as long as that may take at most."""
    reports, deadline = [call_synchronize()], time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        reports.append(call_synchronize())
    return reports


def one_writer_only() -> bool:
    return connection.vendor == "sqlite"


def test_transaction_that_stays_open_over_two_runs_arrives_when_it_commits() -> None:
    if one_writer_only():
        pytest.skip("SQLite has one writer at a time, so its ids are committed in order")
    inserted, may_commit = threading.Event(), threading.Event()

    def write_for_long() -> None:
        with transaction.atomic():
            Customer.objects.create(name="late")
            inserted.set()
            assert may_commit.wait(60)

    with ThreadPoolExecutor(1) as pool:
        writer = in_thread(pool, write_for_long)
        assert inserted.wait(60)
        try:
            Customer.objects.create(name="second")
            call_synchronize()
            Customer.objects.create(name="third")
            call_synchronize()
            before = {one.name for one in Customer.objects.using("remote")}
        finally:
            may_commit.set()
        writer.result()
    report = call_synchronize()

    assert before == {"second", "third"}
    assert report.entries == 1
    assert remote(Customer, name="late")
    assert_same_rows()


def test_hole_of_a_transaction_that_was_rolled_back_is_forgotten() -> None:
    if one_writer_only():
        pytest.skip("SQLite gives the ids of a transaction that was rolled back to the next one")
    for number in range(5):
        with transaction.atomic():
            Customer.objects.create(name="never")
            transaction.set_rollback(True)
        Customer.objects.create(name=f"Customer {number}")

    runs_until(lambda: holes() == 0)

    assert remote_count(Customer) == 5


def forbid_to_look(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    """What an account without PROCESS, or without SELECT on performance_schema, is told."""
    if re.search("innodb_trx|metadata_locks", sql):
        raise OperationalError(1227, "Access denied; you need (at least one of) the PROCESS privilege(s)")
    return execute(sql, params, many, context)


def test_account_that_may_not_see_transactions_is_told_that_holes_stay() -> None:
    if connections["default"].vendor != "mysql":
        pytest.skip("elsewhere every account may look")
    with transaction.atomic():
        Customer.objects.create(name="never")
        transaction.set_rollback(True)
    Customer.objects.create(name="Vimes")

    with connections["default"].execute_wrapper(forbid_to_look):
        report = runs_until(lambda: waiting_for() == [None])[-1]
    assert ["PROCESS" in warning for warning in report.warnings] == [True]
    assert holes() == 1

    runs_until(lambda: holes() == 0)
    assert not call_synchronize().warnings


def test_hole_of_an_open_transaction_is_kept_while_others_come_and_go() -> None:
    if one_writer_only():
        pytest.skip("SQLite has one writer at a time")
    inserted, may_commit = threading.Event(), threading.Event()

    def write_for_long() -> None:
        with transaction.atomic():
            Customer.objects.create(name="late")
            inserted.set()
            assert may_commit.wait(60)

    with ThreadPoolExecutor(1) as pool:
        writer = in_thread(pool, write_for_long)
        assert inserted.wait(60)
        try:
            for number in range(20):
                with transaction.atomic():
                    Customer.objects.create(name=f"Customer {number}")
                    transaction.set_rollback(number % 2 == 0)
                call_synchronize()
        finally:
            may_commit.set()
        writer.result()
    runs_until(lambda: holes() == 0)

    assert remote_count(Customer) == 11
    assert_same_rows()


def write_on_remote(until: threading.Event) -> None:
    number = 0
    while not until.is_set():
        with transaction.atomic(using="remote"):
            Region.objects.using("remote").create(name=f"{number}")
        number += 1
        until.wait(0.005)


def test_nothing_is_lost_under_six_writers_and_nobody_is_turned_away() -> None:
    times = 20 if one_writer_only() else 60
    done = threading.Event()
    with ThreadPoolExecutor(WRITERS + 1) as pool:
        writers = [in_thread(pool, write_a_lot, seed, times) for seed in range(WRITERS)]
        on_remote = in_thread(pool, write_on_remote, done)
        try:
            reports = runs_until(lambda: all(writer.done() for writer in writers), seconds=120)
        finally:
            done.set()
        for thread in (*writers, on_remote):
            thread.result()
    runs_until(lambda: holes() == 0)

    if not one_writer_only():  # SQLite gives the lock to anyone, so a run may have to wait for all writers
        assert sum(report.batches for report in reports) > 1
    assert call_synchronize().entries == 0
    assert_same_rows()


@contextmanager
def left_open(write: Callable[[], object]) -> Iterator[Callable[[], None]]:
    """A transaction of another connection that has written and stays open; the value ends it by a commit."""
    inserted, may_commit = threading.Event(), threading.Event()

    def stay_open() -> None:
        with transaction.atomic():
            write()
            inserted.set()
            assert may_commit.wait(60)

    with ThreadPoolExecutor(1) as pool:
        writer = in_thread(pool, stay_open)

        def commit() -> None:
            may_commit.set()
            writer.result()

        assert inserted.wait(60)
        try:
            yield commit
        finally:
            commit()


def watch_transactions(watching: threading.Event, until: threading.Event) -> None:
    """What monitoring does; MariaDB answers from a copy for as long as it is asked again and again."""
    with connection.cursor() as cursor:
        while not until.wait(0.02):
            cursor.execute("SELECT count(*) FROM information_schema.innodb_trx")
            watching.set()


def test_late_transaction_arrives_though_somebody_watches_the_transactions_of_the_server() -> None:
    if connection.vendor != "mysql":
        pytest.skip("only InnoDB keeps a copy of its list of transactions")
    call_synchronize()
    watching, done = threading.Event(), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        watcher = in_thread(pool, watch_transactions, watching, done)
        try:
            assert watching.wait(60)
            with left_open(lambda: Customer.objects.create(name="late")) as commit:
                Customer.objects.create(name="second")
                call_synchronize()
                commit()
            call_synchronize()
        finally:
            done.set()
        watcher.result()
    runs_until(lambda: holes() == 0)

    assert {one.name for one in Customer.objects.using("remote")} == {"late", "second"}


def wait_until_gone(session: int) -> None:
    """Until the server has noticed that a client of MySQL or MariaDB has gone."""
    deadline = time.monotonic() + 30
    with connection.cursor() as cursor:
        while time.monotonic() < deadline:
            cursor.execute("SELECT 1 FROM information_schema.processlist WHERE id = %s", [session])
            if cursor.fetchone() is None:
                return
    raise AssertionError("the session never ended")


def test_transaction_that_is_prepared_between_two_runs_arrives_when_it_commits() -> None:
    if one_writer_only():
        pytest.skip("SQLite has no commit in two phases")
    call_synchronize()
    begin, prepare, commit = (
        ("BEGIN", "PREPARE TRANSACTION 'late'", "COMMIT PREPARED 'late'")
        if connection.vendor == "postgresql"
        else ("XA START 'late'", "XA END 'late'; XA PREPARE 'late'", "XA COMMIT 'late'")
    )
    with closing(connection.copy()) as other:
        with other.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("SHOW max_prepared_transactions")
                if cursor.fetchone()[0] == "0":
                    pytest.skip("this server allows no prepared transactions")
            cursor.execute(begin)
            late = Customer(pk=1_000_000, name="late")
            columns = ", ".join(other.ops.quote_name(f.column) for f in Customer._meta.local_fields)
            values = [
                f.get_db_prep_save(f.pre_save(late, add=True), other) for f in Customer._meta.local_fields
            ]
            places = ", ".join(["%s"] * len(values))
            cursor.execute(f"INSERT INTO shop_customer ({columns}) VALUES ({places})", values)
            cursor.execute(
                "INSERT INTO synchro_changelog (content_type_id, object_id, date, action) "
                "VALUES (%s, '1000000', %s, 1)",
                [ContentType.objects.get_for_model(Customer).pk, "2020-01-01 00:00:00"],
            )
        Customer.objects.create(name="second")
        call_synchronize()
        with other.cursor() as cursor:
            for statement in prepare.split("; "):
                cursor.execute(statement)
        if connection.vendor == "mysql":
            session = other.connection.thread_id()
            other.close()
            wait_until_gone(session)
        call_synchronize()
        with other.cursor() as cursor:
            cursor.execute(commit)
    call_synchronize()

    assert {one.name for one in Customer.objects.using("remote")} == {"late", "second"}


def only(vendor: str) -> None:
    if connection.vendor != vendor:
        pytest.skip(f"it is about {vendor}")


def sequence() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_get_serial_sequence('synchro_changelog', 'id')")
        return str(cursor.fetchone()[0])


def test_log_whose_ids_are_reserved_in_advance_is_refused() -> None:
    """A session would use an id below the ones seen in a transaction that begins later."""
    only("postgresql")
    Customer.objects.create(name="Vimes")
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER SEQUENCE {sequence()} CACHE 32")
    try:
        with pytest.raises(NotReady, match="CACHE 1"):
            call_synchronize()
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER SEQUENCE {sequence()} CACHE 1")

    assert remote_count(Customer) == 0
    call_synchronize()
    assert_same_rows()


def test_entries_whose_ids_begin_again_below_the_newest_are_replayed() -> None:
    """Old entries are pruned, the newest stays, and somebody sets the sequence back."""
    only("postgresql")
    for number in range(5):
        Customer.objects.create(name=f"Customer {number}")
    call_synchronize()
    newest = ChangeLog.objects.order_by("-id").first()
    assert newest is not None
    ChangeLog.objects.exclude(pk=newest.pk)._raw_delete("default")
    with connection.cursor() as cursor:
        cursor.execute("SELECT setval(%s, 1, false)", [sequence()])
    Customer.objects.create(name="late")
    assert ChangeLog.objects.order_by("id").first().pk < newest.pk  # type: ignore[union-attr]

    call_synchronize()
    assert remote(Customer, name="late")
    Customer.objects.create(name="later")
    assert call_synchronize().entries == 1

    assert_same_rows()
