"""While code of others works on REMOTE's objects, it can write to no other database."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connections, transaction
from django.db.models.functions import Now

from synchro.exceptions import AfterCommit, WrongDatabase
from synchro.replay.guests.guard import Guest, guarded, guest_of, running
from synchro.replay.guests.sql import is_read
from tests.replay.deployments import LOCAL, REMOTE
from tests.shop.models import Customer, Place

pytestmark = pytest.mark.django_db(databases=["default", "remote"])

GUEST = Guest("shop.views.greet", Customer, 7)


@pytest.mark.once
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        '  (select "a" from "delete" where x = %s)',
        'SELECT "into" FROM t FOR UPDATE',
        "SELECT a FROM t FOR NO KEY UPDATE",
        "SELECT 'x; DELETE FROM t; it''s' FROM t -- DELETE",
        "/* INSERT */ SELECT 1;",
        "WITH x AS (SELECT 1) SELECT * FROM x",
        "EXPLAIN SELECT 1",
        "SELECT REPLACE(a, 'b', 'c'), INSERT(a, 1, 2, 'x') FROM t",
        "SAVEPOINT s1",
        "RELEASE SAVEPOINT s1",
        "ROLLBACK TO SAVEPOINT s1",
        "BEGIN",
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "PRAGMA table_info(t)",
        "SHOW TABLES",
        b"SELECT 1",
    ],
)
def test_statement_that_only_reads_is_known_as_such(sql: Any) -> None:
    assert is_read(sql)


@pytest.mark.once
@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO t VALUES (1)",
        "  -- SELECT\n update t set a = 1",
        "DELETE FROM t",
        "REPLACE INTO t VALUES (1)",
        "SELECT 1; DELETE FROM t",
        "SELECT a INTO b FROM t",
        "WITH x AS (DELETE FROM t RETURNING a) SELECT * FROM x",
        "WITH x AS (SELECT 1) UPDATE t SET a = 1",
        "EXPLAIN ANALYZE DELETE FROM t",
        "TRUNCATE t",
        "CALL work()",
        "DROP TABLE t",
        "COPY t FROM STDIN",
        "PRAGMA user_version = 3",
        "SET STATEMENT max_statement_time = 1 FOR DELETE FROM t",
        "/*!40000 DELETE FROM t */",
        "what is this",
        b"DELETE FROM t",
    ],
)
def test_statement_that_may_write_is_known_as_such(sql: Any) -> None:
    assert not is_read(sql)


def create() -> None:
    Customer.objects.create(name="Vimes")


def create_in_an_atomic_block() -> None:
    with transaction.atomic():
        create()


def delete() -> None:
    Place.objects.all().delete()


def update() -> None:
    Place.objects.update(name="gone")


def by_cursor() -> None:
    with connections[LOCAL].cursor() as cursor:
        cursor.execute(f"DELETE FROM {Place._meta.db_table}")


def by_several() -> None:
    with connections[LOCAL].cursor() as cursor:
        cursor.executemany(f"DELETE FROM {Place._meta.db_table} WHERE name = %s", [("here",), ("there",)])


def bulk_create() -> None:
    Place.objects.bulk_create([Place(name="new")])


def by_an_async_method() -> None:
    async def work() -> None:
        await Place.objects.acreate(name="new")

    async_to_sync(work)()


@pytest.mark.parametrize(
    "write",
    [
        create,
        create_in_an_atomic_block,
        delete,
        update,
        by_cursor,
        by_several,
        bulk_create,
        by_an_async_method,
    ],
)
def test_write_to_local_is_refused_by_name_and_leaves_local_as_it_is(write: Callable[[], None]) -> None:
    Place.objects.create(name="here")

    words = r"shop\.Customer 7: shop\.views\.greet .*“default”.*SYNCHRO_RECEIVERS"
    with pytest.raises(WrongDatabase, match=words), guarded(REMOTE, GUEST):
        write()

    assert [place.name for place in Place.objects.all()] == ["here"]
    assert not Customer.objects.exists()


def test_what_was_caught_inside_is_raised_at_the_end() -> None:
    with pytest.raises(WrongDatabase) as caught, guarded(REMOTE, GUEST), suppress(Exception):
        create()

    assert [(culprit.model, culprit.key) for culprit in caught.value.culprits] == [(Customer, 7)]
    assert not Customer.objects.exists()


def fail_for_another_reason() -> None:
    try:
        create()
    except WrongDatabase:
        raise KeyError("what now") from None


def test_another_error_that_came_of_the_refusal_does_not_hide_it() -> None:
    with pytest.raises(WrongDatabase) as caught, guarded(REMOTE, GUEST):
        fail_for_another_reason()

    assert isinstance(caught.value.__cause__, KeyError)


def test_remote_is_written_and_local_is_read() -> None:
    Place.objects.create(name="here")

    with guarded(REMOTE, GUEST):
        Place.objects.using(REMOTE).create(name=Place.objects.get().name)

    assert Place.objects.using(REMOTE).get().name == "here"


def test_local_is_written_again_after_it() -> None:
    with suppress(WrongDatabase), guarded(REMOTE, GUEST):
        create()

    create()

    assert Customer.objects.count() == 1


def test_watched_tables_of_local_are_not_read_where_that_is_refused() -> None:
    strictly = guarded(REMOTE, GUEST, refuses_reads=True)
    words = r"shop\.Customer 7: shop\.views\.greet looked .*“default”"
    with pytest.raises(WrongDatabase, match=words), strictly, suppress(WrongDatabase):
        Customer.objects.filter(name="Vimes").first()

    with guarded(REMOTE, GUEST, refuses_reads=True):
        assert Customer.objects.using(REMOTE).first() is None


def test_error_is_known_by_the_code_that_it_came_of_and_by_what_that_had_read() -> None:
    def read_and_fail() -> None:
        Customer.objects.first()
        raise KeyError

    receiver = running("shop.signals.greet", Customer(pk=3))
    with pytest.raises(KeyError) as caught, guarded(REMOTE, GUEST), receiver:
        read_and_fail()

    guest = guest_of(caught.value)
    assert guest is not None
    assert (guest.code, guest.model, guest.key) == ("shop.signals.greet", Customer, 7)
    assert guest.reads == ((Customer._meta.db_table, LOCAL),)


def test_receiver_that_runs_is_the_one_that_is_named() -> None:
    receiver = running("shop.signals.greet", Place(pk=3))
    words = r"shop\.Customer 7: shop\.signals\.greet "
    with pytest.raises(WrongDatabase, match=words), guarded(REMOTE, GUEST), receiver:
        create()


def test_object_of_the_receiver_is_named_where_several_are_worked_on() -> None:
    several, receiver = guarded(REMOTE, Guest(None, Customer)), running("shop.signals.greet", Place(pk=3))
    words = r"shop\.Place 3: shop\.signals\.greet "
    with pytest.raises(WrongDatabase, match=words) as caught, several, receiver:
        create()

    assert caught.value.culprits == ()


@pytest.mark.parametrize("key", [None, Now(), "no number", (1, None)])
def test_receiver_of_an_object_without_a_key_is_named_all_the_same(key: Any) -> None:
    receiver, words = running("shop.signals.greet", Place(pk=key)), r"shop\.Customer 7: shop\.signals\.greet "
    with pytest.raises(WrongDatabase, match=words), guarded(REMOTE, GUEST), receiver:
        create()


@pytest.mark.django_db(databases=["default", "remote"], transaction=True)
def test_other_threads_write_as_ever() -> None:
    def work() -> None:
        create()
        connections.close_all()

    with guarded(REMOTE, GUEST):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    assert Customer.objects.count() == 1


@pytest.mark.django_db(databases=["default", "remote"], transaction=True)
@pytest.mark.parametrize("alias", [LOCAL, REMOTE])
def test_what_waits_for_the_commit_is_guarded_too(alias: str) -> None:
    words = r"create.*“default”"
    with pytest.raises(AfterCommit, match=words), transaction.atomic(using=alias), guarded(REMOTE, GUEST):
        transaction.on_commit(create, using=alias)

    assert not Customer.objects.exists()
