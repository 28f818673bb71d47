"""REST framework with drf-spectacular, ninja, graphene and strawberry."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.test import Client
from drf_spectacular.generators import SchemaGenerator
from graphql_relay import to_global_id
from ninja import ModelSchema

from tests.neighbours.api import graphene_schema, ninja, strawberry_schema
from tests.neighbours.models import Author, Book, Parcel, Stop

pytestmark = pytest.mark.django_db

GARBAGE = ("garbage", "5", "bk-5", "aut_05", "")


@pytest.fixture
def ada() -> Author:
    return Author.objects.create(id=123456789, name="Ada")


@pytest.fixture
def book(ada: Author) -> Book:
    book = Book.objects.create(id=5, title="One", author=ada)
    book.readers.add(ada)
    Book.objects.create(id=6, title="Two", author=Author.objects.create(name="Bob"))
    return book


BOOK = {
    "id": "bk-00000005",
    "title": "One",
    "author": "aut_8M0kX",
    "editor": None,
    "readers": ["aut_8M0kX"],
}


def schema_of(document: dict[str, Any], component: str, name: str) -> dict[str, Any]:
    return document["components"]["schemas"][component]["properties"][name]


def patterns(document: Any) -> dict[str, tuple[str, str]]:
    """The patterns of a document and the examples beside them, by the beginning of the pattern."""
    found: dict[str, tuple[str, str]] = {}
    if isinstance(document, dict):
        if "pattern" in document and "example" in document:
            found[document["pattern"][:4]] = document["pattern"], document["example"]
        for value in document.values():
            found |= patterns(value)
    elif isinstance(document, list):
        for value in document:
            found |= patterns(value)
    return found


def test_rest_takes_and_gives_ids(book: Book) -> None:
    client = Client()
    assert client.get("/rest/books/bk-00000005/").json() == BOOK
    assert [row["title"] for row in client.get("/rest/books/?id=bk-00000005").json()] == ["One"]
    assert client.get("/rest/books/?id=5").status_code == 400
    parcel = client.post("/rest/parcels/", {"owner": "aut_8M0kX", "weight": 3}).json()
    made = Parcel.objects.get(pk=parcel["id"])
    assert (made.code, made.owner_id) == (parcel["code"], "aut_8M0kX")
    assert client.get("/rest/parcels/", {"code": parcel["code"]}).json() == [parcel]
    given = Parcel().code
    answer = client.patch(f"/rest/parcels/{parcel['id']}/", {"code": given}, content_type="application/json")
    assert answer.json()["code"] == given
    for garbage in GARBAGE:
        answer = client.patch(
            f"/rest/parcels/{parcel['id']}/", {"code": garbage}, content_type="application/json"
        )
        assert (answer.status_code, list(answer.json())) == (400, ["code"])


def test_spectacular_says_what_ids_look_like() -> None:
    document = SchemaGenerator().get_schema(request=None, public=True)
    for component, name in [("Book", "id"), ("Book", "author"), ("Parcel", "id"), ("Parcel", "code")]:
        schema = schema_of(document, component, name)
        assert schema["type"] == "string"
        assert re.fullmatch(schema["pattern"], schema["example"])
    assert schema_of(document, "Book", "author")["example"] == "aut_8M0kX"
    assert schema_of(document, "Book", "id")["pattern"].startswith("^bk-(?:")
    assert schema_of(document, "Book", "readers")["items"]["example"] == "aut_8M0kX"
    (parameter,) = document["paths"]["/rest/books/{id}/"]["get"]["parameters"]
    assert parameter["schema"]["example"] == "bk-075bcd15"
    query = {one["name"]: one for one in document["paths"]["/rest/books/"]["get"]["parameters"]}
    assert query["id"]["schema"]["type"] == "string"
    assert query["author"]["schema"]["example"] == "aut_8M0kX"


def test_ninja_takes_and_gives_ids(book: Book) -> None:
    client = Client()
    assert client.get("/ninja/books/bk-00000005").json() == BOOK
    assert client.get("/ninja/deep/bk-00000005").json()["author"] == {"id": "aut_8M0kX", "name": "Ada"}
    sent = {"title": "New", "author_id": "aut_8M0kX", "editor_id": None, "readers": ["aut_8M0kX"]}
    answer = client.post("/ninja/books", json.dumps(sent), content_type="application/json")
    assert answer.status_code == 200, answer.json()
    assert answer.json() == BOOK | {"title": "New", "id": Book.objects.get(title="New").id}
    parcel = Parcel.objects.create(weight=3)
    assert client.get("/ninja/parcels").json() == [
        {"id": parcel.id, "code": parcel.code, "owner": None, "weight": 3}
    ]


def test_ninja_gives_the_ids_of_the_column_that_a_reference_names() -> None:
    class StopOut(ModelSchema):
        class Meta:
            model = Stop
            fields = ["parcel", "label"]

    parcel = Parcel.objects.create()
    stop = Stop.objects.create(parcel=parcel, label=parcel)
    assert StopOut.from_orm(stop).dict() == {"parcel": parcel.id, "label": parcel.code}


def test_ninja_answers_what_is_no_id_in_a_path_as_a_bad_request(book: Book) -> None:
    client = Client(raise_request_exception=False)
    assert [client.get(f"/ninja/books/{text}").status_code for text in ("garbage", "5", "bk-99999999")] == [
        400
    ] * 3
    with pytest.raises(Book.DoesNotExist):
        Client().get("/ninja/books/bk-00000007")


@pytest.mark.parametrize("garbage", [*GARBAGE, 2**64, True, None, []])
@pytest.mark.parametrize("name", ["author_id", "readers"])
def test_ninja_refuses_what_is_no_id(book: Book, name: str, garbage: Any) -> None:
    sent = {"title": "New", "author_id": "aut_8M0kX", "readers": [], name: garbage}
    if name == "readers":
        sent[name] = [garbage]
    answer = Client().post("/ninja/books", json.dumps(sent), content_type="application/json")
    assert answer.status_code == 422
    assert not Book.objects.filter(title="New").exists()


def test_ninja_says_what_ids_look_like() -> None:
    document = json.loads(json.dumps(ninja.get_openapi_schema()))
    found = patterns(document["components"])
    assert set(found) == {"^aut", "^bk-", "^pcl", "^trk"}
    assert all(re.fullmatch(pattern, example) for pattern, example in found.values())


def run(query: str) -> Any:
    result = graphene_schema.execute(query)
    assert result.errors is None, result.errors
    return result.data


def test_graphene_filters_by_global_ids(book: Book) -> None:
    author, one = to_global_id("AuthorNode", "aut_8M0kX"), to_global_id("BookNode", "bk-00000005")
    titles = "{ edges { node { id title author { id } } } }"
    for arguments in (
        f'id: "{one}"', f'author: "{author}"', f'author_Id: "{author}"', 'title: "One"', f'id_In: ["{one}"]'
    ):  # fmt: skip
        if arguments.startswith("id_In"):
            arguments = 'id_In: ["bk-00000005"]'  # lists are not of global ids: as with plain keys
        (edge,) = run(f"{{ books({arguments}) {titles} }}")["books"]["edges"]
        assert edge["node"] == {"id": one, "title": "One", "author": {"id": author}}
    assert run(f'{{ node(id: "{one}") {{ id ... on BookNode {{ title }} }} }}')["node"]["title"] == "One"
    assert run(f'{{ authors(id: "{author}") {{ edges {{ node {{ name }} }} }} }}')["authors"]["edges"] == [
        {"node": {"name": "Ada"}}
    ]
    wrong = graphene_schema.execute(f'{{ books(id: "{to_global_id("BookNode", "5")}") {titles} }}')
    assert wrong.errors


def test_graphene_gives_uuids_as_ids() -> None:
    parcel = Parcel.objects.create()
    assert run("{ parcels { id code weight } }") == {
        "parcels": [{"id": parcel.id, "code": parcel.code, "weight": 0}]
    }
    assert "id: ID!\n  code: ID!" in str(graphene_schema)


def ask(query: str) -> Any:
    result = strawberry_schema.execute_sync(query)
    assert result.errors is None, result.errors
    return result.data


def test_strawberry_takes_and_gives_ids(book: Book) -> None:
    assert ask('{ author(id: "aut_8M0kX") { id name books { id } } }') == {
        "author": {"id": "aut_8M0kX", "name": "Ada", "books": [{"id": "bk-00000005"}]}
    }
    assert ask('{ authors(filters: {id: {exact: "aut_8M0kX"}}) { name } }') == {"authors": [{"name": "Ada"}]}
    assert ask('{ authors(filters: {id: {inList: ["aut_8M0kX"]}}) { name } }')["authors"] == [{"name": "Ada"}]
    assert ask('{ book(id: "bk-00000005") { authorId editorId author { id } } }')["book"] == {
        "authorId": "aut_8M0kX",
        "editorId": None,
        "author": {"id": "aut_8M0kX"},
    }
    wrong = strawberry_schema.execute_sync('{ author(id: "5") { id } }')
    assert wrong.errors


def test_strawberry_changes_rows_by_id(book: Book) -> None:
    made = ask('mutation { createBook(data: {title: "New", author: {set: "aut_8M0kX"}}) { id authorId } }')
    assert made["createBook"] == {"id": Book.objects.get(title="New").id, "authorId": "aut_8M0kX"}
    ask('mutation { updateBook(data: {id: "bk-00000005", title: "Changed"}) { id } }')
    assert Book.objects.get(pk="bk-00000005").title == "Changed"
    ask('mutation { deleteBook(data: {id: "bk-00000005"}) { id } }')
    assert not Book.objects.filter(pk="bk-00000005").exists()


def test_strawberry_gives_uuids_and_global_ids(ada: Author) -> None:
    parcel = Parcel.objects.create()
    assert ask("{ parcels { id code } }") == {"parcels": [{"id": parcel.id, "code": parcel.code}]}
    global_id = to_global_id("AuthorRelay", "aut_8M0kX")
    assert ask(f'{{ node(id: "{global_id}") {{ id ... on AuthorRelay {{ name }} }} }}')["node"] == {
        "id": global_id,
        "name": "Ada",
    }
