"""Deletions that cannot go before others whose entries are in a later batch, and rows that must not go with them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.models.signals import post_delete

from synchro.core import call_synchronize
from synchro.exceptions import Refused
from synchro.models import Conflict
from synchro.replay.signals import step as step_signal
from tests.knots.models import (
    Anchor,
    Bunk,
    Cabin,
    Call,
    Deck,
    Duty,
    Flag,
    Hold,
    Label,
    Mast,
    Port,
    Sail,
    Sailor,
    Ship,
)
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import (
    BY_TRIGGERS,
    LOCAL,
    REMOTE,
    create_on_remote,
    let_time_pass,
    other_side,
    remote_count,
    unlogged,
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
    settings.SYNCHRO_BATCH_SIZE = 1
    return str(request.param)


@pytest.fixture(params=["nobody listens", "somebody listens"])
def listener(request: Any) -> Iterator[None]:
    """Objects are deleted one by one where somebody listens."""

    def hear(**kwargs: Any) -> None:
        pass

    if request.param == "somebody listens":
        post_delete.connect(hear)
    yield
    post_delete.disconnect(hear)


def unchecked(alias: str) -> Any:
    """Inside, a server that looks at foreign keys at once does not."""
    connection = connections[alias]
    return connection.constraint_checks_disabled() if connection.vendor == "mysql" else nullcontext()


def delete_unordered(*rows: Any) -> None:
    """Delete rows in this order, whatever points at them, with an entry for each."""
    with unchecked(LOCAL), transaction.atomic():
        for row in rows:
            connection = connections[LOCAL]
            with connection.cursor() as cursor:
                table = connection.ops.quote_name(type(row)._meta.db_table)
                cursor.execute(f"DELETE FROM {table} WHERE id = %s", [row.pk])
            if not BY_TRIGGERS:
                post_delete.send(sender=type(row), instance=row, using=LOCAL, origin=row)


def test_row_that_others_protect_goes_though_their_deletions_come_later(listener: None) -> None:
    sailor, ship = Sailor.objects.create(name="Ishmael"), Ship.objects.create(name="Pequod")
    duty = Duty.objects.create(ship=ship, sailor=sailor)
    call_synchronize()

    delete_unordered(ship, sailor, duty)
    call_synchronize()

    assert [remote_count(model) for model in (Ship, Sailor, Duty)] == [0, 0, 0]


def test_rows_that_protect_what_is_deleted_along_go_too(listener: None) -> None:
    """The bunk protects a cabin that goes with its ship."""
    ship = Ship.objects.create(name="Pequod")
    deck = Deck.objects.create(ship=ship)
    cabin = Cabin.objects.create(ship=ship, deck=deck)
    bunk = Bunk.objects.create(cabin=cabin)
    call_synchronize()

    delete_unordered(ship, deck, cabin, bunk)
    call_synchronize()

    assert [remote_count(model) for model in (Ship, Deck, Cabin, Bunk)] == [0, 0, 0, 0]


def test_tree_of_restricted_rows_goes_by_one_deletion(listener: None) -> None:
    root = Sailor.objects.create(name="root")
    for number in range(3):
        one = Sailor.objects.create(name=f"{number}", mentor=root)
        Sailor.objects.create(name=f"below {number}", mentor=one)
    for ship in [Ship.objects.create(name=f"{number}") for number in range(2)]:
        Cabin.objects.create(ship=ship, deck=Deck.objects.create(ship=ship))
    call_synchronize()

    Ship.objects.all().delete()
    delete_unordered(*Sailor.objects.order_by("pk"))
    call_synchronize()

    assert [remote_count(model) for model in (Ship, Deck, Cabin, Sailor)] == [0, 0, 0, 0]


def test_protected_tree_goes_root_first(listener: None) -> None:
    outer = None
    for number in range(8):
        outer = Hold.objects.create(name=f"{number}", outer=outer)
    call_synchronize()

    delete_unordered(*Hold.objects.order_by("pk"))
    call_synchronize()

    assert remote_count(Hold) == 0


def test_rows_that_protect_each_other_go(listener: None) -> None:
    one = Hold.objects.create(name="one")
    other = Hold.objects.create(name="other", outer=one)
    one.outer = other
    one.save()
    call_synchronize()

    one.outer = None
    one.save()
    other.delete()
    one.delete()
    call_synchronize()

    assert remote_count(Hold) == 0


def test_row_that_only_the_database_protects_goes_though_the_other_deletion_comes_later(
    listener: None,
) -> None:
    ship = Ship.objects.create(name="Pequod")
    anchor = Anchor.objects.create(ship=ship)
    call_synchronize()

    delete_unordered(ship, anchor)
    call_synchronize()

    assert [remote_count(model) for model in (Ship, Anchor)] == [0, 0]


def test_row_that_moves_to_another_parent_later_no_longer_protects_the_first(listener: None) -> None:
    first, second = Hold.objects.create(name="first"), Hold.objects.create(name="second")
    inner = Hold.objects.create(name="inner", outer=first)
    call_synchronize()

    first.name = "is named by an early batch"
    first.save()
    inner.outer = second
    inner.save()
    first.delete()
    call_synchronize()

    assert remote_count(Hold) == 2
    assert_same_rows(Hold)


def test_what_is_below_a_row_that_moves_later_does_not_go_with_its_first_parent(listener: None) -> None:
    """Nobody would bring it back: no entry is about it."""
    first, second = Ship.objects.create(name="first"), Ship.objects.create(name="second")
    deck = Deck.objects.create(ship=first, name="deck")
    call_synchronize()
    Cabin.objects.create(ship=second, deck=deck, name="cabin")
    flag, other = Flag.objects.create(code="A"), Flag.objects.create(code="B")
    mast = Mast.objects.create(flag=flag)
    Sail.objects.create(mast=mast, area=5)
    Label.objects.create(target=first, text="moves")
    call_synchronize()

    first.name = "is named by an early batch"
    first.save()
    flag.save()
    deck.ship = second
    deck.save()
    mast.flag = other
    mast.save()
    label = Label.objects.get()
    label.target = second
    label.save()
    first.delete()
    flag.delete()
    call_synchronize()

    assert [remote_count(model) for model in (Ship, Deck, Cabin, Mast, Sail, Label)] == [1] * 6
    assert_same_rows()


def test_row_that_stands_elsewhere_on_remote_without_anybody_knowing_why_does_not_go_along(
    listener: None,
) -> None:
    """REMOTE moved it by what its capture does not see, such as `QuerySet.update` with signals."""
    lost, kept = Ship.objects.create(name="lost"), Ship.objects.create(name="kept")
    Deck.objects.create(ship=kept, name="upper")
    call_synchronize()
    with unlogged(REMOTE):
        Deck.objects.using(REMOTE).update(ship=Ship.objects.using(REMOTE).get(name="lost"))

    lost.delete()
    call_synchronize()

    assert_same_rows()


def test_row_of_remotes_own_still_protects_what_it_points_at(listener: None) -> None:
    ship = Ship.objects.create(name="Pequod")
    call_synchronize()
    sailor = create_on_remote(Sailor, name="Ahab")
    create_on_remote(Duty, ship=Ship.objects.using(REMOTE).get(), sailor=sailor)

    ship.delete()
    with pytest.raises(Refused, match=r"knots\.Ship"):
        call_synchronize()

    assert [remote_count(model) for model in (Ship, Duty)] == [1, 1]


@pytest.mark.parametrize("first_here", [True, False], ids=["this side runs first", "the other runs first"])
@pytest.mark.parametrize("is_later", [True, False])
def test_what_the_other_side_puts_on_a_deleted_object_counts_like_a_row_of_a_foreign_key(
    first_here: bool, is_later: bool
) -> None:
    """Django deletes what is generically related together with the object."""
    ship = Ship.objects.create(name="Unsinkable")
    call_synchronize()
    if is_later:
        ship.delete()
        let_time_pass()
    with other_side():
        Label.objects.create(target=Ship.objects.get(), text="newest")
    if not is_later:
        let_time_pass()
        ship.delete()

    for _round in range(2):
        with nullcontext() if first_here else other_side():
            call_synchronize()
        with other_side() if first_here else nullcontext():
            call_synchronize()

    assert [Ship.objects.count(), remote_count(Ship)] == [int(is_later)] * 2
    assert [Label.objects.count(), remote_count(Label)] == [int(is_later)] * 2
    assert_same_rows()
    assert Conflict.objects.exists() or Conflict.objects.using(REMOTE).exists()


def test_row_that_points_at_a_value_goes_with_it_though_its_deletion_comes_later(listener: None) -> None:
    port = Port.objects.create(code="NAN")
    calls = [Call.objects.create(port=port) for _ in range(3)]
    call_synchronize()

    delete_unordered(port, *calls)
    call_synchronize()

    assert [remote_count(model) for model in (Port, Call)] == [0, 0]


def test_whole_tree_is_taken_along_at_once() -> None:
    outer: Hold | None = None
    attempts: list[str] = []
    for number in range(40):
        outer = Hold.objects.create(name=f"{number}", outer=outer)
    call_synchronize()
    delete_unordered(*Hold.objects.order_by("pk"))

    def count(step: str, **kwargs: Any) -> None:
        if step == "read":
            attempts.append(step)

    step_signal.connect(count)
    try:
        call_synchronize()
    finally:
        step_signal.disconnect(count)

    assert remote_count(Hold) == 0
    assert len(attempts) <= 40 + 3
