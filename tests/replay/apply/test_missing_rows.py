"""An UPDATE that meets no row is no success: the row is named."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connections
from django.db.models.signals import post_save
from django.test import override_settings

from synchro.backends import backend_for
from synchro.core import call_synchronize
from synchro.exceptions import Refused
from synchro.models import SetAside
from synchro.replay.signals import step as step_signal
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import REMOTE, create_on_remote, remote, remote_count, unlogged
from tests.shop.models import Comment, Customer, Delivery

pytestmark = pytest.mark.django_db(databases=["default", "remote"])


@contextmanager
def gone_when(wanted_step: str, model: Any, **lookup: Any) -> Iterator[None]:
    """Inside, a row of REMOTE goes once, in the midst of a batch."""
    left = [1]

    def go(step: str, **kwargs: Any) -> None:
        if step == wanted_step and left:
            left.pop()
            with unlogged(REMOTE):
                model.objects.using(REMOTE).filter(**lookup)._raw_delete(REMOTE)

    step_signal.connect(go)
    try:
        yield
    finally:
        step_signal.disconnect(go)


@contextmanager
def receiver_that_deletes(when: str, victim: str) -> Iterator[None]:
    def go(instance: Any, using: str, **kwargs: Any) -> None:
        if using == REMOTE and instance.place == when:
            Delivery.objects.using(REMOTE).filter(customer__name=victim)._raw_delete(REMOTE)

    post_save.connect(go, sender=Delivery)
    try:
        yield
    finally:
        post_save.disconnect(go, sender=Delivery)


def two_comments() -> tuple[Comment, Comment]:
    customer = Customer.objects.create(name="Nobby")
    first, second = (Comment.objects.create(target=customer, text=text) for text in ("one", "two"))
    call_synchronize()
    for comment in (first, second):
        comment.text += "!"
        comment.save()
    return first, second


def test_row_that_goes_while_a_group_is_written_is_named() -> None:
    _first, second = two_comments()

    with (
        gone_when("resolved", Comment, text="two"),
        pytest.raises(Refused, match=rf"shop\.Comment {second.pk}: REMOTE does not have the row"),
    ):
        call_synchronize()
    assert set(Comment.objects.using(REMOTE).values_list("text", flat=True)) == {"one", "two"}

    call_synchronize()
    assert_same_rows()


def test_row_that_goes_is_quarantined_by_name(quarantine: None) -> None:
    two_comments()
    for _time in range(2):  # the first is met by another attempt
        with gone_when("resolved", Comment, text="two"):
            call_synchronize()

    assert_same_rows()
    assert not SetAside.objects.filter(is_over=False).exists()


@pytest.mark.parametrize(("when", "victim"), [("a!", "b"), ("b!", "a")])
@override_settings(SYNCHRO_RECEIVERS="all")
def test_row_that_a_receiver_deletes_is_named(when: str, victim: str) -> None:
    """Whether it is saved before that or after."""
    deliveries = [
        Delivery.objects.create(place=name, customer=Customer.objects.create(name=name)) for name in "ab"
    ]
    call_synchronize()
    for delivery in deliveries:
        delivery.place += "!"
        delivery.save()

    with (
        receiver_that_deletes(when, victim),
        pytest.raises(Refused, match=r"shop\.Delivery \d+: REMOTE does not have the row"),
    ):
        call_synchronize()

    assert remote_count(Delivery) == 2
    call_synchronize()
    assert_same_rows()


@pytest.mark.parametrize("columns", [["id", "name"], ["name", "id"]])
def test_engines_count_the_rows_that_an_update_finds(columns: list[str]) -> None:
    """Also those that are equal already, and those that are named twice."""
    first, second = (create_on_remote(Customer, name=name).pk for name in ("one", "two"))
    connection = connections[REMOTE]
    engine, table = backend_for(connection), Customer._meta.db_table

    def update(*rows: tuple[int, str]) -> int:
        named = [dict(zip(("id", "name"), row, strict=True)) for row in rows]
        values = [[row[column] for column in columns] for row in named]
        found: int = engine.update(table, columns, ["id"], values)
        return found

    with unlogged(REMOTE):
        assert update((first, "one"), (second, "other")) == 2
        assert update((first, "one"), (second, "other")) == 2
        assert update((first, "new"), (first, "new"), (second, "other")) == 3
        assert update((first, "new"), (9_999_999, "nobody")) == 1
        assert update((9_999_999, "nobody")) == 0
    assert remote(Customer, pk=first).name == "new"
