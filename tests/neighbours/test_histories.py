"""simple-history, auditlog, reversion."""

from __future__ import annotations

from typing import Any

import pytest
import reversion
from auditlog.models import LogEntry
from django.db import models
from django.db.migrations.state import ModelState
from django.db.migrations.writer import MigrationWriter
from reversion.models import Version

from django_spicy_id import SpicyBigIntegerField, SpicyIntegerField, resolve
from tests.neighbours.models import Author, Book, Parcel, Stop

pytestmark = pytest.mark.django_db


@pytest.fixture
def book() -> Book:
    return Book.objects.create(title="One", author=Author.objects.create(id=123456789, name="Ada"))


def test_every_save_and_deletion_is_a_row_of_the_history(book: Book) -> None:
    key = book.id
    book.title = "Two"
    book.save()
    book.delete()
    rows = list(Book.history.order_by("history_id"))
    assert [(row.id, row.title, row.author_id, row.history_type) for row in rows] == [
        (key, "One", "aut_8M0kX", "+"),
        (key, "Two", "aut_8M0kX", "~"),
        (key, "Two", "aut_8M0kX", "-"),
    ]
    assert Book.history.filter(id=key, author="aut_8M0kX").count() == 3
    assert rows[0].instance.id == key


def test_the_history_of_one_row_is_found_and_compared(book: Book) -> None:
    book.title = "Two"
    book.save()
    other = Book.objects.create(title="Else", author=book.author)
    assert [row.title for row in book.history.all()] == ["Two", "One"]
    assert [row.title for row in other.history.all()] == ["Else"]
    newest, oldest = book.history.all()
    assert [change.field for change in newest.diff_against(oldest).changes] == ["title"]
    assert newest.history_object == book
    assert Book.history.as_of(newest.history_date).get(id=book.id).title == "Two"


def test_sets_and_uuids_have_a_history(book: Book) -> None:
    book.readers.add(book.author)
    assert [one.author_id for one in book.history.first().readers.all()] == ["aut_8M0kX"]
    parcel = Parcel.objects.create(owner=book.author)
    parcel.weight = 3
    parcel.save()
    assert [(row.id, row.code, row.weight) for row in parcel.history.all()] == [
        (parcel.id, parcel.code, 3),
        (parcel.id, parcel.code, 0),
    ]


def test_a_history_has_columns_and_no_keys() -> None:
    field = Author.history.model._meta.get_field("id")
    assert type(field) is SpicyBigIntegerField
    assert type(Book.history.model._meta.get_field("id")) is SpicyIntegerField
    assert not Book.history.model._meta.get_field("id").has_default()
    assert (field.prefix, field.primary_key, field.unique) == ("aut", False, False)
    assert resolve("aut_8M0kX").model is Author
    text, _imports = MigrationWriter.serialize(ModelState.from_model(Author.history.model).fields["id"])
    assert text.startswith("django_spicy_id.fields.SpicyBigIntegerField(")
    assert isinstance(Author._meta.pk, models.BigAutoField)


def test_auditlog_finds_the_entries_of_a_row(book: Book) -> None:
    book.title = "Two"
    book.save()
    other = Book.objects.create(title="Else", author=book.author)
    entries = LogEntry.objects.get_for_object(book)
    assert [(entry.object_pk, entry.get_action_display()) for entry in entries] == [
        (book.id, "update"),
        (book.id, "create"),
    ]
    assert entries[0].changes_dict == {"title": ["One", "Two"]}
    assert entries[1].changes_dict["author"] == ["None", "aut_8M0kX"]
    assert LogEntry.objects.get_for_objects(Book.objects.filter(id=other.id)).get().object_pk == other.id
    assert book.author.log.get().object_pk == "aut_8M0kX"


def test_auditlog_writes_down_sets_and_uuids(book: Book) -> None:
    book.readers.add(book.author)
    assert LogEntry.objects.get_for_object(book).first().changes_dict["readers"]["objects"] == ["Ada"]
    parcel = Parcel.objects.create()
    assert LogEntry.objects.get_for_object(parcel).get().object_pk == parcel.id


@pytest.mark.parametrize("model", [Author, Book, Parcel])
def test_reversion_reverts_and_finds_what_is_gone(model: Any, book: Book) -> None:
    def make() -> Any:
        if model is Parcel:
            return Parcel.objects.create(owner=book.author)
        return model.objects.create(name="x") if model is Author else book

    with reversion.create_revision():
        kept = make()
        kept.save()
    with reversion.create_revision():
        gone = (
            Author.objects.create(name="y")
            if model is Author
            else model.objects.create(**({"title": "Gone", "author": book.author} if model is Book else {}))
        )
        gone.save()
    key = gone.pk
    gone.delete()
    assert Version.objects.get_for_object(kept).get().object_id == kept.pk
    assert [version.object_id for version in Version.objects.get_deleted(model)] == [key]
    Version.objects.get_deleted(model).get().revert()
    assert model.objects.filter(pk=key).exists()
    assert not Version.objects.get_deleted(model).exists()


def test_references_to_uuids_are_ids() -> None:
    stop = Stop.objects.create(parcel=Parcel.objects.create())
    assert Stop.objects.get(parcel_id=stop.parcel_id).parcel.id == stop.parcel_id
