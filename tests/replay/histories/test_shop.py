"""Whatever people do in whatever order, both sides end up with the same rows."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
from django.test.utils import override_settings
from hypothesis import given
from hypothesis import strategies as st

from synchro.core import call_synchronize
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import other_side
from tests.replay.histories.harness import object_by_object, rolled_back, run_until_quiet
from tests.replay.histories.shop import ONE_SIDE_ONLY, OPERATIONS, Step, steps
from tests.replay.hypothesis_settings import modest
from tests.shop.models import Album, Artist, Category, Country, Customer, Order, Parcel, Place

pytestmark = pytest.mark.django_db(databases=["default", "remote"])


@pytest.mark.parametrize("way", ["in groups", "object by object"])
@pytest.mark.parametrize("batch_size", [7, 5000])
@modest
@given(steps([*OPERATIONS, *ONE_SIDE_ONLY, "synchronize", "synchronize "]))
def test_any_history_of_one_side_arrives(way: str, batch_size: int, history: list[Step]) -> None:
    known = OPERATIONS | ONE_SIDE_ONLY
    with (
        override_settings(SYNCHRO_BATCH_SIZE=batch_size),
        rolled_back(),
        object_by_object() if way == "object by object" else nullcontext(),
    ):
        for name, a, b in history:
            known[name](a, b) if name in known else call_synchronize()
        call_synchronize()

        assert_same_rows()
        assert call_synchronize().entries == 0


@modest
@given(st.lists(st.tuples(st.booleans(), steps([*OPERATIONS, "synchronize"])), max_size=6))
def test_any_histories_of_two_sides_meet(histories: list[tuple[bool, list[Step]]]) -> None:
    with rolled_back():
        for here, history in histories:
            with nullcontext() if here else other_side():
                for name, a, b in history:
                    OPERATIONS[name](a, b) if name in OPERATIONS else call_synchronize()
        run_until_quiet()

        assert_same_rows()
        with other_side():
            assert_same_rows()


#: Those of which both sides can give account in the same words, whatever keys they have.
ALIKE = [
    "add_customer", "change_customer", "delete_customer", "add_order", "pass_order_on", "delete_order",
    "add_category", "move_category", "delete_category", "change_artists", "delete_artist", "add_album",
    "save_country", "delete_country", "add_pizzeria", "change_pizzeria", "delete_pizzeria", "change_place",
]  # fmt: skip


def account() -> dict[str, list[Any]]:
    """What there is on LOCAL."""
    found = {
        "customers": Customer.objects.values_list("name", "cash"),
        "orders": Order.objects.values_list("customer__name", "customer__cash", "note"),
        "parcels": Parcel.objects.values_list("receiver__name", "receiver__cash", "weight"),
        "categories": Category.objects.values_list("name", "parent__name"),
        "sets": Album.objects.values_list("name", "artists__name"),
        "artists": Artist.objects.values_list("name"),
        "countries": Country.objects.values_list("code", "name"),
        "places": Place.objects.values_list("name", "restaurant__seats", "restaurant__pizzeria__ovens"),
    }
    return {name: sorted(map(str, rows)) for name, rows in found.items()}


@modest
@given(steps(ALIKE), st.lists(st.tuples(st.booleans(), steps(ALIKE)), min_size=1, max_size=4))
def test_it_makes_no_difference_which_side_runs_first(
    before: list[Step], histories: list[tuple[bool, list[Step]]]
) -> None:
    found = []
    for first_here in (True, False):
        with rolled_back():
            for name, a, b in before:
                OPERATIONS[name](a, b)
            run_until_quiet()
            for here, history in histories:
                with nullcontext() if here else other_side():
                    for name, a, b in history:
                        OPERATIONS[name](a, b)
            run_until_quiet(first_here)

            assert_same_rows()
            found.append(account())
    assert found[0] == found[1]
