"""Whatever happens to sets on both sides, REMOTE ends up the same whichever way the batches go."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import transaction
from django.db.models import Model
from django.test.utils import override_settings

from tests.replay.deployments import LOCAL, REMOTE
from tests.replay.histories.harness import (
    Course,
    batches_in_bulk_where_every_way_ends_alike,
    decisions,
    rolled_back,
)
from tests.replay.hypothesis_settings import EXAMPLES
from tests.shop.models import Album, Artist, Country

pytestmark = pytest.mark.django_db(databases=["default", "remote"])

NAMES = "abcd"
SEEDS = range(504, 504 + max(2, EXAMPLES // 4))


def some(model: type[Model], chance: random.Random) -> Any:
    """The row with a name that is drawn, of the side that `default` is; it may have to be added."""
    name = chance.choice(NAMES)
    if model is Country:
        return Country.objects.get_or_create(code=name, defaults={"name": name})[0]
    return model._base_manager.filter(name=name).order_by("pk").first() or model._base_manager.create(
        name=name
    )


def write(chance: random.Random) -> None:
    """Change a set from one of its ends, or an object that has one."""
    album, artist = some(Album, chance), some(Artist, chance)
    match chance.choice(["add", "add", "remove", "set", "clear", "reverse", "countries", "rename", "delete"]):
        case "add":
            album.artists.add(artist, some(Artist, chance))
        case "remove":
            album.artists.remove(artist)
        case "set":
            album.artists.set([artist, some(Artist, chance)])
        case "clear":
            artist.album_set.clear()
        case "reverse":
            artist.album_set.add(album)
        case "countries":
            album.countries.add(some(Country, chance))
        case "rename":
            artist.save()
        case "delete":
            chance.choice([album, artist]).delete()


def members(alias: str) -> list[Any]:
    albums = Album.objects.using(alias)
    artists = albums.order_by("name", "artists__name").values_list("name", "artists__name")
    countries = albums.order_by("name", "countries").values_list("name", "countries")
    return [
        *artists,
        *countries,
        *Artist.objects.using(alias).order_by("name").values_list("name", flat=True),
    ]


def seen() -> list[Any]:
    return [members(REMOTE), decisions()]


def nothing(chance: random.Random) -> None:
    """Nothing here may be swapped."""


COURSE = Course(
    length=24,
    weights={"here": 24, "there": 1, "unlogged there": 1, "run": 10, "run there": 2},
    write_here=write,
    write_there=write,
    swap=nothing,
    seen=seen,
    pause=1,
    bursts=(1, 3, 6),
)


@contextmanager
def beginning_anew(chance: random.Random) -> Iterator[None]:
    settings = {
        "SYNCHRO_BATCH_SIZE": chance.choice([3, 5000]),
        "SYNCHRO_CONFLICT": chance.choice(["newer", "newer", "local", "remote"]),
    }
    with transaction.atomic(using=LOCAL), override_settings(**settings), rolled_back():
        yield


def test_sets_arrive_in_bulk_just_as_any_other_way() -> None:
    assert batches_in_bulk_where_every_way_ends_alike(
        SEEDS, beginning_anew, COURSE.live, wanted=Album.artists.through
    )
