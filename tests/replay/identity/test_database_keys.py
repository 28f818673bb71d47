"""Keys that are no values when an object is saved: the database makes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db.models import F, Value
from django.db.models.functions import Concat
from django.test import override_settings

from synchro.core import call_synchronize
from synchro.exceptions import Uncaptured
from synchro.models import ChangeLog
from tests.guests.models import Document, Food, Offer, Page, Reading
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import BY_TRIGGERS, REMOTE, remote, watching

pytestmark = pytest.mark.django_db(databases=["default", "remote"])


@pytest.fixture(scope="module", autouse=True)
def watched(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    with watching(django_db_blocker, "guests"):
        yield


def test_key_that_the_database_makes_is_logged_and_arrives() -> None:
    Document.objects.create(name="made")

    call_synchronize()

    assert remote(Document).pk == Document.objects.get().pk
    assert {entry.object_id for entry in ChangeLog.objects.all()} == {Document.objects.get().pk}
    assert_same_rows(Document)


def test_part_of_a_composite_key_that_the_database_makes_arrives() -> None:
    Reading.objects.create(shelf=1, name="made")
    Reading.objects.create(shelf=1, number="given", name="given")

    call_synchronize()

    rows = [set(Reading.objects.using(alias).values_list("pk", "name")) for alias in ("default", REMOTE)]
    assert len(rows[0]) == 2
    assert rows[0] == rows[1]


def test_object_with_a_key_of_the_database_can_be_changed_pointed_at_and_deleted() -> None:
    Document.objects.create(name="kept")
    Document.objects.create(name="gone")
    kept, gone = (Document.objects.get(name=name) for name in ("kept", "gone"))
    Page.objects.create(document=kept)
    call_synchronize()

    kept.name = "changed"
    kept.save()
    gone.delete()
    call_synchronize()

    assert remote(Document).name == "changed"
    assert_same_rows(Document, Page)


def test_key_that_is_an_expression_is_asked_for() -> None:
    Document.objects.create(pk=Concat(Value("a"), Value("b")), name="computed")

    call_synchronize()

    assert remote(Document).pk == "ab"


@pytest.mark.skipif(BY_TRIGGERS, reason="triggers see the value")
def test_key_that_cannot_be_asked_for_is_refused_before_the_row_is_written() -> None:
    with pytest.raises(Uncaptured, match=r"guests\.Document: its key id is an expression"):
        Document(pk=Concat(F("name"), Value("x")), name="computed").save()

    assert not Document.objects.exists()
    assert not ChangeLog.objects.exists()


def test_nobody_is_asked_where_nothing_is_captured(django_assert_num_queries: Any) -> None:
    with override_settings(SYNCHRO_MODELS=[]):
        Food.objects.create(name="bread")
        with django_assert_num_queries(1):
            Offer.objects.create(name="summer")
