"""A policy of its own: one class and one line in the registry decide about rows, members of sets and dependent rows."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from django.core.checks import run_checks

from synchro.core import call_synchronize
from synchro.models import Conflict
from synchro.replay.conflicts.policy import POLICIES, Policy
from synchro.replay.session import Session
from tests.replay.deployments import let_time_pass, other_side, remote, remote_count
from tests.shop.models import Album, Artist, Customer, Order

pytestmark = pytest.mark.django_db(databases=["default", "remote"])


class Older(Policy):
    """The earlier change wins."""

    def local_wins(self, session: Session, local_date: datetime, remote_date: datetime) -> bool:
        return local_date < remote_date


@pytest.fixture(autouse=True)
def _older(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    monkeypatch.setitem(POLICIES, "older", Older)
    settings.SYNCHRO_CONFLICT = "older"


@pytest.fixture
def vimes(db: None) -> Customer:
    """A customer that both sides have."""
    customer = Customer.objects.create(name="Vimes", cash=1)
    call_synchronize()
    let_time_pass()
    return customer


@pytest.mark.once
def test_system_check_knows_it() -> None:
    assert not [message for message in run_checks() if message.id == "synchro.E006"]


def test_it_decides_about_a_row(vimes: Customer) -> None:
    vimes.cash = 2
    vimes.save()
    let_time_pass()
    with other_side():
        Customer.objects.update(cash=3)
        Customer.objects.get().save()

    call_synchronize()

    assert remote(Customer).cash == 2
    assert Conflict.objects.get().decision == Conflict.LOCAL


def test_it_decides_about_a_member_of_a_set() -> None:
    album, artist = Album.objects.create(name="Blue"), Artist.objects.create(name="Joni")
    album.artists.add(artist)
    call_synchronize()
    let_time_pass()
    album.artists.remove(artist)
    let_time_pass()
    with other_side():
        album_there, artist_there = Album.objects.get(), Artist.objects.get()
        album_there.artists.remove(artist_there)
        album_there.artists.add(artist_there)

    call_synchronize()

    assert not remote(Album).artists.exists()
    assert Conflict.objects.get().decision == Conflict.LOCAL


def test_it_decides_about_a_row_that_depends_on_a_deleted_one(vimes: Customer) -> None:
    vimes.delete()
    let_time_pass()
    with other_side():
        Order.objects.create(customer=Customer.objects.get(), note="later")

    call_synchronize()

    assert (remote_count(Customer), remote_count(Order)) == (0, 0)
    assert Conflict.objects.get().decision == Conflict.LOCAL
