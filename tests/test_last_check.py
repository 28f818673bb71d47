"""options.last_check: to the microsecond, never from a cache, and heard when a person sets it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.test import override_settings
from django.utils.timezone import is_naive, override

from synchro.core import reset_synchro
from synchro.last_check import checkpoint_set, moved_by_a_run
from synchro.models import Baseline, Batch, ChangeLog, Checkpoint, Node, Option, Peer, Reference, options
from tests.people.models import ByUuid, City, Club, Person

pytestmark = pytest.mark.django_db

MOMENT = datetime(2020, 1, 2, 3, 4, 5, 678901, UTC)


@pytest.fixture
def heard() -> Iterator[list[datetime]]:
    moments: list[datetime] = []

    def listen(moment: datetime, **_kwargs: Any) -> None:
        moments.append(moment)

    checkpoint_set.connect(listen)
    yield moments
    checkpoint_set.disconnect(listen)


def stored() -> list[str]:
    return list(Option.objects.filter(name="last_check").values_list("value", flat=True))


def test_there_is_none_at_first() -> None:
    assert options.last_check is None


def test_microseconds_are_kept() -> None:
    options.last_check = MOMENT
    assert options.last_check == MOMENT
    assert options.last_check.utcoffset() == timedelta(0)


def test_it_can_be_set_back_and_forth_and_is_stored_once() -> None:
    for days in (0, 2, 1, 1):
        options.last_check = MOMENT + timedelta(days=days)
        assert options.last_check == MOMENT + timedelta(days=days)
    assert stored() == ["2020-01-03T03:04:05.678901+00:00"]


def test_what_another_process_stored_is_read_at_once() -> None:
    options.last_check = MOMENT
    assert options.last_check == MOMENT
    Option.objects.update(value="2021-01-01T00:00:00.000001+00:00")
    assert options.last_check == datetime(2021, 1, 1, 0, 0, 0, 1, UTC)
    Option.objects.all().delete()
    assert options.last_check is None


@pytest.mark.parametrize("zone", ["Europe/Warsaw", "America/New_York"])
def test_aware_moment_of_any_zone_is_the_same_moment(zone: str) -> None:
    options.last_check = MOMENT.astimezone(ZoneInfo(zone))
    assert options.last_check == MOMENT
    options.last_check = MOMENT.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert options.last_check == MOMENT


def test_naive_moment_is_in_the_current_time_zone() -> None:
    with override("Europe/Warsaw"):
        options.last_check = datetime(2020, 1, 2, 4, 4, 5)
    assert options.last_check == datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)


@override_settings(USE_TZ=False, TIME_ZONE="Europe/Warsaw")
def test_without_time_zones_moments_are_naive_and_local(heard: list[datetime]) -> None:
    options.last_check = datetime(2020, 1, 2, 4, 4, 5, 678901)
    found = options.last_check
    assert found is not None
    assert is_naive(found)
    assert found == datetime(2020, 1, 2, 4, 4, 5, 678901)
    assert stored() == [MOMENT.isoformat()]
    assert heard == [MOMENT]
    options.last_check = MOMENT
    assert options.last_check == datetime(2020, 1, 2, 4, 4, 5, 678901)


@pytest.mark.parametrize("text", ["2020-01-02 03:04:05.678901", "2020-01-02T04:04:05.678901+01:00"])
def test_text_is_taken_too(text: str) -> None:
    options.last_check = text
    assert options.last_check == MOMENT


def test_text_that_is_no_moment_is_refused_and_changes_nothing(heard: list[datetime]) -> None:
    options.last_check = MOMENT
    with pytest.raises(ValueError, match="'yesterday' is no moment"):
        options.last_check = "yesterday"
    assert options.last_check == MOMENT
    assert heard == [MOMENT]


def test_it_can_be_taken_away(heard: list[datetime]) -> None:
    options.last_check = MOMENT
    options.last_check = None
    assert options.last_check is None
    assert heard == [MOMENT]


def test_person_who_sets_it_is_heard_and_a_run_is_not(heard: list[datetime]) -> None:
    options.last_check = MOMENT.astimezone(ZoneInfo("Asia/Tokyo"))
    with moved_by_a_run():
        options.last_check = MOMENT + timedelta(days=1)
    assert heard == [MOMENT]
    assert heard[0].tzinfo is UTC


def test_setting_it_to_the_value_that_it_has_is_no_wish(heard: list[datetime]) -> None:
    options.last_check = MOMENT
    options.last_check = options.last_check
    assert heard == [MOMENT]


# -- reset_synchro -------------------------------------------------------------------------------------------


@pytest.fixture
def _people_are_watched(settings: Any) -> None:
    settings.SYNCHRO_MODELS = ["people"]


@pytest.mark.usefixtures("_people_are_watched")
def test_reset_forgets_what_was_logged_and_names_the_database_anew() -> None:
    club = Club.objects.create(name="chess")
    old = Node.objects.update_or_create(
        pk=1, defaults={"highest": 7, "holes": "[[1, 1, null]]", "batch": 3, "forgotten": 1, "pruned": 1}
    )[0]
    peer = Peer.objects.create(uuid=ByUuid().pk)
    Batch.objects.create(number=1, ranges="1", size=1)
    Checkpoint.objects.create(peer=peer, batch=1)
    entry = ChangeLog.objects.get()
    Reference.objects.create(
        peer=peer, content_type=entry.content_type, local_object_id="1", remote_object_id="2"
    )
    before = datetime.now(UTC)

    reset_synchro(is_copy=True)

    node = Node.objects.get()
    assert node.uuid != old.uuid
    assert (node.batch, node.forgotten, node.pruned) == (0, 0, 0)
    assert not ChangeLog.objects.exists()
    assert not Batch.objects.exists()
    assert not Checkpoint.objects.exists()
    assert Reference.objects.exists()
    assert Club.objects.get() == club
    assert options.last_check is not None
    assert before <= options.last_check <= datetime.now(UTC)


def test_reset_is_not_heard_as_a_persons_wish(heard: list[datetime]) -> None:
    reset_synchro()
    assert heard == []


@pytest.mark.usefixtures("_people_are_watched")
def test_reset_reads_no_entry_into_memory(django_assert_num_queries: Any) -> None:
    Club.objects.create(name="chess")
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as queries:
        reset_synchro()
    assert not [
        q for q in queries if q["sql"].startswith("SELECT") and 'synchro_changelog"."object_id' in q["sql"]
    ]


@pytest.mark.usefixtures("_people_are_watched")
def test_reset_notes_how_far_automatic_keys_are_the_same() -> None:
    node = Node.objects.get_or_create(pk=1)[0]
    club = Club.objects.create(name="chess")
    Club.objects.create(name="rowing").delete()
    Person.objects.create(name="Ann")
    ByUuid.objects.create()
    reset_synchro()
    noted = {
        found.content_type.model_class(): found.highest for found in Baseline.objects.filter(node=node.uuid)
    }
    assert noted[Club] == club.pk
    assert noted[City] == 0
    assert ByUuid not in noted
    assert Person.friends.through not in noted
