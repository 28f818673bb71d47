"""In a batch of which one model cannot go in bulk, the others still do, and all of it arrives."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.db.models.signals import post_save
from django.test.utils import override_settings

from synchro.core import DisableSynchroLog, call_synchronize
from synchro.models import CHANGE, M2M_CHANGE, ChangeLog
from synchro.replay.apply import batch
from tests.replay.apply.test_bulk import Ways, ways
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import LOCAL, REMOTE, remote, remote_count, unlogged, use_up_key_on_remote
from tests.replay.guests.test_other_rows import listening
from tests.shop.models import (
    Album,
    Artist,
    Band,
    Country,
    Customer,
    Measurement,
    Membership,
    Order,
    Passport,
    Profile,
    Seat,
    Tag,
    Visa,
    Warehouse,
)

__all__ = ["ways"]

pytestmark = pytest.mark.django_db(databases=["default", "remote"])


def test_rows_of_both_kinds_point_at_each_other(ways: Ways) -> None:
    """A passport's key is its customer's, so passports go by themselves; the others, but for countries, in bulk."""
    for _time in range(3):
        use_up_key_on_remote(Customer)
    for name in ("Vimes", "Carrot"):
        customer = Customer.objects.create(name=name)
        Order.objects.create(customer=customer)
        passport = Passport.objects.create(customer=customer)
        Visa.objects.create(passport=passport, country=Country.objects.create(code=name))
    first = call_synchronize()
    assert_same_rows()
    Customer.objects.get(name="Vimes").delete()
    Country.objects.filter(code="Vimes").delete()
    second = call_synchronize()

    assert_same_rows()
    assert ways.models[0] == {Customer, Order, Visa}
    added = {each.model: each.added for each in first.models}
    assert added == dict.fromkeys(
        ("shop.Customer", "shop.Order", "shop.Passport", "shop.Country", "shop.Visa"), 2
    )
    assert {each.model: each.deleted for each in second.models} == dict.fromkeys(added, 1)


def test_one_model_whose_unique_values_are_swapped_leaves_the_others_in_bulk(ways: Ways) -> None:
    one, two = (Seat.objects.create(number=number) for number in (1, 2))
    call_synchronize()
    Seat.objects.filter(pk=one.pk).update(number=3)
    two.number = 1
    two.save()
    one.number = 2
    one.save()
    Warehouse.objects.create(name="Ankh")
    Measurement.objects.create(short="Morpork")

    call_synchronize()

    assert_same_rows(Seat)
    assert_same_rows(Warehouse)
    assert ways.models[-1] == {Warehouse, Measurement}


def test_what_remote_lacks_comes_along_and_is_not_written_twice(ways: Ways) -> None:
    with DisableSynchroLog():
        lost = Customer.objects.create(name="lost")
    Customer.objects.create(name="known")
    Passport.objects.create(customer=lost)
    Warehouse.objects.create(name="Ankh")

    report = call_synchronize()

    assert_same_rows()
    assert {each.model: each.added for each in report.models}["shop.Customer"] == 2
    assert ways.models[-1] == {Warehouse}


def test_set_of_objects_that_are_new_in_bulk_arrives(ways: Ways) -> None:
    use_up_key_on_remote(Artist)
    artists = [Artist.objects.create(name=name) for name in ("a", "b")]
    album = Album.objects.create(name="new")
    album.artists.set(artists)

    call_synchronize()

    assert {artist.name for artist in remote(Album).artists.all()} == {"a", "b"}
    assert ways.models[-1] >= {Artist, Album}


@pytest.mark.usefixtures("all_receivers")
@pytest.mark.parametrize("is_captured", [True, False])
def test_rows_in_bulk_that_receivers_write_to_end_as_local_has_them(ways: Ways, is_captured: bool) -> None:
    warehouse = Warehouse.objects.create(name="first")
    call_synchronize()
    warehouse.name = "second"
    warehouse.save()
    Seat.objects.create(number=1)
    Measurement.objects.create(short="Ankh")

    def rename(using: str, **_kwargs: Any) -> None:
        if using == REMOTE and is_captured:
            Warehouse.objects.using(using).update(name="by a receiver")
        elif using == REMOTE:
            with DisableSynchroLog():
                Warehouse.objects.using(using).update(name="by a receiver")

    with listening(rename, post_save, Seat):
        call_synchronize()

    assert remote(Warehouse).name == "second"
    assert ways.models[-1] == {Measurement}


@pytest.mark.usefixtures("all_receivers")
def test_row_in_bulk_that_a_receiver_has_made_already_is_that_row(ways: Ways) -> None:
    """A unique column tells that it is the same."""

    def add_profile(instance: Any, using: str, created: bool, **_kwargs: Any) -> None:
        if created:
            Profile.objects.using(using).get_or_create(customer=instance)

    with listening(add_profile, post_save, Customer):
        Customer.objects.create(name="Vimes")
        Warehouse.objects.create(name="Ankh")
        call_synchronize()

    assert remote_count(Profile) == 1
    assert_same_rows()
    assert ways.models[-1] == {Warehouse}


def test_model_that_remote_has_news_of_leaves_the_others_in_bulk(ways: Ways) -> None:
    seat = Seat.objects.create(number=1)
    call_synchronize()
    with unlogged(REMOTE):
        Seat.objects.using(REMOTE).update(guest="unseen")
    log_on_remote(remote(Seat))
    seat.row = "R"
    seat.save(update_fields=["row"])
    Warehouse.objects.create(name="Ankh")

    call_synchronize()

    assert (remote(Seat).row, remote(Seat).guest) == ("R", "unseen")
    assert ways.models[-1] == {Warehouse}


def log_on_remote(row: Any) -> None:
    kind = ContentType.objects.db_manager(REMOTE).get_for_model(type(row))
    ChangeLog.objects.using(REMOTE).create(
        content_type_id=kind.pk, object_id=row.pk, action=CHANGE, fields=("guest",)
    )


@pytest.mark.parametrize("rounds", [batch.ROUNDS, 0])
def test_row_that_points_elsewhere_unlogged_does_not_go_with_what_it_pointed_at(
    monkeypatch: pytest.MonkeyPatch, rounds: int
) -> None:
    """The entry of the row names another column, and the row that it pointed at is deleted in the same batch."""
    monkeypatch.setattr(batch, "ROUNDS", rounds)
    gone, kept = (Customer.objects.create(name=name) for name in ("gone", "kept"))
    order = Order.objects.create(customer=gone)
    call_synchronize()
    with unlogged(LOCAL):
        Order.objects.update(customer=kept)
    order.refresh_from_db()
    order.note = "changed"
    order.save(update_fields=["note"])
    gone.delete()

    call_synchronize()

    assert_same_rows(Customer)
    assert_same_rows(Order)
    assert remote_count(Order) == 1


def test_row_that_a_later_batch_makes_again_stays_the_same_row_on_remote(ways: Ways) -> None:
    """Known by its natural key; what REMOTE alone has of it would be lost with it."""
    tag = Tag.objects.create(word="oak")
    call_synchronize()
    there = remote(Tag).pk
    tag.delete()
    Tag.objects.create(word="oak", note="again")
    ways.parts.clear()

    with override_settings(SYNCHRO_BATCH_SIZE=1):
        call_synchronize()

    assert (remote(Tag).pk, remote(Tag).note) == (there, "again")
    assert len(ways.models) == 2


def test_pairs_of_a_set_whose_table_is_a_models_by_now_never_go_in_bulk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are no keys of the model's rows."""
    band, artist = Band.objects.create(name="Music With Rocks In"), Artist.objects.create(name="Buddy")
    call_synchronize()
    with unlogged(LOCAL):
        Membership.objects.create(band=band, artist=artist)
    ChangeLog.objects.create(
        content_type_id=ContentType.objects.get_for_model(Band).pk,
        object_id=band.pk,
        action=M2M_CHANGE,
        fields=("members",),
        members=f'["{artist.pk}"]',
    )
    tried: list[type[Model]] = []

    def note(*args: Any) -> Any:
        tried.extend(args[3].bulk.named)
        return original(*args)

    original = batch.apply_batch
    monkeypatch.setattr(batch, "apply_batch", note)

    call_synchronize()

    assert remote_count(Membership) == 1
    assert Membership not in tried
