"""Models with spicy keys of each kind, as other packages find them."""

from __future__ import annotations

import reversion
from auditlog.models import AuditlogHistoryField
from auditlog.registry import auditlog
from django.db import models
from guardian.models import UserObjectPermissionBase
from mptt.models import MPTTModel, TreeForeignKey
from polymorphic.models import PolymorphicModel
from simple_history.models import HistoricalRecords
from taggit.managers import TaggableManager
from taggit.models import TaggedItemBase

from django_spicy_id import SpicyAutoField, SpicyBigAutoField, SpicyUUIDField


class Author(models.Model):
    id = SpicyBigAutoField(primary_key=True, prefix="aut")
    name = models.CharField(max_length=50)
    history = HistoricalRecords()
    log = AuditlogHistoryField(pk_indexable=False)

    def __str__(self) -> str:
        return self.name


class TaggedBook(TaggedItemBase):
    content_object = models.ForeignKey("Book", models.CASCADE)


class Book(models.Model):
    id = SpicyAutoField(primary_key=True, prefix="bk", sep="-", encoding="hex", pad=True, randomize=True)
    title = models.CharField(max_length=50)
    author = models.ForeignKey(Author, models.CASCADE, related_name="books")
    editor = models.ForeignKey(Author, models.SET_NULL, null=True, blank=True, related_name="edited")
    readers = models.ManyToManyField(Author, related_name="read", blank=True)
    tags = TaggableManager(through=TaggedBook, blank=True)
    history = HistoricalRecords(m2m_fields=[readers])

    def __str__(self) -> str:
        return self.title


class BookPermission(UserObjectPermissionBase):
    """Of guardian, with a foreign key in place of a text."""

    content_object = models.ForeignKey(Book, models.CASCADE)


class Parcel(models.Model):
    id = SpicyUUIDField("pcl", primary_key=True)
    code = SpicyUUIDField("trk", encoding="b58", unique=True)
    owner = models.ForeignKey(Author, models.CASCADE, null=True, blank=True)
    weight = models.IntegerField(default=0)
    history = HistoricalRecords()


class Stop(models.Model):
    parcel = models.ForeignKey(Parcel, models.CASCADE, related_name="stops")
    label = models.ForeignKey(Parcel, models.CASCADE, related_name="+", to_field="code", null=True)


class Shelf(MPTTModel):
    id = SpicyBigAutoField(primary_key=True, prefix="shf", encoding="b58")
    name = models.CharField(max_length=50)
    parent = TreeForeignKey("self", models.CASCADE, null=True, blank=True, related_name="children")


class Animal(PolymorphicModel):
    id = SpicyBigAutoField(primary_key=True, prefix="ani")
    name = models.CharField(max_length=50)


class Dog(Animal):
    breed = models.CharField(max_length=50)


class Cat(Animal):
    lives = models.IntegerField(default=9)


auditlog.register(Author)
auditlog.register(Book, m2m_fields={"readers"})
auditlog.register(Parcel)
for watched in (Author, Book, Parcel):
    reversion.register(watched)
