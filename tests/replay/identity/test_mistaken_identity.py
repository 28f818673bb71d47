"""Two objects are never one row: what looks like the counterpart may be somebody else's."""

from __future__ import annotations

import pytest
from django.db import connections

from synchro.core import call_synchronize
from synchro.exceptions import Refused
from tests.odd.models import Player, Team
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import REMOTE, create_on_remote, remote, remote_count
from tests.shop.models import Book, Country, Parcel, Person, Publisher, Tag

pytestmark = pytest.mark.django_db(databases=["default", "remote"])


def can_tell_letters_apart_by_case(alias: str) -> bool:
    return connections[alias].vendor != "mysql"


def test_natural_key_that_one_row_gives_up_can_be_taken_by_a_new_one() -> None:
    """REMOTE's row bears the old name still, but it is another object's."""
    first = Publisher.objects.create(name="Gollancz", city="London")
    call_synchronize()

    first.name = "Gollancz Ltd"
    first.save()
    Publisher.objects.create(name="Gollancz", city="Oxford")
    call_synchronize()

    assert remote_count(Publisher) == 2
    assert_same_rows()


def test_natural_key_of_a_deleted_row_can_be_taken_by_a_new_one() -> None:
    first = Publisher.objects.create(name="Gollancz", city="London")
    Book.objects.create(publisher=first, title="Sourcery")
    call_synchronize()

    first.delete()
    second = Publisher.objects.create(name="Gollancz", city="Oxford")
    Book.objects.create(publisher=second, title="Sourcery")
    call_synchronize()
    assert_same_rows()

    second.city = "Cambridge"
    second.save()
    call_synchronize()
    assert_same_rows()


def test_unique_natural_key_of_a_deleted_row_can_be_taken_by_a_new_one() -> None:
    first = Team.objects.create(name="Watch", motto="one")
    Player.objects.create(team=first, name="Vimes")
    call_synchronize()

    first.delete()
    Team.objects.create(name="Watch", motto="two")
    call_synchronize()

    assert_same_rows()


def test_two_rows_with_one_natural_key_stay_two_where_any_counterpart_will_do() -> None:
    Person.objects.create(first_name="Sam", last_name="Vimes", note="the elder")
    call_synchronize()
    Person.objects.create(first_name="Sam", last_name="Vimes", note="the younger")
    call_synchronize()

    assert remote_count(Person) == 2
    assert_same_rows()


def test_only_one_of_two_rows_with_one_natural_key_becomes_the_row_that_remote_has() -> None:
    own = create_on_remote(Person, first_name="Sam", last_name="Vimes", note="of REMOTE's own")
    Person.objects.create(first_name="Sam", last_name="Vimes", note="the elder")
    Person.objects.create(first_name="Sam", last_name="Vimes", note="the younger")

    call_synchronize()

    assert remote(Person, pk=own.pk).note in ("the elder", "the younger")
    assert remote_count(Person) == 2
    assert_same_rows()


def test_natural_keys_that_only_locals_collation_tells_apart_do_not_become_one_row() -> None:
    if not can_tell_letters_apart_by_case("default"):
        pytest.skip("LOCAL takes both for the same")
    Tag.objects.create(word="red", note="small")
    call_synchronize()
    Tag.objects.create(word="Red", note="capital")

    call_synchronize()

    assert_same_rows()


def test_unique_natural_keys_that_only_locals_collation_tells_apart_are_refused() -> None:
    if not can_tell_letters_apart_by_case("default") or can_tell_letters_apart_by_case(REMOTE):
        pytest.skip("both sides have the same collation")
    Team.objects.create(name="watch", motto="small")
    call_synchronize()
    Team.objects.create(name="Watch", motto="capital")

    with pytest.raises(Refused, match=r"odd\.Team.*name"):
        call_synchronize()

    assert remote(Team).motto == "small"


def test_row_that_came_and_went_here_leaves_remotes_own_with_its_name_alone() -> None:
    create_on_remote(Publisher, name="Gollancz")
    create_on_remote(Country, code="PL")
    parcel = create_on_remote(Parcel, weight=7)

    Publisher.objects.create(name="Gollancz").delete()
    Country.objects.create(code="PL").delete()
    Parcel.objects.create(pk=parcel.pk).delete()
    call_synchronize()

    assert (remote_count(Publisher), remote_count(Country), remote_count(Parcel)) == (1, 1, 1)
