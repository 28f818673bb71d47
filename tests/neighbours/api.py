"""Interfaces to the models, as each package makes them by default."""

from __future__ import annotations

import graphene
import strawberry
import strawberry_django
from django_filters.rest_framework import DjangoFilterBackend
from graphene import relay
from graphene_django import DjangoObjectType
from graphene_django.filter import DjangoFilterConnectionField
from ninja import ModelSchema, NinjaAPI
from rest_framework.routers import DefaultRouter
from rest_framework.serializers import ModelSerializer
from rest_framework.viewsets import ModelViewSet
from strawberry import auto
from strawberry import relay as strawberry_relay

from tests.neighbours.models import Author, Book, Parcel

# REST framework


class BookSerializer(ModelSerializer):
    class Meta:
        model = Book
        fields = ("id", "title", "author", "editor", "readers")


class ParcelSerializer(ModelSerializer):
    class Meta:
        model = Parcel
        fields = ("id", "code", "owner", "weight")


class BookViewSet(ModelViewSet):
    queryset = Book.objects.order_by("title")
    serializer_class = BookSerializer
    filter_backends = (DjangoFilterBackend,)
    filterset_fields = {"id": ["exact", "in"], "author": ["exact"], "editor": ["isnull"]}


class ParcelViewSet(ModelViewSet):
    queryset = Parcel.objects.order_by("weight")
    serializer_class = ParcelSerializer
    filterset_fields = ("id", "code", "owner")


router = DefaultRouter()
router.register("books", BookViewSet)
router.register("parcels", ParcelViewSet)

# ninja


class AuthorOut(ModelSchema):
    class Meta:
        model = Author
        fields = ["id", "name"]


class BookOut(ModelSchema):
    class Meta:
        model = Book
        fields = ["id", "title", "author", "editor", "readers"]


class BookIn(ModelSchema):
    class Meta:
        model = Book
        fields = ["title", "author", "editor", "readers"]


class BookDeep(ModelSchema):
    author: AuthorOut

    class Meta:
        model = Book
        fields = ["id", "title"]


class ParcelOut(ModelSchema):
    class Meta:
        model = Parcel
        fields = ["id", "code", "owner", "weight"]


ninja = NinjaAPI(urls_namespace="neighbours-ninja")


@ninja.get("/books/{book_id}", response=BookOut)
def book_out(request, book_id: str):
    return Book.objects.get(pk=book_id)


@ninja.get("/deep/{book_id}", response=BookDeep)
def book_deep(request, book_id: str):
    return Book.objects.get(pk=book_id)


@ninja.post("/books", response=BookOut)
def book_in(request, book: BookIn):
    values = book.dict(by_alias=True)
    readers = values.pop("readers")
    made = Book.objects.create(**values)
    made.readers.set(readers)
    return made


@ninja.get("/parcels", response=list[ParcelOut])
def parcels(request):
    return Parcel.objects.order_by("weight")


# graphene


class AuthorNode(DjangoObjectType):
    class Meta:
        model = Author
        fields = ("id", "name", "books")
        filter_fields = {"id": ["exact"], "name": ["exact"]}
        interfaces = (relay.Node,)


class BookNode(DjangoObjectType):
    class Meta:
        model = Book
        fields = ("id", "title", "author", "editor")
        filter_fields = {
            "id": ["exact", "in"],
            "author": ["exact"],
            "author__id": ["exact"],
            "title": ["exact"],
        }
        interfaces = (relay.Node,)


class PlainParcel(DjangoObjectType):
    class Meta:
        model = Parcel
        fields = ("id", "code", "weight")


class GrapheneQuery(graphene.ObjectType):
    node = relay.Node.Field()
    authors = DjangoFilterConnectionField(AuthorNode)
    books = DjangoFilterConnectionField(BookNode)
    parcels = graphene.List(PlainParcel)

    def resolve_parcels(self, info):
        return Parcel.objects.all()


graphene_schema = graphene.Schema(query=GrapheneQuery)

# strawberry


@strawberry_django.filter_type(Author, lookups=True)
class AuthorFilter:
    id: auto
    name: auto


@strawberry_django.type(Author, filters=AuthorFilter)
class AuthorType:
    id: auto
    name: auto
    books: list[BookType]


@strawberry_django.type(Book)
class BookType:
    id: auto
    title: auto
    author: AuthorType
    author_id: auto
    editor_id: auto


@strawberry_django.type(Parcel)
class ParcelType:
    id: auto
    code: auto


@strawberry_django.type(Author, name="AuthorRelay")
class AuthorRelay(strawberry_relay.Node):
    name: auto


@strawberry_django.input(Book)
class BookInput:
    title: auto
    author: auto
    editor: auto


@strawberry_django.partial(Book)
class BookChange:
    id: auto
    title: auto


@strawberry_django.partial(Book)
class BookKey:
    id: auto


@strawberry.type(name="Query")
class StrawberryQuery:
    authors: list[AuthorType] = strawberry_django.field()
    author: AuthorType = strawberry_django.field()
    book: BookType = strawberry_django.field()
    parcels: list[ParcelType] = strawberry_django.field()
    node: strawberry_relay.Node | None = strawberry_django.node()


@strawberry.type
class StrawberryMutation:
    create_book: BookType = strawberry_django.mutations.create(BookInput)
    update_book: BookType = strawberry_django.mutations.update(BookChange)
    delete_book: BookType = strawberry_django.mutations.delete(BookKey)


strawberry_schema = strawberry.Schema(query=StrawberryQuery, mutation=StrawberryMutation, types=[AuthorRelay])
