"""Rows that point at each other in a circle, at themselves, or at a value that is changed together with them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import pairwise
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.models import Model
from django.db.models.signals import post_delete, post_save

from synchro.core import call_synchronize
from synchro.exceptions import Refused
from tests.knots.models import Call, Flag, Key, Lock, Mast, Player, Port, Ring, Rope, Sail, Ship, Team
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import (
    BY_TRIGGERS,
    LOCAL,
    REMOTE,
    create_on_remote,
    remote,
    remote_count,
    watching,
)

pytestmark = pytest.mark.django_db(databases=["default", "remote"])


@pytest.fixture(scope="module", autouse=True)
def watched(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    with watching(django_db_blocker, "knots"):
        yield


@pytest.fixture(autouse=True, params=["reference", "pk"])
def identity(request: Any, settings: Any) -> str:
    settings.SYNCHRO_IDENTITY = request.param
    return str(request.param)


@pytest.fixture(params=["nobody listens", "somebody listens"], autouse=True)
def listener(request: Any) -> Iterator[None]:
    """Objects are saved one by one where somebody listens."""

    def hear(**kwargs: Any) -> None:
        pass

    if request.param == "somebody listens":
        post_save.connect(hear)
    yield
    post_save.disconnect(hear)


@pytest.fixture
def one_by_one(settings: Any) -> None:
    settings.SYNCHRO_BATCH_SIZE = 1


def unchecked(alias: str) -> Any:
    """Inside, a server that looks at foreign keys at once does not."""
    connection = connections[alias]
    return connection.constraint_checks_disabled() if connection.vendor == "mysql" else nullcontext()


# -- circles ------------------------------------------------------------------------------------------------


def test_circle_of_two_models_arrives() -> None:
    with transaction.atomic():
        team = Team.objects.create(name="t")
        player = Player.objects.create(name="p", team=team)
        team.captain = player
        team.save()

    call_synchronize()

    assert remote(Team).captain_id == remote(Player).pk == player.pk
    assert_same_rows(Team, Player)


def test_circle_of_rows_that_are_there_and_new_ones_arrives() -> None:
    old = Team.objects.create(name="old")
    call_synchronize()

    old.captain = Player.objects.create(name="p", team=Team.objects.create(name="new"))
    old.save()
    Team.objects.filter(name="new").get().save()
    call_synchronize()

    assert_same_rows(Team, Player)


def test_row_that_points_at_itself_arrives() -> None:
    with unchecked(LOCAL):
        key = uuid.uuid4()
        Ring.objects.create(id=key, name="alone", next_id=key)
    rope = Rope.objects.create(name="alone")
    rope.next = rope
    rope.save()

    call_synchronize()

    assert_same_rows(Ring, Rope)


@pytest.mark.parametrize("size", [2, 5])
def test_ring_of_rows_that_must_point_at_the_next_arrives(size: int, settings: Any) -> None:
    settings.SYNCHRO_BATCH_SIZE = 1000 if size == 2 else 1
    keys = [uuid.uuid4() for _ in range(size)]
    with unchecked(LOCAL), transaction.atomic():
        for place, key in enumerate(keys):
            Ring.objects.create(id=key, name=f"{place}", next_id=keys[(place + 1) % size])
    call_synchronize()
    assert_same_rows(Ring)

    with unchecked(LOCAL), transaction.atomic():
        for ring in Ring.objects.all():
            ring.delete()
    call_synchronize()
    assert remote_count(Ring) == 0


def test_chain_whose_last_row_was_the_first_arrives() -> None:
    keys = [uuid.uuid4() for _ in range(4)]
    with unchecked(LOCAL), transaction.atomic():
        for key, following in pairwise([*keys, keys[-1]]):
            Ring.objects.create(id=key, name="r", next_id=following)

    call_synchronize()

    assert_same_rows(Ring)


def test_rows_that_cannot_be_without_each_other_come_and_go() -> None:
    lock, key = uuid.uuid4(), uuid.uuid4()
    with unchecked(LOCAL), transaction.atomic():
        Lock.objects.create(id=lock, key_id=key)
        Key.objects.create(id=key, lock_id=lock)
    call_synchronize()
    assert_same_rows(Lock, Key)

    with unchecked(LOCAL), transaction.atomic():
        Lock.objects.filter(pk=lock)._raw_delete(LOCAL)
        Key.objects.filter(pk=key)._raw_delete(LOCAL)
        log_deletions(Lock(pk=lock), Key(pk=key))
    call_synchronize()
    assert [remote_count(model) for model in (Lock, Key)] == [0, 0]


def log_deletions(*rows: Model) -> None:
    if not BY_TRIGGERS:
        for row in rows:
            post_delete.send(sender=type(row), instance=row, using=LOCAL, origin=row)


def test_chain_whose_first_row_points_at_the_last_arrives() -> None:
    ropes = [Rope.objects.create(name=f"{number}") for number in range(6)]
    for rope, following in zip(ropes, [*ropes[1:], ropes[0]], strict=True):
        rope.next = following
        rope.save()

    call_synchronize()

    assert_same_rows(Rope)


def test_reference_that_leads_nowhere_on_local_is_refused_in_a_circle_too() -> None:
    """Where foreign keys are not checked while rows are written, they are looked at before the commit."""
    if connections[LOCAL].vendor != "mysql":
        pytest.skip("LOCAL would not have such a row")
    lock, key, nowhere = (uuid.uuid4() for _ in range(3))
    with unchecked(LOCAL), transaction.atomic():
        Lock.objects.create(id=lock, key_id=key)
        Key.objects.create(id=key, lock_id=lock)
        Lock.objects.create(id=uuid.uuid4(), key_id=nowhere)

    with pytest.raises(Refused, match=r"knots\.Lock"):
        call_synchronize()

    assert [remote_count(model) for model in (Lock, Key)] == [0, 0]


@pytest.fixture
def at_once(transactional_db: None) -> Iterator[None]:
    """REMOTE looks at these foreign keys with each statement, since somebody made them so."""
    connection = connections[REMOTE]
    if connection.vendor != "postgresql":
        pytest.skip("MySQL and MariaDB always do, and SQLite cannot alter a foreign key")
    change(connection, "NOT DEFERRABLE")
    yield
    change(connection, "DEFERRABLE INITIALLY DEFERRED")


def change(connection: Any, how: str) -> None:
    with connection.cursor() as cursor:
        for model in (Team, Player, Rope, Lock, Key):
            table = model._meta.db_table
            found = connection.introspection.get_constraints(cursor, table)
            for name in [name for name, each in found.items() if each["foreign_key"]]:
                quoted = connection.ops.quote_name(name)
                cursor.execute(f"ALTER TABLE {table} ALTER CONSTRAINT {quoted} {how}")


@pytest.mark.django_db(transaction=True, databases=["default", "remote"])
def test_circles_arrive_and_go_where_remote_looks_at_foreign_keys_at_once(at_once: None) -> None:
    test_circle_of_two_models_arrives()
    test_chain_whose_first_row_points_at_the_last_arrives()

    with unchecked(LOCAL), transaction.atomic():
        for row in (*Team.objects.all(), *Player.objects.all(), *Rope.objects.all()):
            type(row)._base_manager.filter(pk=row.pk)._raw_delete(LOCAL)
            log_deletions(row)
    call_synchronize()

    assert [remote_count(model) for model in (Team, Player, Rope)] == [0, 0, 0]


@pytest.mark.django_db(transaction=True, databases=["default", "remote"])
def test_circle_that_remote_cannot_have_is_named(at_once: None) -> None:
    lock, key = uuid.uuid4(), uuid.uuid4()
    with unchecked(LOCAL), transaction.atomic():
        Lock.objects.create(id=lock, key_id=key)
        Key.objects.create(id=key, lock_id=lock)

    with pytest.raises(Refused, match=r"knots\.(Lock|Key)"):
        call_synchronize()

    assert [remote_count(model) for model in (Lock, Key)] == [0, 0]


# -- values that others point at ----------------------------------------------------------------------------


def rename(port: Port, code: str, *, first: str) -> None:
    """Give the port another code together with what points at it, as a program or `ON UPDATE CASCADE` does."""
    with unchecked(LOCAL), transaction.atomic():
        steps = [lambda: port.save(), lambda: [move(call, code) for call in calls]]
        calls = list(Call.objects.filter(port_id=port.code).order_by("pk"))
        port.code = code
        for step in steps if first == "port" else reversed(steps):
            step()


def move(call: Call, code: str) -> None:
    call.port_id = code
    call.save()


@pytest.mark.parametrize("first", ["port", "calls"])
def test_value_and_rows_that_point_at_it_change_together(first: str, one_by_one: None) -> None:
    port = Port.objects.create(code="NAN", name="Nantucket")
    for _ in range(3):
        Call.objects.create(port=port)
    call_synchronize()

    rename(port, "ACK", first=first)
    call_synchronize()

    assert_same_rows(Port, Call)
    assert {call.port_id for call in Call.objects.using(REMOTE).all()} == {"ACK"}


def test_values_that_others_point_at_are_handed_on(one_by_one: None) -> None:
    ports = [Port.objects.create(code=code, name=code) for code in "ABC"]
    for port in ports:
        Call.objects.create(port=port)
    call_synchronize()

    rename(ports[2], "D", first="calls")
    rename(ports[1], "C", first="port")
    rename(ports[0], "B", first="calls")
    call_synchronize()

    assert_same_rows(Port, Call)


def test_value_that_a_row_of_remotes_own_points_at_stays(one_by_one: None) -> None:
    port = Port.objects.create(code="NAN")
    Call.objects.create(port=port)
    call_synchronize()
    own = create_on_remote(Call, port=remote(Port))

    rename(port, "ACK", first="port")
    with pytest.raises(Refused, match=rf"knots\.Call {own.pk} .*port"):
        call_synchronize()

    assert remote(Port).code == "NAN"


def test_key_that_people_change_takes_along_what_points_at_it(one_by_one: None) -> None:
    flag = Flag.objects.create(code="A")
    for height in range(3):
        Sail.objects.create(mast=Mast.objects.create(flag=flag, height=height), area=height)
    ship = Ship.objects.create(name="Pequod")
    call_synchronize()

    with transaction.atomic():
        flag.save()
        other = Flag.objects.create(code="B")
        for mast in Mast.objects.all():
            mast.flag = other
            mast.save()
        ship.save()
        flag.delete()
    call_synchronize()

    assert remote_count(Sail) == 3
    assert_same_rows(Flag, Mast, Sail)
