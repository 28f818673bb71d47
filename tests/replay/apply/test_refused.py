"""A change that REMOTE refuses stops the run: it is named, its batch is rolled back, the rest waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from typing import Any

import pytest
from django.db import connections
from django.db.models import Field, Model

from synchro.core import call_synchronize
from synchro.exceptions import NotReady, Refused, SynchroError
from synchro.models import Receipt
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import BY_TRIGGERS, REMOTE, create_on_remote, remote_count, set_capture
from tests.shop.models import Coin, Comment, Country, Customer, Measurement, Publisher, Seat


@contextmanager
def altered_on_remote(model: type[Model], name: str, **attributes: Any) -> Iterator[None]:
    """Inside, the column is another on REMOTE than the model says."""
    old = model._meta.get_field(name)
    new = copy(old)
    vars(new).update(attributes)
    if isinstance(old, Field) and "max_length" in attributes:
        new.validators = []
    _alter(model, old, new)
    try:
        yield
    finally:
        model._base_manager.using(REMOTE).all().delete()
        _alter(model, new, old)


def _alter(model: type[Model], old: Any, new: Any) -> None:
    with connections[REMOTE].schema_editor() as editor:
        editor.alter_field(model, old, new)


@pytest.mark.django_db(databases=["default", "remote"])
def test_unique_value_that_a_row_of_remotes_own_holds_is_named() -> None:
    create_on_remote(Seat, number=7, guest="of REMOTE's own")
    Customer.objects.create(name="Vimes")
    seat = Seat.objects.create(number=7, guest="Nobby")

    with pytest.raises(Refused) as caught:
        call_synchronize()

    message = str(caught.value)
    assert "shop.Seat" in message
    assert "Correct this row on LOCAL" in message
    assert str(seat.pk) in message
    assert "number" in message
    assert (remote_count(Customer), remote_count(Seat)) == (0, 1)
    assert not Receipt.objects.using(REMOTE).filter(batch__gt=0).exists()


@pytest.mark.django_db(databases=["default", "remote"])
def test_row_that_is_refused_is_found_among_many_that_are_not() -> None:
    create_on_remote(Seat, number=137)
    for number in range(200):
        Seat.objects.create(number=number)
    culprit = Seat.objects.get(number=137)

    with pytest.raises(Refused, match=rf"\b{culprit.pk}\b.*number|number.*\b{culprit.pk}\b"):
        call_synchronize()

    assert remote_count(Seat) == 1


@pytest.mark.django_db(databases=["default", "remote"])
def test_change_that_is_refused_is_named_like_an_addition() -> None:
    seat = Seat.objects.create(number=1)
    call_synchronize()
    create_on_remote(Seat, number=7)

    seat.number = 7
    seat.save()
    with pytest.raises(Refused, match=r"shop\.Seat"):
        call_synchronize()

    assert set(Seat.objects.using(REMOTE).values_list("number", flat=True)) == {1, 7}


@pytest.mark.django_db(databases=["default", "remote"])
def test_run_goes_on_after_the_cause_was_mended_on_remote() -> None:
    obstacle = create_on_remote(Seat, number=7)
    Customer.objects.create(name="Vimes")
    Seat.objects.create(number=7)
    for _ in range(2):
        with pytest.raises(Refused):
            call_synchronize()

    obstacle.delete()
    Customer.objects.create(name="Carrot")
    call_synchronize()

    assert_same_rows()


@pytest.mark.django_db(databases=["default", "remote"])
def test_run_goes_on_after_the_cause_was_mended_on_local() -> None:
    """The present says what to do: the row as it is now is no obstacle any more."""
    create_on_remote(Seat, number=7)
    seat = Seat.objects.create(number=7)
    with pytest.raises(Refused):
        call_synchronize()

    seat.number = 8
    seat.save()
    call_synchronize()

    assert set(Seat.objects.using(REMOTE).values_list("number", flat=True)) == {7, 8}


@pytest.mark.django_db(transaction=True, databases=["default", "remote"])
def test_null_that_remote_does_not_take_is_named() -> None:
    with altered_on_remote(Measurement, "small", null=False):
        Customer.objects.create(name="Vimes")
        measurement = Measurement.objects.create(small=None, short="culprit")
        with pytest.raises(SynchroError) as caught:
            call_synchronize()
        message = str(caught.value)
        counts = (remote_count(Measurement), remote_count(Customer))

    assert "shop.Measurement" in message
    assert str(measurement.pk) in message
    assert "small" in message
    assert counts == (0, 0)
    call_synchronize()
    assert_same_rows()


@pytest.mark.django_db(transaction=True, databases=["default", "remote"])
def test_text_that_is_too_long_for_remote_is_named() -> None:
    if connections[REMOTE].vendor == "sqlite":
        pytest.skip("SQLite takes text of any length")
    with altered_on_remote(Measurement, "short", max_length=10):
        Customer.objects.create(name="Vimes")
        Measurement.objects.create(short="short")
        measurement = Measurement.objects.create(short="far too long for ten")
        with pytest.raises(SynchroError) as caught:
            call_synchronize()
        message = str(caught.value)
        counts = (remote_count(Measurement), remote_count(Customer))

    assert "shop.Measurement" in message
    assert str(measurement.pk) in message
    assert "short" in message
    assert counts == (0, 0)
    call_synchronize()
    assert_same_rows()


@pytest.mark.django_db(databases=["default", "remote"])
@pytest.mark.parametrize("make", [lambda: Country(code="P\0L"), lambda: Publisher(name="Gol\0lancz")])
def test_key_that_remote_cannot_hold_is_named_and_blocks_nothing_once_it_is_gone(
    make: Callable[[], Model],
) -> None:
    """Whether it is a key or a natural key, REMOTE cannot even be asked for it."""
    if connections["default"].vendor == "postgresql" or connections[REMOTE].vendor != "postgresql":
        pytest.skip("only PostgreSQL has no NUL characters")
    odd = make()
    odd.save()
    Customer.objects.create(name="Vimes")

    with pytest.raises(Refused, match=rf"(?s){odd._meta.label}.*NUL"):
        call_synchronize()
    odd.delete()
    call_synchronize()

    assert_same_rows()


@pytest.mark.django_db(transaction=True, databases=["default", "remote"])
@pytest.mark.skipif(BY_TRIGGERS, reason="SQLite drops no column that a trigger names")
def test_column_that_remote_lacks_is_said_before_anything_is_written() -> None:
    Comment.objects.create(target=Customer.objects.create(name="Vimes"), text="hello")
    with connections[REMOTE].schema_editor() as editor:
        editor.remove_field(Comment, Comment._meta.get_field("text"))
    try:
        with pytest.raises(NotReady, match=r"(?s)shop.Comment.*text|shop_comment.*text|text.*shop_comment"):
            call_synchronize()
        count = remote_count(Customer)
    finally:
        with connections[REMOTE].schema_editor() as editor:
            editor.add_field(Comment, Comment._meta.get_field("text"))

    assert count == 0
    call_synchronize()
    assert_same_rows()


@pytest.mark.django_db(transaction=True, databases=["default", "remote"])
def test_table_that_remote_lacks_is_said_before_anything_is_written() -> None:
    Customer.objects.create(name="Vimes")
    Coin.objects.create(value="0.1", minted="2000-01-01")
    with connections[REMOTE].schema_editor() as editor:
        editor.delete_model(Coin)
    try:
        with pytest.raises(NotReady, match=r"(?i)coin"):
            call_synchronize()
        count = remote_count(Customer)
    finally:
        with connections[REMOTE].schema_editor() as editor:
            editor.create_model(Coin)
        if BY_TRIGGERS:
            set_capture(REMOTE, "triggers", "shop.Coin")

    assert count == 0
    call_synchronize()
    assert_same_rows()
