"""The models of the suite: a shop, its books and its staff, with every kind of key and of relation."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.models import F

from synchro.core import NaturalKeyModel

# -- keys ---------------------------------------------------------------------------------------------------


class Customer(models.Model):
    """An automatic key, and nothing else that tells one row from another."""

    name = models.CharField(max_length=40)
    cash = models.IntegerField(default=0)


class VipCustomer(Customer):
    class Meta:
        proxy = True


class Country(models.Model):
    """A primary key that people give."""

    code = models.CharField(max_length=20, primary_key=True)
    name = models.CharField(max_length=40)
    visits = models.PositiveIntegerField(default=0)

    SYNCHRO_SKIP = ("visits",)


class Parcel(models.Model):
    """A UUID as its key."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    weight = models.IntegerField(default=0)
    receiver = models.ForeignKey(Customer, models.SET_NULL, null=True)


class Warehouse(models.Model):
    """An automatic key that is to be the same on both sides."""

    name = models.CharField(max_length=40)

    SYNCHRO_IDENTITY = "pk"


class Shelf(models.Model):
    """A key of two plain columns."""

    pk = models.CompositePrimaryKey("aisle", "letter")
    aisle = models.IntegerField()
    letter = models.CharField(max_length=5)
    width = models.IntegerField(default=0)


class Holding(models.Model):
    """A key of two columns, one of which points at a row whose key REMOTE hands out."""

    pk = models.CompositePrimaryKey("customer_id", "article")
    customer = models.ForeignKey(Customer, models.CASCADE)
    article = models.CharField(max_length=20)
    quantity = models.IntegerField(default=0)


# -- natural keys -------------------------------------------------------------------------------------------


class Publisher(NaturalKeyModel):
    name = models.CharField(max_length=40)
    city = models.CharField(max_length=40, blank=True)
    visits = models.PositiveIntegerField(default=0)

    _natural_key = ("name",)
    SYNCHRO_SKIP = ("visits",)


class Book(NaturalKeyModel):
    """Known by a column of its own and one of the row that it points at."""

    publisher = models.ForeignKey(Publisher, models.CASCADE)
    title = models.CharField(max_length=40)
    pages = models.IntegerField(default=0)

    _natural_key = ("publisher__name", "title")


class EditionManager(models.Manager[Any]):
    def get_by_natural_key(self, number: int, *book: Any) -> Edition:
        return self.get(number=number, book=Book.objects.db_manager(self.db).get_by_natural_key(*book))


class Edition(models.Model):
    """A natural key as Django's documentation writes it, without synchro's help."""

    book = models.ForeignKey(Book, models.CASCADE)
    number = models.IntegerField()
    price = models.DecimalField(max_digits=8, decimal_places=2)

    objects = EditionManager()

    def natural_key(self) -> tuple[Any, ...]:
        return (self.number, *self.book.natural_key())


class Person(NaturalKeyModel):
    """A natural key that may find several rows, of which any will do."""

    first_name = models.CharField(max_length=40)
    last_name = models.CharField(max_length=40)
    note = models.CharField(max_length=40, blank=True)

    _natural_key = ("first_name", "last_name")
    _natural_manager_kwargs = {"allow_many": True}


class Tag(NaturalKeyModel):
    """A natural key that should find one row, which no constraint ensures."""

    word = models.CharField(max_length=40)
    note = models.CharField(max_length=40, blank=True)

    _natural_key = ("word",)


class Coin(NaturalKeyModel):
    """A natural key of values that JSON has no type for."""

    value = models.DecimalField(max_digits=8, decimal_places=2)
    minted = models.DateField()
    weight = models.FloatField(default=0)

    _natural_key = ("value", "minted")


# -- references ---------------------------------------------------------------------------------------------


class Order(models.Model):
    customer = models.ForeignKey(Customer, models.CASCADE)
    note = models.CharField(max_length=40, blank=True)


class Currency(models.Model):
    code = models.CharField(max_length=3, unique=True)
    name = models.CharField(max_length=40, blank=True)


class Price(models.Model):
    """Points at a column that is not the primary key."""

    currency = models.ForeignKey(Currency, models.CASCADE, to_field="code")
    amount = models.DecimalField(max_digits=12, decimal_places=2)


class Department(models.Model):
    """Points at an employee, who points at a department."""

    name = models.CharField(max_length=40)
    head = models.ForeignKey("Employee", models.SET_NULL, null=True, related_name="+")


class Employee(models.Model):
    name = models.CharField(max_length=40)
    department = models.ForeignKey(Department, models.CASCADE, null=True)


class Category(models.Model):
    """A tree."""

    name = models.CharField(max_length=40)
    parent = models.ForeignKey("self", models.CASCADE, null=True)


class Profile(models.Model):
    customer = models.OneToOneField(Customer, models.CASCADE)
    text = models.CharField(max_length=40, blank=True)


class Passport(models.Model):
    """Its key is the reference to its owner."""

    customer = models.OneToOneField(Customer, models.CASCADE, primary_key=True)
    number = models.CharField(max_length=40)


class Visa(models.Model):
    """Points at a row whose key is a reference."""

    passport = models.ForeignKey(Passport, models.CASCADE)
    country = models.ForeignKey(Country, models.CASCADE)


class Product(models.Model):
    """Points at a model that is not watched."""

    name = models.CharField(max_length=40)
    supplier = models.ForeignKey("unwatched.Supplier", models.CASCADE)


class Place(models.Model):
    name = models.CharField(max_length=40)


class Restaurant(Place):
    seats = models.IntegerField(default=0)


class Pizzeria(Restaurant):
    ovens = models.IntegerField(default=0)
    owner = models.ForeignKey(Customer, models.SET_NULL, null=True)


class Comment(models.Model):
    """Points at any row with an integer key."""

    content_type = models.ForeignKey(ContentType, models.CASCADE)
    object_id = models.PositiveBigIntegerField()
    target = GenericForeignKey()
    text = models.CharField(max_length=40, blank=True)


class Attachment(models.Model):
    """Points at any row, its key kept as text; under names of its own."""

    kind = models.ForeignKey(ContentType, models.CASCADE, null=True)
    key = models.CharField(max_length=60, null=True)
    target = GenericForeignKey("kind", "key")
    name = models.CharField(max_length=40, blank=True)


# -- many to many -------------------------------------------------------------------------------------------


class Artist(models.Model):
    name = models.CharField(max_length=40)
    friends = models.ManyToManyField("self")
    follows = models.ManyToManyField("self", symmetrical=False, related_name="followers")


class Album(models.Model):
    name = models.CharField(max_length=40)
    artists = models.ManyToManyField(Artist)
    countries = models.ManyToManyField(Country)
    labels = models.ManyToManyField("unwatched.Label")


class Band(models.Model):
    name = models.CharField(max_length=40)
    members = models.ManyToManyField(Artist, through="Membership", through_fields=("band", "artist"))


class Membership(models.Model):
    band = models.ForeignKey(Band, models.CASCADE)
    artist = models.ForeignKey(Artist, models.CASCADE)
    since = models.DateField(null=True)
    role = models.CharField(max_length=40, default="singer")
    invited_by = models.ForeignKey(Artist, models.SET_NULL, null=True, related_name="+")


# -- columns ------------------------------------------------------------------------------------------------


class Measurement(models.Model):
    """Every type of column."""

    moment = models.DateTimeField(null=True)
    day = models.DateField(null=True)
    hour = models.TimeField(null=True)
    lasted = models.DurationField(null=True)
    amount = models.DecimalField(max_digits=15, decimal_places=5, null=True)
    huge_amount = models.DecimalField(max_digits=40, decimal_places=20, null=True)
    ratio = models.FloatField(null=True)
    data = models.JSONField(null=True)
    raw = models.BinaryField(null=True)
    token = models.UUIDField(null=True)
    yes = models.BooleanField(default=False)
    maybe = models.BooleanField(null=True)
    short = models.CharField(max_length=100, null=True)
    long = models.TextField(null=True)
    address = models.GenericIPAddressField(null=True)
    small = models.SmallIntegerField(null=True)
    number = models.IntegerField(null=True)
    big = models.BigIntegerField(null=True)
    positive = models.PositiveBigIntegerField(null=True)
    link = models.URLField(null=True)
    mail = models.EmailField(null=True)
    slug = models.SlugField(null=True)
    document = models.FileField(null=True)


class Invoice(models.Model):
    """Columns that Django fills in as it saves."""

    text = models.CharField(max_length=40, blank=True)
    issued = models.DateTimeField(auto_now_add=True)
    changed = models.DateTimeField(auto_now=True)
    day = models.DateField(auto_now=True)


class LineItem(models.Model):
    """A column that the database computes."""

    quantity = models.IntegerField()
    unit_price = models.IntegerField()
    total = models.GeneratedField(
        expression=F("quantity") * F("unit_price"), output_field=models.BigIntegerField(), db_persist=True
    )


class Seat(models.Model):
    """Values that no two rows may share."""

    number = models.IntegerField(unique=True)
    row = models.CharField(max_length=5, default="A")
    guest = models.CharField(max_length=40, null=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("row", "guest"), name="shop_seat_guest"),)


class OddlyNamed(models.Model):
    """Names that need to be quoted everywhere."""

    number = models.AutoField(primary_key=True, db_column="Key No")
    group = models.CharField(max_length=40, db_column="Order By")
    select = models.ForeignKey("self", models.CASCADE, null=True, db_column="From Where", related_name="+")
    others = models.ManyToManyField("self", db_table="Group And Select", symmetrical=False)

    class Meta:
        db_table = "Select All-Things"


# -- behaviour ----------------------------------------------------------------------------------------------


class PublishedManager(models.Manager[Any]):
    def get_queryset(self) -> models.QuerySet[Any]:
        return super().get_queryset().filter(published=True)


class Article(models.Model):
    """Its default manager does not show every row."""

    title = models.CharField(max_length=40)
    published = models.BooleanField(default=True)

    objects = PublishedManager()
    everything = models.Manager()


class Delivery(models.Model):
    """A model that the tests listen to."""

    place = models.CharField(max_length=40)
    customer = models.ForeignKey(Customer, models.CASCADE, null=True)


class Ticket(models.Model):
    """Its own `save()` and `delete()` do more than Django's."""

    calls: ClassVar[list[tuple[str, str]]] = []

    number = models.AutoField(primary_key=True)
    title = models.CharField(max_length=40)
    customer = models.ForeignKey(Customer, models.CASCADE, null=True)
    title_upper = models.CharField(max_length=40, blank=True)

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.calls.append(("save", kwargs.get("using") or self._state.db or "default"))
        self.title_upper = self.title.upper()
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        self.calls.append(("delete", kwargs.get("using") or self._state.db or "default"))
        return super().delete(*args, **kwargs)
