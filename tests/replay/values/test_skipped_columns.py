"""Columns named by ``SYNCHRO_SKIP``: the default on creation, REMOTE's own value ever after."""

from __future__ import annotations

import pytest

from synchro.core import call_synchronize
from synchro.models import ChangeLog
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import create_on_remote, remote
from tests.shop.models import Country, Publisher

pytestmark = pytest.mark.django_db(databases=["default", "remote"])


def test_skipped_column_of_a_new_row_has_its_default() -> None:
    Country.objects.create(code="PL", visits=42)

    call_synchronize()

    assert remote(Country).visits == 0
    assert Country.objects.get().visits == 42


def test_skipped_column_keeps_remotes_own_value_when_the_row_changes() -> None:
    country = Country.objects.create(code="PL", name="Polska")
    call_synchronize()
    Country.objects.using("remote").update(visits=42)

    country.name, country.visits = "Poland", 7
    country.save()
    call_synchronize()

    assert (remote(Country).name, remote(Country).visits) == ("Poland", 42)
    assert_same_rows()


def test_skipped_column_keeps_remotes_own_value_when_the_row_is_found_by_its_natural_key() -> None:
    create_on_remote(Publisher, name="Gollancz", visits=5)
    Publisher.objects.create(name="Gollancz", city="London", visits=42)

    call_synchronize()

    assert (remote(Publisher).city, remote(Publisher).visits) == ("London", 5)


def test_change_of_skipped_columns_only_is_not_logged() -> None:
    country = Country.objects.create(code="PL")
    before = ChangeLog.objects.count()

    country.visits = 3
    country.save(update_fields=["visits"])

    assert ChangeLog.objects.count() == before
