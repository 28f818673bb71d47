"""Whatever happens to sets on both sides, REMOTE ends up the same whichever way the batches go."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, TypeAlias

import pytest
from django.db import transaction
from django.db.models import Model
from django.test.utils import override_settings

from synchro.core import call_synchronize
from synchro.exceptions import SynchroError
from synchro.models import Conflict
from tests.replay.bulk_parts import noted_parts
from tests.replay.deployments import LOCAL, REMOTE, let_time_pass, other_side, unlogged
from tests.replay.histories.harness import call_quietly, in_groups, object_by_object, rolled_back
from tests.replay.hypothesis_settings import EXAMPLES
from tests.shop.models import Album, Artist, Country

pytestmark = pytest.mark.django_db(databases=["default", "remote"])

NAMES = "abcd"
LENGTH = 24
SEEDS = range(504, 504 + max(2, EXAMPLES // 4))

#: What REMOTE had after each run, and what came of the run.
Trace: TypeAlias = list[Any]


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


def run(trace: Trace) -> None:
    try:
        report = call_synchronize()
        came = [(m.model, m.added, m.changed, m.deleted, m.kept) for m in report.models]
    except SynchroError as error:
        came = [type(error).__name__]
    conflicts = Conflict.objects.values_list("content_type__model", "fields", "decision")
    trace.append((came, members(REMOTE), sorted(conflicts, key=str)))


def live(seed: int) -> Trace:
    """The same history for the same seed: what both sides do, and runs in both directions."""
    chance = random.Random(seed)
    trace: Trace = []
    for _ in range(LENGTH):
        what = chance.choices(["here", "there", "unlogged there", "run", "exchange"], [24, 1, 1, 10, 2])[0]
        if what == "run":
            run(trace)
        elif what == "here":
            for _time in range(chance.choice([1, 3, 6])):
                write(chance)
        else:
            let_time_pass(1)
            with other_side(), unlogged(LOCAL) if what == "unlogged there" else nullcontext():
                call_quietly() if what == "exchange" else write(chance)
            let_time_pass(1)
    run(trace)
    return trace


@contextmanager
def beginning_anew(batch_size: int, policy: str) -> Iterator[None]:
    settings = {"SYNCHRO_BATCH_SIZE": batch_size, "SYNCHRO_CONFLICT": policy}
    with transaction.atomic(using=LOCAL), override_settings(**settings), rolled_back():
        yield


def test_sets_arrive_in_bulk_just_as_any_other_way() -> None:
    in_bulk = 0
    for seed in SEEDS:
        chance = random.Random(seed)
        start = chance.choice([3, 5000]), chance.choice(["newer", "newer", "local", "remote"])
        with beginning_anew(*start), noted_parts() as parts:
            expected = live(seed)
            in_bulk += sum(Album.artists.through in part.named for part in parts.values())
        with beginning_anew(*start), object_by_object() if seed % 2 else in_groups():
            found = live(seed)

        assert found == expected, f"seed {seed}"
    assert in_bulk
