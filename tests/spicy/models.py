"""
Models with spicy keys, one of each kind.

They are also part of the watched models of the synchronization tests.
"""

from __future__ import annotations

from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models

from django_spicy_id import (
    ENCODING_BASE_58,
    ENCODING_HEX,
    SpicyAutoField,
    SpicyBigAutoField,
    SpicySmallAutoField,
)


class User(models.Model):
    """The plain case: 64 bits, base 62, the key from the database."""

    id = SpicyBigAutoField(primary_key=True, prefix="usr")
    name = models.CharField(max_length=100)
    email = models.CharField(max_length=100, null=True, blank=True, unique=True)

    def __str__(self) -> str:
        return self.name


class Invoice(models.Model):
    """Hexadecimal, padded, with a separator of its own."""

    id = SpicyAutoField(primary_key=True, prefix="inv", sep="-", encoding=ENCODING_HEX, pad=True)
    customer = models.ForeignKey(User, models.CASCADE, related_name="invoices")
    payer = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="paid_invoices")
    total = models.IntegerField(default=0)

    def __str__(self) -> str:
        return self.id


class Tag(models.Model):
    """16 bits and base 58."""

    id = SpicySmallAutoField(primary_key=True, prefix="tag", encoding=ENCODING_BASE_58)
    label = models.CharField(max_length=50, unique=True)
    invoices = models.ManyToManyField(Invoice, related_name="tags", blank=True)

    def __str__(self) -> str:
        return self.label


class Device(models.Model):
    """A random key: made where the row is made."""

    id = SpicyBigAutoField(primary_key=True, prefix="dev", randomize=True)
    owner = models.OneToOneField(User, models.CASCADE, null=True, blank=True)
    serial = models.CharField(max_length=50, blank=True)
    notes = GenericRelation("Note", content_type_field="target_type", object_id_field="target_id")


class Place(models.Model):
    """The parent of multi-table inheritance."""

    id = SpicyBigAutoField(primary_key=True, prefix="plc", encoding=ENCODING_BASE_58, pad=True)
    name = models.CharField(max_length=50)


class Restaurant(Place):
    """Its key is the link to its parent."""

    stars = models.IntegerField(default=0)


class Menu(models.Model):
    """A foreign key to a parent link, in a model with a plain key."""

    restaurant = models.ForeignKey(Restaurant, models.CASCADE, null=True)
    title = models.CharField(max_length=50)


class Note(models.Model):
    """A generic foreign key; the column holds the id as text."""

    id = SpicyBigAutoField(primary_key=True, prefix="note")
    # Tables of apps without migrations are made before all others: a constraint would point to nothing yet.
    target_type = models.ForeignKey(ContentType, models.CASCADE, db_constraint=False)
    target_id = models.CharField(max_length=40)
    target = GenericForeignKey("target_type", "target_id")
    text = models.CharField(max_length=100)


class UserProxy(User):
    class Meta:
        proxy = True


class Stamped(models.Model):
    """An abstract base that brings the key along."""

    id = SpicyBigAutoField(primary_key=True, prefix="evt", randomize=True)

    class Meta:
        abstract = True


class Event(Stamped):
    what = models.CharField(max_length=50)
