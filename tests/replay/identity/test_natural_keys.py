"""Rows that are known by what people call them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import override_settings
from django.utils import timezone

from synchro.core import call_synchronize, reset_synchro
from synchro.exceptions import Ambiguous, SynchroError
from synchro.models import options
from synchro.replay.signals import step as step_signal
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import REMOTE, create_on_remote, other_side, remote, remote_count, save_unlogged
from tests.shop.models import Book, Coin, Edition, Person, Publisher, Tag

pytestmark = pytest.mark.django_db(databases=["default", "remote"])


@contextmanager
def stopped_at(wanted_step: str, wanted_batch: int) -> Iterator[None]:
    def stop(step: str, batch: int, **kwargs: object) -> None:
        if (step, batch) == (wanted_step, wanted_batch):
            raise SynchroError("stopped")

    step_signal.connect(stop)
    try:
        yield
    finally:
        step_signal.disconnect(stop)


def test_row_of_remote_with_the_same_natural_key_becomes_the_counterpart() -> None:
    create_on_remote(Publisher, name="Somebody else")
    own = create_on_remote(Publisher, name="Gollancz", city="Oxford")
    Publisher.objects.create(name="Gollancz", city="London")

    call_synchronize()

    assert remote(Publisher, name="Gollancz").pk == own.pk
    assert remote(Publisher, name="Gollancz").city == "London"
    assert remote_count(Publisher) == 2


def test_counterpart_stays_the_same_when_the_natural_key_changes() -> None:
    publisher = Publisher.objects.create(name="Gollancz")
    call_synchronize()
    key = remote(Publisher).pk

    publisher.name = "Gollancz Ltd"
    publisher.save()
    call_synchronize()

    assert remote(Publisher).pk == key
    assert_same_rows()


def test_deletion_finds_its_row_by_the_natural_key_where_there_is_no_reference() -> None:
    create_on_remote(Publisher, name="Gollancz")
    create_on_remote(Publisher, name="Corgi")
    publisher = Publisher.objects.create(name="Gollancz")
    reset_synchro()

    publisher.delete()
    call_synchronize()

    assert remote(Publisher).name == "Corgi"


def test_deletion_finds_its_row_by_a_natural_key_that_leads_through_a_reference() -> None:
    own = create_on_remote(Publisher, name="Gollancz")
    create_on_remote(Book, publisher=own, title="Sourcery")
    create_on_remote(Book, publisher=create_on_remote(Publisher, name="Corgi"), title="Sourcery")
    book = Book.objects.create(publisher=Publisher.objects.create(name="Gollancz"), title="Sourcery")
    reset_synchro()

    book.delete()
    call_synchronize()

    assert remote(Book).publisher.name == "Corgi"


def test_natural_key_that_leads_through_a_reference_finds_its_row() -> None:
    corgi, gollancz = (create_on_remote(Publisher, name=name) for name in ("Corgi", "Gollancz"))
    create_on_remote(Book, publisher=corgi, title="Sourcery", pages=1)
    own = create_on_remote(Book, publisher=gollancz, title="Sourcery", pages=1)
    Book.objects.create(publisher=Publisher.objects.create(name="Gollancz"), title="Sourcery", pages=2)

    call_synchronize()

    assert remote_count(Book) == 2
    assert remote(Book, pk=own.pk).pages == 2


def test_parents_of_a_natural_key_may_be_new_themselves() -> None:
    publisher = Publisher.objects.create(name="Gollancz")
    book = Book.objects.create(publisher=publisher, title="Sourcery")
    Edition.objects.create(book=book, number=1, price="9.99")

    call_synchronize()

    assert_same_rows()


def test_natural_key_methods_of_the_projects_own_are_used() -> None:
    publisher = create_on_remote(Publisher, name="Gollancz")
    own = create_on_remote(
        Edition, book=create_on_remote(Book, publisher=publisher, title="Sourcery"), number=1, price="1"
    )
    book = Book.objects.create(publisher=Publisher.objects.create(name="Gollancz"), title="Sourcery")
    edition = Edition.objects.create(book=book, number=1, price="9.99")

    call_synchronize()

    assert remote(Edition).pk == own.pk
    assert remote(Edition).price == Decimal("9.99")
    assert_same_rows()

    edition.delete()
    call_synchronize()
    assert remote_count(Edition) == 0


def test_several_rows_with_one_natural_key_stop_the_run() -> None:
    create_on_remote(Tag, word="red", note="one")
    create_on_remote(Tag, word="red", note="two")
    Tag.objects.create(word="red", note="ours")

    with pytest.raises(Ambiguous, match=r"shop\.Tag"):
        call_synchronize()

    assert not Tag.objects.using("remote").filter(note="ours").exists()


def test_run_goes_on_after_the_natural_key_was_made_unambiguous() -> None:
    create_on_remote(Tag, word="red", note="one")
    second = create_on_remote(Tag, word="red", note="two")
    Tag.objects.create(word="red", note="ours")
    with pytest.raises(SynchroError):
        call_synchronize()

    second.delete()
    call_synchronize()

    assert_same_rows()


def test_several_rows_with_one_natural_key_are_no_obstacle_where_any_will_do() -> None:
    first = create_on_remote(Person, first_name="Sam", last_name="Vimes", note="one")
    create_on_remote(Person, first_name="Sam", last_name="Vimes", note="two")
    Person.objects.create(first_name="Sam", last_name="Vimes", note="ours")

    call_synchronize()

    assert remote_count(Person) == 2
    assert remote(Person, pk=first.pk).note == "ours"


def test_values_that_json_has_no_type_for_find_their_row() -> None:
    own = create_on_remote(Coin, value=Decimal("0.10"), minted=date(1999, 12, 31), weight=1.0)
    coin = Coin.objects.create(value=Decimal("0.10"), minted=date(1999, 12, 31), weight=2.0)

    call_synchronize()

    assert remote(Coin).pk == own.pk
    assert_same_rows()

    reset_synchro(is_copy=True)
    coin.delete()
    call_synchronize()
    assert remote_count(Coin) == 0


def test_deletion_of_a_row_with_decimals_in_its_natural_key_needs_no_reference() -> None:
    create_on_remote(Coin, value=Decimal("0.10"), minted=date(1999, 12, 31))
    create_on_remote(Coin, value=Decimal("0.20"), minted=date(1999, 12, 31))
    coin = Coin(value=Decimal("0.10"), minted=date(1999, 12, 31))
    save_unlogged(coin)

    coin.delete()
    call_synchronize()

    assert remote(Coin).value == Decimal("0.20")


def test_natural_keys_that_two_rows_swap_arrive() -> None:
    first, second = Tag.objects.create(word="red", note="1"), Tag.objects.create(word="blue", note="2")
    call_synchronize()

    first.word, second.word = second.word, first.word
    first.save()
    second.save()
    call_synchronize()

    assert {(tag.word, tag.note) for tag in Tag.objects.using("remote")} == {("blue", "1"), ("red", "2")}


def test_row_that_takes_over_the_natural_key_of_a_renamed_one_is_another_row() -> None:
    old = Publisher.objects.create(name="Gollancz", city="London")
    call_synchronize()

    old.name = "Gollancz & Sons"
    old.save()
    Publisher.objects.create(name="Gollancz", city="Ankh-Morpork")
    call_synchronize()

    found = dict(Publisher.objects.using(REMOTE).values_list("name", "city"))
    assert found == {"Gollancz & Sons": "London", "Gollancz": "Ankh-Morpork"}
    assert_same_rows()


def test_row_that_takes_over_the_natural_key_of_a_deleted_one_stays() -> None:
    old = Publisher.objects.create(name="Gollancz", city="London")
    call_synchronize()

    old.delete()
    Publisher.objects.create(name="Gollancz", city="Ankh-Morpork")
    call_synchronize()

    assert [one.city for one in Publisher.objects.using(REMOTE).all()] == ["Ankh-Morpork"]
    assert_same_rows()


def test_row_that_only_a_child_leads_to_takes_over_that_of_a_deleted_one(settings: Any) -> None:
    """Were it to go, what REMOTE has added below the child would go along."""
    old, other = Publisher.objects.create(name="Gollancz"), Publisher.objects.create(name="Corgi")
    book = Book.objects.create(publisher=other, title="Mort")
    Edition.objects.create(book=book, number=1, price=1)
    call_synchronize()
    settings.SYNCHRO_BATCH_SIZE = 3
    book.save()
    old.name = "Orion"
    old.save()
    old.delete()
    book.publisher = Publisher.objects.create(name="Gollancz")
    book.save()
    with other_side():
        Edition.objects.create(book=Book.objects.get(), number=2, price=2)

    call_synchronize()
    with other_side():
        call_synchronize()

    assert [edition.number for edition in Edition.objects.order_by("number")] == [1, 2]
    assert_same_rows(Publisher, Book, Edition)


@pytest.mark.parametrize("is_stopped_between", [False, True])
@override_settings(SYNCHRO_BATCH_SIZE=1)
def test_row_added_and_deleted_in_different_batches_takes_none_of_remotes_own_along(
    is_stopped_between: bool,
) -> None:
    """It never was on REMOTE, so the row with that natural key there is another one."""
    create_on_remote(Publisher, name="Gollancz", city="London")
    Publisher.objects.create(name="Gollancz", city="Ankh-Morpork").delete()
    if is_stopped_between:
        with stopped_at("formed", 2), pytest.raises(SynchroError):
            call_synchronize()

    call_synchronize()

    assert remote(Publisher).city == "London"


def test_row_that_came_by_other_means_goes_by_its_natural_key_however_long_ago_it_was_added() -> None:
    publisher = Publisher.objects.create(name="Gollancz")
    create_on_remote(Publisher, name="Gollancz")
    options.last_check = timezone.now() + timedelta(days=1)  # what was logged so far is on REMOTE already

    publisher.delete()
    call_synchronize()

    assert remote_count(Publisher) == 0
