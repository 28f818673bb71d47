"""
Deletions of rows that nothing but a natural key connects with REMOTE's, where methods of others make that key.

What the key is made of may be gone as well. Where it cannot be made any more, the deletion is refused by name: it must
not be passed over, since REMOTE would keep the row for good.
"""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType

from synchro.core import DisableSynchroLog, call_synchronize
from synchro.exceptions import Unidentified
from synchro.models import ChangeLog, SetAside
from tests.replay.deployments import (
    BY_TRIGGERS,
    REMOTE,
    create_on_remote,
    remote,
    remote_count,
    save_unlogged,
    unlogged,
    use_up_key_on_remote,
)
from tests.shop.models import Book, Edition, Publisher

pytestmark = pytest.mark.django_db(databases=["default", "remote"])


@pytest.fixture
def editions() -> list[Edition]:
    """The same on both sides, and nobody has ever said so."""
    use_up_key_on_remote(Publisher, name="x")
    publisher = Publisher(name="Acme")
    save_unlogged(publisher)
    book = Book(publisher=publisher, title="Maps")
    save_unlogged(book)
    found = [Edition(book=book, number=number, price=1) for number in (1, 2)]
    for edition in found:
        save_unlogged(edition)
    with unlogged(REMOTE):
        there = create_on_remote(Book, publisher=create_on_remote(Publisher, name="Acme"), title="Maps")
        for number in (1, 2):
            create_on_remote(Edition, book=there, number=number, price=2)
    return found


def test_deletion_finds_its_row_by_what_the_methods_make_of_its_columns(editions: list[Edition]) -> None:
    editions[0].delete()
    call_synchronize()

    assert remote(Edition).number == 2


@pytest.mark.parametrize("size", [1, 1000])
def test_deletion_finds_its_row_where_what_it_is_known_by_goes_too(
    editions: list[Edition], size: int, settings: Any
) -> None:
    settings.SYNCHRO_BATCH_SIZE = size
    other = create_on_remote(Book, publisher=remote(Publisher), title="Other")
    create_on_remote(Edition, book=other, number=1, price=2)

    editions[0].delete()
    Book.objects.get().delete()
    call_synchronize()

    assert remote(Edition).book == remote(Book) == other


def lose_natural_keys() -> None:
    """As in entries of triggers that an earlier release made."""
    ChangeLog.objects.update(natural_key=None)


def test_deletion_that_cannot_be_identified_stops_the_run_by_name(editions: list[Edition]) -> None:
    key = editions[0].pk
    editions[0].delete()
    lose_natural_keys()

    for _again in range(2):
        with pytest.raises(Unidentified, match=rf"shop\.Edition {key}: it was deleted on LOCAL"):
            call_synchronize()
    assert remote_count(Edition) == 2


def test_deletion_that_cannot_be_identified_is_quarantined(editions: list[Edition], quarantine: None) -> None:
    key = editions[0].pk
    editions[0].delete()
    lose_natural_keys()
    Publisher.objects.create(name="Other")

    assert call_synchronize().aside == 1
    assert remote(Publisher, name="Other")
    assert "nobody can say which row of REMOTE it was" in SetAside.objects.get().cause
    assert call_synchronize(retry=True).aside == 1
    assert remote_count(Edition) == 2

    # As docs/set-aside.md says:
    with unlogged(REMOTE):
        remote(Edition, number=1).delete()
    SetAside.objects.filter(
        content_type=ContentType.objects.get_for_model(Edition), object_id=str(key)
    ).delete()
    assert call_synchronize(retry=True).aside == 0


def test_natural_key_of_columns_that_was_not_written_down_stops_the_run_too(editions: list[Edition]) -> None:
    Edition.objects.all().delete()
    Book.objects.get().delete()
    ChangeLog.objects.filter(content_type__model="book").update(
        natural_key='["another", "form", "altogether"]'
    )

    with pytest.raises(Unidentified, match=r"shop\.Book \d+:"):
        call_synchronize()
    assert remote_count(Book) == 1


def test_method_that_raises_when_its_row_is_gone_is_named(editions: list[Edition], monkeypatch: Any) -> None:
    def natural_key(self: Edition) -> Any:
        raise LookupError("what it is known by")

    monkeypatch.setattr(Edition, "natural_key", natural_key)
    key = editions[0].pk
    editions[0].delete()

    with pytest.raises(Unidentified, match=rf"shop\.Edition {key}:"):
        call_synchronize()
    monkeypatch.undo()
    if BY_TRIGGERS:  # the columns are in the entry
        call_synchronize()
        assert remote(Edition).number == 2


def test_deletion_needs_no_natural_key_where_all_rows_of_remote_are_known(
    editions: list[Edition], settings: Any
) -> None:
    """An earlier batch, whose row was gone already, has taken REMOTE's row away with its reference."""
    for edition in editions:
        edition.price = 3
        edition.save()
    call_synchronize()
    settings.SYNCHRO_BATCH_SIZE = 1
    editions[0].price = 4
    editions[0].save()
    editions[0].delete()
    lose_natural_keys()

    call_synchronize()

    assert remote(Edition).number == 2


def test_row_that_was_made_again_keeps_its_row_on_remote(editions: list[Edition], settings: Any) -> None:
    settings.SYNCHRO_BATCH_SIZE = 1
    own = remote(Edition, number=1).pk
    editions[0].delete()
    Edition.objects.create(book=editions[1].book, number=1, price=5)

    call_synchronize()

    assert remote(Edition, number=1).pk == own
    assert remote(Edition, number=1).price == 5


def test_deletion_of_what_remote_never_had_needs_no_natural_key(
    editions: list[Edition], settings: Any
) -> None:
    """Neither within one batch nor in two of them, nor where both sides have forgotten each other's row."""
    born = Edition.objects.create(book=editions[0].book, number=3, price=1)
    born.delete()
    settings.SYNCHRO_BATCH_SIZE = 1
    lose_natural_keys()
    call_synchronize()

    known = Edition.objects.create(book=editions[0].book, number=4, price=1)
    call_synchronize()
    with DisableSynchroLog(), unlogged(REMOTE):
        remote(Edition, number=4).delete()
    known.delete()
    lose_natural_keys()
    call_synchronize()

    assert remote_count(Edition) == 2
