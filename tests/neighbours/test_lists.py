"""import-export, tables2, polymorphic, mptt, taggit, and the admin of each."""

from __future__ import annotations

from typing import Any

import django_tables2
import pytest
import tablib
from django.contrib.auth.models import User
from django.test import Client, RequestFactory
from import_export import resources
from taggit.models import Tag

from tests.neighbours.models import Animal, Author, Book, Cat, Dog, Parcel, Shelf

pytestmark = pytest.mark.django_db


class AuthorResource(resources.ModelResource):
    class Meta:
        model = Author
        fields = ("id", "name")


class BookResource(resources.ModelResource):
    class Meta:
        model = Book
        fields = ("id", "title", "author", "editor", "readers")


class ParcelResource(resources.ModelResource):
    class Meta:
        model = Parcel
        fields = ("id", "code", "owner", "weight")
        import_id_fields = ("code",)


@pytest.fixture
def ada() -> Author:
    return Author.objects.create(id=123456789, name="Ada")


@pytest.fixture
def client() -> Client:
    user = User.objects.create_superuser("root", password="root")
    client = Client()
    client.force_login(user)
    return client


@pytest.mark.parametrize("form", ["csv", "json", "yaml", "xlsx"])
def test_importing_an_export_changes_the_same_rows(ada: Author, form: str) -> None:
    one = Book.objects.create(title="One", author=ada, editor=ada)
    one.readers.add(ada)
    Book.objects.create(title="Two", author=ada)
    exported = BookResource().export(Book.objects.order_by("title"))
    assert exported["id"] == list(Book.objects.order_by("title").values_list("id", flat=True))
    assert (exported["author"], exported["editor"]) == (["aut_8M0kX"] * 2, ["aut_8M0kX", ""])
    assert exported["readers"] == ["aut_8M0kX", ""]
    if form == "xlsx":
        pytest.importorskip("openpyxl")
    text = exported.export(form)
    Book.objects.update(title="Changed")
    result = BookResource().import_data(tablib.Dataset().load(text, format=form), raise_errors=True)
    assert result.totals["update"] == 2
    assert result.totals["new"] == 0
    assert sorted(Book.objects.values_list("title", flat=True)) == ["One", "Two"]
    assert Book.objects.get(title="One").readers.get() == ada


def test_an_empty_id_is_a_new_row_and_a_wrong_one_an_error(ada: Author) -> None:
    rows = tablib.Dataset(["", "Bob"], ["aut_8M0kX", "Eve"], headers=["id", "name"])
    result = AuthorResource().import_data(rows, raise_errors=True)
    assert (result.totals["new"], result.totals["update"]) == (1, 1)
    assert Author.objects.get(pk=123456789).name == "Eve"
    assert Author.objects.get(name="Bob").id.startswith("aut_")
    for garbage in ("usr_5", "5", "aut_05"):
        rows = tablib.Dataset([garbage, "Bad"], headers=["id", "name"])
        result = AuthorResource().import_data(rows)
        assert result.has_errors() or result.has_validation_errors()
    books = tablib.Dataset(
        ["", "X", "garbage", "", ""], headers=["id", "title", "author", "editor", "readers"]
    )
    result = BookResource().import_data(books)
    assert result.has_errors() or result.has_validation_errors()
    assert not Author.objects.filter(name="Bad").exists()
    assert not Book.objects.exists()


def test_uuids_can_be_what_rows_are_found_by(ada: Author) -> None:
    parcel = Parcel.objects.create(owner=ada, weight=1)
    exported = ParcelResource().export()
    Parcel.objects.update(weight=2)
    result = ParcelResource().import_data(exported, raise_errors=True)
    assert result.totals["update"] == 1
    parcel.refresh_from_db()
    assert parcel.weight == 1


class AuthorTable(django_tables2.Table):
    class Meta:
        model = Author
        fields = ("id", "name")
        row_attrs = {"data-id": lambda record: record.pk}


def test_tables_show_sort_and_page_by_ids(ada: Author) -> None:
    Author.objects.create(id=5, name="Bob")
    table = AuthorTable(Author.objects.all(), order_by="id")
    assert [row.get_cell("id") for row in table.rows] == ["aut_5", "aut_8M0kX"]
    html = table.as_html(RequestFactory().get("/?sort=-id"))
    assert html.index('data-id="aut_5"') < html.index(">aut_8M0kX<")
    assert list(AuthorTable(Author.objects.all(), order_by="-id").as_values())[1][0] == "aut_8M0kX"


def test_polymorphic_rows_come_as_what_they_are() -> None:
    dog, cat = Dog.objects.create(name="Rex", breed="x"), Cat.objects.create(name="Tom")
    assert list(Animal.objects.order_by("id")) == [dog, cat]
    assert [type(one) for one in Animal.objects.order_by("id")] == [Dog, Cat]
    assert Animal.objects.get(pk=cat.pk).lives == 9
    assert Animal.objects.instance_of(Dog).get().pk == dog.pk == dog.animal_ptr_id
    assert Animal.objects.filter(Dog___breed="x").get() == dog
    dog.delete()
    Animal.objects.filter(pk=cat.pk).delete()
    assert not Animal.objects.exists()


def test_trees_are_walked_and_moved() -> None:
    root = Shelf.objects.create(name="root")
    first, second = (Shelf.objects.create(name=name, parent=root) for name in ("1", "2"))
    leaf = Shelf.objects.create(name="leaf", parent_id=first.id)
    root.refresh_from_db()
    assert [one.name for one in root.get_descendants()] == ["1", "leaf", "2"]
    assert [one.id for one in leaf.get_ancestors()] == [root.id, first.id]
    assert list(Shelf.objects.get_queryset_ancestors(Shelf.objects.filter(pk=leaf.pk))) == [root, first]
    leaf.move_to(second)
    leaf.save()
    assert Shelf.objects.get(pk=leaf.pk).parent_id == second.id
    Shelf.objects.rebuild()
    assert [one.name for one in Shelf.objects.get(pk=root.pk).get_descendants()] == ["1", "2", "leaf"]
    second.delete()
    assert Shelf.objects.count() == 2


def test_tags_by_a_foreign_key(ada: Author) -> None:
    one, two = (Book.objects.create(title=title, author=ada) for title in ("One", "Two"))
    one.tags.add("red", "blue")
    two.tags.set(["red"])
    assert sorted(one.tags.names()) == ["blue", "red"]
    assert Book.objects.filter(tags__name="blue").get() == one
    assert [book.title for book in one.tags.similar_objects()] == ["Two"]
    assert {book.pk: len(book.tags.all()) for book in Book.objects.prefetch_related("tags")} == {
        one.pk: 2,
        two.pk: 1,
    }
    assert Book.tags.most_common()[0].name == "red"
    one.delete()
    assert Tag.objects.get(name="red").neighbours_taggedbook_items.get().content_object == two


def test_the_admin_of_each_works(client: Client, ada: Author) -> None:
    book = Book.objects.create(title="One", author=ada)
    parcel = Parcel.objects.create()
    dog = Dog.objects.create(name="Rex", breed="x")
    shelf = Shelf.objects.create(name="s")
    quoted = {one: one.pk.replace("_", "_5F") for one in (ada, book, parcel, dog, shelf)}

    def page(path: str, status: int = 200) -> Any:
        answer = client.get(f"/admin/neighbours/{path}")
        assert answer.status_code == status, path
        return answer

    for path in ("author", "book", "parcel", "shelf", "animal"):
        assert page(f"{path}/")
    page(f"author/{quoted[ada]}/change/")
    page(f"author/{quoted[ada]}/history/")
    page(f"author/{ada.pk}/history/{ada.history.get().pk}/")  # as the page before it links to it
    assert b"Ada" in page("author/?q=aut_8M0kX").content
    page(f"book/{quoted[book]}/change/")
    page(f"book/{quoted[book]}/permissions/")
    page("book/export/")
    page("book/import/")
    answer = client.post(
        f"/admin/neighbours/parcel/{quoted[parcel]}/change/",
        {"id": parcel.id, "code": parcel.code, "weight": 7, "owner": "aut_8M0kX"},
    )
    assert answer.status_code == 302, answer.context["errors"]
    assert Parcel.objects.get().owner == ada
    page(f"parcel/{quoted[parcel]}/history/")
    page("parcel/recover/")
    page(f"animal/{quoted[dog]}/change/")
    page(f"shelf/{quoted[shelf]}/change/")
