"""Two watched models with one table: a row is one row, by whichever of them it is written."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import models
from django.test import override_settings
from django.test.utils import isolate_apps

from synchro.checks.models import check_models
from synchro.core import call_synchronize
from synchro.exceptions import NotReady
from synchro.load import load
from synchro.models import ChangeLog
from synchro.registry import forget_cached
from synchro.sharing import unseen_by_signals
from synchro.verify import verify
from tests.replay.deployments import capture, create_on_remote, set_capture, use_up_key_on_remote
from tests.unwatched.models import Depot, Region, RegionSeen

pytestmark = pytest.mark.django_db(databases=["default", "remote"], transaction=True)


LABELS = ("unwatched.Region", "unwatched.Depot")


@pytest.fixture(autouse=True)
def both_watched(transactional_db: None) -> Iterator[None]:
    with override_settings(SYNCHRO_MODELS=[("unwatched", "Region", "RegionSeen", "Depot")]):
        captured = [alias for alias in ("default", "remote") if capture[alias] == "triggers"]
        for alias in captured:
            set_capture(alias, "triggers", *LABELS)
        create_on_remote(Region, name="REMOTE's own")
        use_up_key_on_remote(Region, name="used up")
        yield
        for alias in captured:
            set_capture(alias, "signals", *LABELS)
            capture[alias] = "triggers"


def names_on_remote() -> list[str]:
    names = Region.objects.using("remote").exclude(name__in=("REMOTE's own", "used up"))
    return sorted(names.values_list("name", flat=True))


def places_on_remote() -> list[tuple[str, str]]:
    return sorted(Depot.objects.using("remote").values_list("place", "region__title"))


def test_a_row_that_both_models_write_is_one_row_on_remote() -> None:
    region = Region.objects.create(name="north")
    seen = RegionSeen.objects.get(title="north")
    seen.title = "far north"
    seen.save(update_fields=["title"])
    call_synchronize()
    assert names_on_remote() == ["far north"]

    seen.title = "middle"
    seen.save()
    other = RegionSeen.objects.create(title="south")
    Depot.objects.create(place="by the river", region=seen)
    Depot.objects.create(place="on the hill", region=other)
    call_synchronize()
    assert names_on_remote() == ["middle", "south"]
    assert places_on_remote() == [("by the river", "middle"), ("on the hill", "south")]

    region.refresh_from_db()
    region.name = "centre"
    region.save()
    RegionSeen.objects.get(pk=other.pk).delete()
    call_synchronize()
    assert names_on_remote() == ["centre"]
    assert places_on_remote() == [("by the river", "centre")]
    kinds = set(ChangeLog.objects.values_list("content_type__model", flat=True))
    assert "regionseen" not in kinds


def test_rows_are_loaded_and_compared_once() -> None:
    seen = RegionSeen.objects.create(title="north")
    Depot.objects.create(place="by the river", region=seen)
    ChangeLog.objects.all().delete()

    done = {one.model: one.sent for one in load("remote")}
    assert names_on_remote() == ["north"]
    assert places_on_remote() == [("by the river", "north")]
    assert RegionSeen not in done
    assert {one.model for one in load("remote", [RegionSeen])} == {Region}
    Depot.objects.using("remote").update(place="elsewhere")
    results = {one.model: one for one in verify("remote")}
    assert RegionSeen not in results
    assert results[Region].equal == 1


@pytest.fixture
def depots_in_the_table_of_regions(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(Depot._meta, "db_table", "unwatched_region")
    forget_cached()
    yield
    monkeypatch.undo()
    forget_cached()


@pytest.mark.once
def test_models_that_do_not_know_each_others_columns_are_told_and_stop_a_run(
    depots_in_the_table_of_regions: None,
) -> None:
    (told,) = [one for one in check_models(None) if one.id == "synchro.E032" and one.obj is Region]
    assert "has the table of unwatched.Depot" in told.msg
    assert "does not know: name." in told.msg
    Region.objects.create(name="north")
    with pytest.raises(NotReady, match=r"columns that unwatched\.Depot does not know"):
        call_synchronize()


@pytest.mark.once
@isolate_apps("tests.unwatched")
def test_signals_about_an_automatic_table_do_not_tell_the_rows_of_its_model() -> None:
    class Pair(models.Model):
        group = models.ForeignKey("Group", models.CASCADE)
        member = models.ForeignKey("Member", models.CASCADE)

        class Meta:
            app_label = "unwatched"
            db_table = "unwatched_group_members"

    class Member(models.Model):
        class Meta:
            app_label = "unwatched"

    class Group(models.Model):
        members = models.ManyToManyField(Member, db_table="unwatched_group_members")

        class Meta:
            app_label = "unwatched"

    class Twin(models.Model):
        class Meta:
            app_label = "unwatched"
            db_table = "unwatched_group"

    through = Group._meta.get_field("members").remote_field.through
    assert "do not say which rows" in unseen_by_signals(Pair, through)
    assert "many-to-many fields of its own: members" in unseen_by_signals(Twin, Group)
    assert unseen_by_signals(Group, Twin) == ""
