"""One side added a member to a set, the other removed it: who wins, and what is kept of that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connections
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from synchro.core import DisableSynchroLog, call_synchronize
from synchro.models import ChangeLog, Conflict
from synchro.replay.signals import step
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import (
    LOCAL,
    REMOTE,
    capture,
    captured_alike_or,
    let_time_pass,
    other_side,
    remote,
    synchronize_there,
    use_up_key_on_remote,
)
from tests.replay.histories.harness import rolled_back, run_until_quiet
from tests.replay.hypothesis_settings import modest
from tests.shop.models import Album, Artist, Country

pytestmark = pytest.mark.django_db(databases=["default", "remote"])


@pytest.fixture(scope="module", params=["alike", "mixed"], autouse=True)
def _captured(request: Any, django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Both sides capture in the same way, or one by signals and the other by triggers."""
    with captured_alike_or(request.param, django_db_blocker, "Album", "Artist", "Country"):
        yield


@pytest.fixture(autouse=True)
def other_keys_on_remote(db: None) -> None:
    for model in (Album, Artist):
        use_up_key_on_remote(model, name="gone")


@pytest.fixture
def blue(db: None) -> Album:
    """An album in whose set both sides have Joni."""
    album = Album.objects.create(name="Blue")
    album.artists.add(Artist.objects.create(name="Joni"))
    call_synchronize()
    let_time_pass()
    return album


def put(state: str, name: str = "Joni", far_end: bool = False) -> None:
    """
    Have this side change whether Joni is in the set of “Blue”, so that in the end she is `state`; from her end, if
    asked for.
    """
    album, artist = Album.objects.get(name="Blue"), Artist.objects.get(name=name)
    members: Any = artist.album_set if far_end else album.artists
    member = album if far_end else artist
    if state == "in":
        members.remove(member)
        members.add(member)
    else:
        members.add(member)
        members.remove(member)
    let_time_pass()


def put_there(state: str, name: str = "Joni") -> None:
    with other_side():
        put(state, name)


def state(album: Album) -> str:
    return "in" if album.artists.filter(name="Joni").exists() else "out"


@pytest.mark.parametrize("here", ["in", "out"])
@pytest.mark.parametrize(
    ("policy", "later", "winner"),
    [
        ("newer", "here", "local"),
        ("newer", "there", "remote"),
        ("local", "there", "local"),
        ("remote", "here", "remote"),
        (lambda *arguments: "remote", "here", "local"),
    ],
)
def test_decision_is_kept_whoever_wins(
    blue: Album, settings: Any, policy: str, later: str, winner: str, here: str
) -> None:
    settings.SYNCHRO_CONFLICT = policy
    there = "out" if here == "in" else "in"
    if later == "here":
        put_there(there)
    put(here)
    if later == "there":
        put_there(there)

    report = call_synchronize()

    assert state(remote(Album)) == (here if winner == "local" else there)
    assert report.conflicts == 1
    conflict = Conflict.objects.get()
    assert conflict.content_type == ContentType.objects.get_for_model(Album)
    assert (conflict.object_id, conflict.fields, conflict.batch) == (str(blue.pk), ("artists",), 2)
    joni, joni_there = Artist.objects.get().pk, remote(Artist).pk
    assert joni != joni_there
    assert json.loads(conflict.local_values or "") == {"artists": {here: joni}}
    assert json.loads(conflict.remote_values or "") == {"artists": {there: joni_there}}
    assert (conflict.local_date > conflict.remote_date) == (later == "here")
    assert conflict.decision == winner


@pytest.mark.once
@pytest.mark.parametrize("first_here", [True, False])
@pytest.mark.parametrize("later", ["here", "there"])
@pytest.mark.parametrize("here", ["in", "out"])
def test_both_sides_end_alike_and_only_the_first_to_run_records_it(
    blue: Album, here: str, later: str, first_here: bool
) -> None:
    there = "out" if here == "in" else "in"
    if later == "here":
        put_there(there)
    put(here)
    if later == "there":
        put_there(there)

    runs = [call_synchronize, synchronize_there]
    for run in (runs if first_here else runs[::-1]) * 2:
        run()

    assert state(blue) == state(remote(Album)) == (here if later == "here" else there)
    assert_same_rows()
    assert [Conflict.objects.using(alias).count() for alias in (LOCAL, REMOTE)] == [
        first_here,
        not first_here,
    ]


@pytest.mark.once
@pytest.mark.parametrize("first_here", [True, False])
def test_member_that_one_side_added_and_the_other_removed_again_later_is_out_on_both(
    blue: Album, first_here: bool
) -> None:
    Artist.objects.create(name="James")
    call_synchronize()
    put("in", "James")
    put_there("out", "James")

    runs = [call_synchronize, synchronize_there]
    for run in (runs if first_here else runs[::-1]) * 2:
        run()

    assert blue.artists.get().name == "Joni"
    assert_same_rows()


@pytest.mark.once
@pytest.mark.parametrize("both", ["in", "out"])
def test_same_change_on_both_sides_is_no_conflict(blue: Album, both: str) -> None:
    put(both)
    put_there(both)

    call_synchronize()
    synchronize_there()

    assert state(blue) == state(remote(Album)) == both
    assert not Conflict.objects.exists()
    assert not Conflict.objects.using(REMOTE).exists()


@pytest.mark.once
def test_change_of_another_member_is_no_conflict(blue: Album) -> None:
    Artist.objects.create(name="James")
    call_synchronize()
    put_there("out", "James")
    put("out")

    call_synchronize()

    assert state(remote(Album)) == "out"
    assert not Conflict.objects.exists()


@pytest.mark.once
def test_what_is_on_record_is_not_recorded_again(blue: Album) -> None:
    put_there("out")
    for here in ("in", "out", "in"):
        put(here)
        call_synchronize()

    assert state(remote(Album)) == "in"
    assert Conflict.objects.count() == 1


@pytest.mark.once
def test_later_change_that_wins_after_one_that_lost_is_on_record_too(blue: Album) -> None:
    put("in")
    put_there("out")
    call_synchronize()
    put("in")
    call_synchronize()

    assert state(remote(Album)) == "in"
    decisions = Conflict.objects.order_by("id").values_list("decision", flat=True)
    assert list(decisions) == [Conflict.REMOTE, Conflict.LOCAL]


def test_friendship_is_one_conflict_though_it_has_two_rows() -> None:
    joni, james = Artist.objects.create(name="Joni"), Artist.objects.create(name="James")
    joni.friends.add(james)
    call_synchronize()
    let_time_pass()
    james.friends.remove(joni)
    let_time_pass()
    with other_side():
        one = Artist.objects.get(name="James")
        other = Artist.objects.get(name="Joni")
        one.friends.remove(other)
        one.friends.add(other)

    report = call_synchronize()

    assert remote(Artist, name="Joni").friends.get().name == "James"
    assert report.conflicts == 1
    conflict = Conflict.objects.get()
    assert (conflict.object_id, conflict.fields) == (str(joni.pk), ("friends",))
    assert json.loads(conflict.local_values or "") == {"friends": {"out": james.pk}}


@pytest.mark.once
def test_set_changed_from_the_other_end_is_filed_under_its_own_object(blue: Album) -> None:
    put_there("out")
    artist = Artist.objects.get()
    artist.album_set.remove(blue)
    artist.album_set.add(blue)

    call_synchronize()

    conflict = Conflict.objects.get()
    assert (conflict.object_id, conflict.fields) == (str(blue.pk), ("artists",))
    assert conflict.decision == Conflict.LOCAL


def test_member_with_a_given_key_is_named_by_it() -> None:
    album = Album.objects.create(name="Blue")
    canada = Country.objects.create(code="CA")
    call_synchronize()
    let_time_pass()
    with other_side():
        found = Album.objects.get()
        found.countries.add("CA")
        found.countries.remove("CA")
    let_time_pass()
    album.countries.add(canada)

    call_synchronize()

    assert_same_rows()
    conflict = Conflict.objects.get()
    assert (conflict.local_values, conflict.remote_values) == (
        '{"countries": {"in": "CA"}}',
        '{"countries": {"out": "CA"}}',
    )


@pytest.mark.once
def test_change_of_a_set_whose_object_is_deleted_loses_to_the_deletion(blue: Album) -> None:
    put("out")
    blue.delete()
    put_there("in")

    call_synchronize()

    assert not Album.objects.using(REMOTE).exists()
    assert Conflict.objects.get().decision == Conflict.LOCAL


@pytest.mark.once
def test_callable_is_asked_about_a_row_whatever_was_decided_about_its_set(blue: Album, settings: Any) -> None:
    settings.SYNCHRO_CONFLICT = lambda *arguments: "remote"
    with other_side():
        rename("Bluer")
        rename("Blue")
    put_there("out")
    put("in")
    call_synchronize()
    blue.delete()

    call_synchronize()

    assert remote(Album).name == "Blue"
    decisions = Conflict.objects.order_by("id").values_list("decision", flat=True)
    assert list(decisions) == [Conflict.LOCAL, Conflict.REMOTE]


@pytest.mark.once
def test_set_and_merged_row_of_one_object_are_on_record_once_though_the_batch_is_repeated(
    blue: Album, settings: Any
) -> None:
    settings.SYNCHRO_CONFLICT = lambda *arguments: {"name": "Bluest"}
    put_there("out")
    put("in")
    rename("Bluer")
    with other_side():
        rename("Blueish")

    step.connect(fail)
    try:
        with pytest.raises(Failed):
            call_synchronize()
    finally:
        step.disconnect(fail)
    assert Conflict.objects.count() == 2
    report = call_synchronize()

    assert report.conflicts == 2
    assert remote(Album).name == "Bluest"
    assert sorted(Conflict.objects.values_list("decision", flat=True)) == [Conflict.LOCAL, Conflict.MERGED]


def rename(name: str) -> None:
    album = Album.objects.get()
    album.name = name
    album.save()
    let_time_pass()


class Failed(Exception):
    """The process came to its end."""


def fail(step: str, **kwargs: Any) -> None:
    if step == "recorded":
        raise Failed


def test_as_many_statements_for_many_disputes_as_for_few() -> None:
    blue = Album.objects.create(name="Blue")
    counts = []
    for number in (2, 30):
        artists = [Artist.objects.create(name=f"{number}-{place}") for place in range(number)]
        call_synchronize()
        let_time_pass()
        with other_side():
            there = Album.objects.get().artists
            there.add(*Artist.objects.filter(name__startswith=f"{number}-"))
            there.remove(*Artist.objects.filter(name__startswith=f"{number}-"))
        let_time_pass()
        blue.artists.add(*artists)
        with (
            CaptureQueriesContext(connections["default"]) as here,
            CaptureQueriesContext(connections[REMOTE]) as queries_there,
        ):
            assert call_synchronize().conflicts == number
        counts.append([about_rows_and_conflicts(queries) for queries in (here, queries_there)])

    assert counts[0] == counts[1]


def about_rows_and_conflicts(queries: CaptureQueriesContext) -> int:
    return sum("shop_" in query["sql"] or "synchro_conflict" in query["sql"] for query in queries)


def change_sets(what: str, a: int, b: int) -> None:
    albums, artists = list(Album.objects.order_by("pk")), list(Artist.objects.order_by("pk"))
    album, artist, other = albums[a % len(albums)], artists[a // 2 % len(artists)], artists[b % len(artists)]
    match what:
        case "add":
            album.artists.add(other)
        case "remove":
            other.album_set.remove(album)
        case "clear":
            album.artists.clear()
        case "clear from the other end":
            other.album_set.clear()
        case "befriend" if artist != other:
            artist.friends.add(other)
        case "part":
            artist.friends.remove(other)
        case "part from all":
            artist.friends.clear()
        case "born":
            album.artists.add(Artist.objects.create(name=f"{a}"))
        case "delete" if artist.name != "a" and {*capture.values()} == {"triggers"}:  # docs/limits.md
            artist.delete()
        case "synchronize":
            call_synchronize()


DEEDS = (
    *("add", "remove", "clear", "clear from the other end", "befriend", "part", "part from all"),
    *("born", "delete", "synchronize"),
)
NUMBERS = st.integers(0, 3)


@pytest.mark.once
@modest
@given(st.lists(st.tuples(st.booleans(), st.sampled_from(DEEDS), NUMBERS, NUMBERS), max_size=40))
def test_sets_that_two_sides_change_meet_and_nothing_is_recorded_twice(
    history: list[tuple[bool, str, int, int]],
) -> None:
    with rolled_back():
        for name in "ab":
            Album.objects.create(name=name).artists.add(Artist.objects.create(name=name))
        call_synchronize()
        for is_here, what, a, b in history:
            with nullcontext() if is_here else other_side():
                change_sets(what, a, b)
        run_until_quiet()

        assert_same_rows()
        for alias in (LOCAL, REMOTE):
            found = Conflict.objects.using(alias).values_list(
                "object_id", "fields", "local_values", "remote_values", "local_date", "remote_date"
            )
            assert len(found) == len(set(found))


# -- entries that do not name the members: clear(), where LOCAL captures by signals ------------------------------


@pytest.fixture
def by_signals() -> None:
    if capture[LOCAL] == "triggers":
        pytest.skip("triggers name each member")


@pytest.mark.usefixtures("by_signals")
def test_member_that_only_remote_has_is_on_record_by_its_key_there(blue: Album) -> None:
    with other_side():
        Album.objects.get().artists.add(*(Artist.objects.create(name=name) for name in ("James", "Carole")))
    let_time_pass()
    blue.artists.clear()

    report = call_synchronize()

    assert not remote(Album).artists.exists()
    assert report.conflicts == 2
    assert {conflict.local_values for conflict in Conflict.objects.all()} == {'{"artists": {"out": null}}'}
    newcomers = Artist.objects.using(REMOTE).exclude(name="Joni")
    there = {conflict.remote_values for conflict in Conflict.objects.all()}
    assert there == {f'{{"artists": {{"in": {one.pk}}}}}' for one in newcomers}


@pytest.mark.once
@pytest.mark.usefixtures("by_signals")
def test_set_of_an_object_that_only_remote_has_is_on_record_under_the_member(blue: Album) -> None:
    with other_side():
        Album.objects.create(name="Hejira").artists.add(Artist.objects.get())
    let_time_pass()
    joni = Artist.objects.get()
    joni.album_set.clear()

    call_synchronize()

    conflict = Conflict.objects.get()
    assert conflict.content_type == ContentType.objects.get_for_model(Artist)
    assert (conflict.object_id, conflict.fields) == (str(joni.pk), ("shop.Album.artists",))
    hejira = remote(Album, name="Hejira")
    assert conflict.remote_values == f'{{"shop.Album.artists": {{"in": {hejira.pk}}}}}'


@pytest.mark.once
@pytest.mark.usefixtures("by_signals")
@pytest.mark.parametrize("first_here", [True, False])
def test_set_that_remote_cleared_later_is_empty_whoever_runs_first(blue: Album, first_here: bool) -> None:
    if capture[REMOTE] == "triggers":
        pytest.skip("triggers name each member")
    blue.artists.add(Artist.objects.create(name="James"))
    let_time_pass()
    with other_side():
        Album.objects.get().artists.clear()

    runs = [call_synchronize, synchronize_there]
    for run in (runs if first_here else runs[::-1]) * 2:
        run()

    assert not blue.artists.exists()
    assert not remote(Album).artists.exists()


@pytest.mark.once
@pytest.mark.usefixtures("by_signals")
def test_other_set_cleared_later_decides_nothing(settings: Any) -> None:
    """An album and an artist may have the same key."""
    settings.SYNCHRO_IDENTITY = "pk"
    album = Album.objects.create(pk=1, name="Blue")
    other = Album.objects.create(pk=2, name="Hejira")
    artist = Artist.objects.create(pk=other.pk, name="Joni")
    album.artists.add(artist)
    call_synchronize()
    let_time_pass()
    album.artists.clear()
    let_time_pass()
    put_there("in")
    other.artists.clear()

    call_synchronize()

    assert state(remote(Album, name="Blue")) == "in"
    assert Conflict.objects.get().decision == Conflict.REMOTE


@pytest.mark.once
@pytest.mark.usefixtures("by_signals")
def test_set_of_a_new_object_that_was_cleared_and_filled_unseen_arrives(blue: Album) -> None:
    carole = Artist.objects.create(name="Carole")
    carole.album_set.add(blue)
    carole.album_set.clear()
    with DisableSynchroLog():
        carole.album_set.add(blue)
    ChangeLog.objects.exclude(members=None).delete()

    call_synchronize()

    assert_same_rows()


@pytest.mark.parametrize("policy", ["local", "remote"])
@pytest.mark.parametrize("far_end", [False, True])
@pytest.mark.parametrize("first_here", [True, False])
@pytest.mark.parametrize("here", ["in", "out"])
def test_policy_of_the_model_that_declares_the_set_decides_from_either_end(
    blue: Album, monkeypatch: pytest.MonkeyPatch, policy: str, far_end: bool, first_here: bool, here: str
) -> None:
    monkeypatch.setattr(Album, "SYNCHRO_CONFLICT", policy, raising=False)
    monkeypatch.setattr(Artist, "SYNCHRO_CONFLICT", "newer", raising=False)
    there = "out" if here == "in" else "in"
    if not first_here:
        put_there(there)
    put(here, far_end=far_end)
    if first_here:
        put_there(there)

    call_synchronize()

    assert state(remote(Album)) == (here if policy == "local" else there)
    assert Conflict.objects.get().decision == policy
