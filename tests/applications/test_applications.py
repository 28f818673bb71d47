"""
What well-known packages write arrives, whole, and nothing of theirs is harmed.

Each test goes on from where the stages before it have led, and goes through these first if it is run alone.
"""

from __future__ import annotations

import pytest

from tests.applications.house import House

PARTS = ("people", "small", "wagtail_pages", "oscar_shop")


def migrated(house: House) -> None:
    """Both sides have been migrated, nothing else."""
    house.synchronize()
    house.synchronize_back()


def set_up(house: House) -> None:
    """What is said on the pages has been done."""
    house.set_up()
    house.synchronize()


def added(house: House) -> None:
    """LOCAL has got contents."""
    house.at_local.do(
        "build.people.add",
        "build.small.add",
        "build.people.own",
        "build.wagtail_pages.add",
        "build.oscar_shop.add",
    )
    house.synchronize()


def edited(house: House) -> None:
    """LOCAL has changed and deleted some of it."""
    house.at_local.do(*(f"build.{part}.edit" for part in PARTS))
    house.synchronize()


def moved(house: House) -> None:
    """LOCAL has rearranged its trees, by SQL that sends no signals."""
    if house.by_triggers:
        house.at_local.do(*(f"build.{part}.move" for part in PARTS[1:]))
        house.synchronize()


def used(house: House) -> None:
    """REMOTE has been worked with: logins, pages, orders."""
    house.at_remote.do(*(f"build.{part}.check" for part in PARTS), "build.oscar_shop.buy")
    house.synchronize_back()


def both(house: House) -> None:
    """Both sides have changed something since the last run."""
    house.at_local.do("build.turns.at_local")
    house.at_remote.do("build.turns.at_remote")
    house.synchronize()
    house.synchronize_back()


STAGES = (migrated, set_up, added, edited, moved, used, both)


def up_to(stage: object) -> tuple[object, ...]:
    return STAGES[: STAGES.index(stage) + 1]


def assert_same(house: House) -> None:
    found = house.differences()
    assert not found, f"{len(found)} differences\n" + "\n".join(line[:600] for line in found[:100])


def test_two_sides_that_were_migrated_by_themselves_have_nothing_to_decide(house: House) -> None:
    house.reach(*up_to(migrated))

    assert house.conflicts() == []


def test_two_sides_that_were_set_up_as_the_pages_say_are_equal(house: House) -> None:
    house.reach(*up_to(set_up))

    assert house.conflicts() == []
    assert_same(house)


def test_there_is_nothing_to_warn_of_but_what_the_engine_does_not_capture(house: House) -> None:
    expected = {"synchro.W105"} if house.by_triggers else {"synchro.W105", "synchro.W043"}
    assert house.warnings() <= expected


def test_everything_that_was_added_arrives(house: House) -> None:
    house.reach(*up_to(added))

    assert_same(house)


def test_changes_and_deletions_arrive(house: House) -> None:
    house.reach(*up_to(edited))

    assert house.conflicts() == []
    assert_same(house)


def test_trees_that_were_rearranged_arrive(house: House) -> None:
    if not house.by_triggers:
        pytest.skip("trees are rearranged by SQL, which signals do not tell of")
    house.reach(*up_to(moved))

    assert_same(house)
    house.at_remote.do(*(f"build.{part}.check_trees" for part in PARTS[1:]))


def test_remote_serves_pages_takes_orders_and_lets_people_in(house: House) -> None:
    house.reach(*up_to(used))

    assert_same(house)
    house.at_local.do(*(f"build.{part}.check" for part in PARTS))


def test_two_ways_end_equal(house: House) -> None:
    house.reach(*up_to(both))

    assert_same(house)
