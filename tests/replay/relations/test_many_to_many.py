"""Sets of related rows, changed from either end."""

from __future__ import annotations

from datetime import date

import pytest
from django.db import connections
from django.db.models.signals import m2m_changed

from synchro.backends import backend_for
from synchro.core import DisableSynchroLog, call_synchronize
from synchro.keys import key_fields
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import REMOTE, create_on_remote, remote, remote_count, use_up_key_on_remote
from tests.shop.models import Album, Artist, Band, Country, Membership
from tests.unwatched.models import Label

pytestmark = pytest.mark.django_db(databases=["default", "remote"])


@pytest.fixture(autouse=True)
def other_keys_on_remote(db: None) -> None:
    """So that a key of LOCAL that was not translated points at the wrong row or at none."""
    for number in range(3):
        use_up_key_on_remote(Artist, name=f"Other {number}")
    use_up_key_on_remote(Album, name="Other")
    use_up_key_on_remote(Band, name="Other")


def names_on_remote(album: str) -> set[str]:
    return set(remote(Album, name=album).artists.values_list("name", flat=True))


def test_rows_added_to_a_set_arrive() -> None:
    album = Album.objects.create(name="Blue")
    album.artists.add(Artist.objects.create(name="Joni"), Artist.objects.create(name="James"))

    call_synchronize()

    assert names_on_remote("Blue") == {"Joni", "James"}
    assert_same_rows()


def test_change_of_a_set_alone_arrives() -> None:
    album, artist = Album.objects.create(name="Blue"), Artist.objects.create(name="Joni")
    call_synchronize()

    album.artists.add(artist)
    call_synchronize()
    assert names_on_remote("Blue") == {"Joni"}

    album.artists.remove(artist)
    call_synchronize()
    assert names_on_remote("Blue") == set()


def test_set_that_is_cleared_or_replaced_arrives() -> None:
    joni, james, carole = (Artist.objects.create(name=name) for name in ("Joni", "James", "Carole"))
    blue, tapestry = Album.objects.create(name="Blue"), Album.objects.create(name="Tapestry")
    blue.artists.set([joni, james])
    tapestry.artists.set([carole, james])
    call_synchronize()

    blue.artists.set([james, carole])
    tapestry.artists.clear()
    call_synchronize()

    assert names_on_remote("Blue") == {"James", "Carole"}
    assert names_on_remote("Tapestry") == set()
    assert_same_rows()


def test_set_changed_from_the_other_end_arrives() -> None:
    joni = Artist.objects.create(name="Joni")
    blue, hejira = Album.objects.create(name="Blue"), Album.objects.create(name="Hejira")
    joni.album_set.add(blue, hejira)
    call_synchronize()
    assert_same_rows()

    joni.album_set.remove(blue)
    call_synchronize()
    assert names_on_remote("Hejira") == {"Joni"}
    assert names_on_remote("Blue") == set()

    joni.album_set.clear()
    call_synchronize()
    assert names_on_remote("Hejira") == set()


def test_set_of_rows_with_given_keys_arrives() -> None:
    album = Album.objects.create(name="Blue")
    album.countries.add(Country.objects.create(code="CA"), Country.objects.create(code="US"))
    call_synchronize()
    assert_same_rows()

    album.countries.remove(Country.objects.get(code="US"))
    call_synchronize()

    assert_same_rows()


def test_member_that_is_not_watched_is_created_first() -> None:
    album = Album.objects.create(name="Blue")
    album.labels.add(Label.objects.create(name="Reprise"))

    call_synchronize()

    assert remote(Album).labels.get().name == "Reprise"


def test_member_that_was_never_logged_is_created_first() -> None:
    album = Album.objects.create(name="Blue")
    with DisableSynchroLog():
        artist = Artist.objects.create(name="Joni")
    album.artists.add(artist)

    call_synchronize()

    assert names_on_remote("Blue") == {"Joni"}


def test_set_goes_with_its_row() -> None:
    album, artist = Album.objects.create(name="Blue"), Artist.objects.create(name="Joni")
    album.artists.add(artist)
    call_synchronize()

    album.delete()
    call_synchronize()
    assert Album.artists.through.objects.using(REMOTE).count() == 0

    album = Album.objects.create(name="Hejira")
    album.artists.add(artist)
    call_synchronize()
    artist.delete()
    call_synchronize()

    assert names_on_remote("Hejira") == set()
    assert_same_rows()


def test_set_of_a_row_with_remotes_own_member_keeps_it() -> None:
    """Another member was added on REMOTE, which LOCAL knows nothing of."""
    album = Album.objects.create(name="Blue")
    album.artists.add(Artist.objects.create(name="Joni"))
    call_synchronize()
    remote(Album).artists.add(create_on_remote(Artist, name="REMOTE's own"))

    album.artists.add(Artist.objects.create(name="James"))
    call_synchronize()

    assert {"Joni", "James"} <= names_on_remote("Blue")


def test_friends_are_friends_of_each_other() -> None:
    joni, james, carole = (Artist.objects.create(name=name) for name in ("Joni", "James", "Carole"))
    joni.friends.add(james, carole)
    call_synchronize()
    assert_same_rows()
    assert {one.name for one in remote(Artist, name="James").friends.all()} == {"Joni"}

    james.friends.remove(joni)
    call_synchronize()
    assert {one.name for one in remote(Artist, name="Joni").friends.all()} == {"Carole"}

    joni.friends.clear()
    call_synchronize()
    assert Artist.friends.through.objects.using(REMOTE).count() == 0


def test_who_follows_somebody_is_not_followed_back() -> None:
    joni, james = Artist.objects.create(name="Joni"), Artist.objects.create(name="James")
    joni.follows.add(james)
    james.follows.add(james)
    call_synchronize()

    assert [one.name for one in remote(Artist, name="Joni").follows.all()] == ["James"]
    assert {one.name for one in remote(Artist, name="James").followers.all()} == {"Joni", "James"}
    assert_same_rows()

    james.followers.remove(joni)
    call_synchronize()
    assert [one.name for one in remote(Artist, name="James").followers.all()] == ["James"]


def test_membership_with_columns_of_its_own_arrives_and_changes() -> None:
    band, joni, james = (
        Band.objects.create(name="The Band"),
        Artist.objects.create(name="Joni"),
        Artist.objects.create(name="James"),
    )
    membership = Membership.objects.create(band=band, artist=joni, since=date(1970, 1, 1), invited_by=james)
    call_synchronize()
    assert remote(Membership).invited_by.name == "James"
    assert [one.name for one in remote(Band).members.all()] == ["Joni"]

    membership.role = "piano"
    membership.save()
    call_synchronize()

    assert remote(Membership).role == "piano"
    assert_same_rows()


def test_membership_added_through_the_set_arrives() -> None:
    band, joni, james = (
        Band.objects.create(name="The Band"),
        Artist.objects.create(name="Joni"),
        Artist.objects.create(name="James"),
    )
    call_synchronize()

    band.members.add(joni, through_defaults={"role": "guitar"})
    james.band_set.add(band, through_defaults={"role": "drums"})
    call_synchronize()

    assert {one.role for one in Membership.objects.using(REMOTE)} == {"guitar", "drums"}
    assert_same_rows()


@pytest.mark.parametrize("way", ["remove", "clear", "clear from the other end", "set", "delete"])
def test_membership_removed_in_any_way_goes(way: str) -> None:
    band, joni = Band.objects.create(name="The Band"), Artist.objects.create(name="Joni")
    band.members.add(joni)
    call_synchronize()
    before = remote_count(Membership)

    match way:
        case "remove":
            band.members.remove(joni)
        case "clear":
            band.members.clear()
        case "clear from the other end":
            joni.band_set.clear()
        case "set":
            band.members.set([])
        case "delete":
            Membership.objects.get().delete()
    call_synchronize()

    assert before == 1
    assert remote_count(Membership) == 0


def test_same_artist_twice_in_one_band_stays_twice() -> None:
    """Rows of a through model of the project's own are rows like any other."""
    band, joni = Band.objects.create(name="The Band"), Artist.objects.create(name="Joni")
    Membership.objects.create(band=band, artist=joni, role="piano")
    Membership.objects.create(band=band, artist=joni, role="guitar")

    call_synchronize()
    call_synchronize()

    assert sorted(one.role for one in Membership.objects.using(REMOTE)) == ["guitar", "piano"]


def test_big_set_arrives_and_shrinks() -> None:
    album = Album.objects.create(name="Live Aid")
    artists = [Artist.objects.create(name=f"Artist {number}") for number in range(200)]
    album.artists.set(artists)
    call_synchronize()
    assert_same_rows()

    album.artists.remove(*artists[:150])
    call_synchronize()

    assert remote(Album).artists.count() == 50
    assert_same_rows()


@pytest.mark.usefixtures("all_receivers")
def test_who_listens_to_changes_of_a_set_hears_of_remotes() -> None:
    heard: list[tuple[str, str]] = []

    def listen(sender: object, using: str, action: str, **kwargs: object) -> None:
        if using == REMOTE and action.startswith("post"):
            heard.append((action, using))

    album, artist = Album.objects.create(name="Blue"), Artist.objects.create(name="Joni")
    album.artists.add(artist)
    m2m_changed.connect(listen, sender=Album.artists.through)
    try:
        call_synchronize()
        album.artists.remove(artist)
        call_synchronize()
    finally:
        m2m_changed.disconnect(listen, sender=Album.artists.through)

    assert heard == [("post_add", REMOTE), ("post_remove", REMOTE)]
    assert_same_rows()


def test_as_many_members_as_a_batch_can_name_are_looked_for() -> None:
    """PostgreSQL refused a list of so many pairs: its stack was too small for it."""
    album = Album.objects.create(name="known")
    artist = Artist.objects.create(name="known")
    album.artists.add(artist)
    through = Album.artists.through
    columns = [field.column for field in key_fields(through)]
    known, others = (album.pk, artist.pk), [(-number, number) for number in range(1, 20_000)]

    found = backend_for(connections["default"]).select(
        through._meta.db_table, columns, columns, [known, *others]
    )

    assert [tuple(row) for row in found] == [known]
