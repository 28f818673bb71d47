"""Models as they should not be, and are: every one of them has been seen in some project."""

from __future__ import annotations

from typing import Any

from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower

from synchro.core import NaturalKeyModel
from tests.shop.models import Customer

# -- keys ---------------------------------------------------------------------------------------------------


class Level(models.Model):
    number = models.IntegerField(primary_key=True)
    name = models.CharField(max_length=40, blank=True)


class Interval(models.Model):
    length = models.DurationField(primary_key=True)
    name = models.CharField(max_length=40, blank=True)


class Departure(models.Model):
    at = models.TimeField(primary_key=True)
    name = models.CharField(max_length=40, blank=True)


class Appointment(models.Model):
    at = models.DateTimeField(primary_key=True)
    name = models.CharField(max_length=40, blank=True)


class Answer(models.Model):
    yes = models.BooleanField(primary_key=True)
    name = models.CharField(max_length=40, blank=True)


class Host(models.Model):
    address = models.GenericIPAddressField(primary_key=True)
    name = models.CharField(max_length=40, blank=True)


class Tariff(models.Model):
    rate = models.DecimalField(primary_key=True, max_digits=10, decimal_places=3)
    name = models.CharField(max_length=40, blank=True)


class Shift(models.Model):
    """A key of a value of each kind."""

    pk = models.CompositePrimaryKey("day", "is_night", "begins", "moment", "length", "rate", "token", "place")
    day = models.DateField()
    is_night = models.BooleanField()
    begins = models.TimeField()
    moment = models.DateTimeField()
    length = models.DurationField()
    rate = models.DecimalField(max_digits=8, decimal_places=2)
    token = models.UUIDField()
    place = models.CharField(max_length=20)
    name = models.CharField(max_length=40, blank=True)


class Article(models.Model):
    """Known by a text, and something points at it."""

    code = models.CharField(primary_key=True, max_length=20)
    name = models.CharField(max_length=40, blank=True)


class Supply(models.Model):
    article = models.ForeignKey(Article, models.CASCADE)
    count = models.IntegerField(default=0)


# -- natural keys -------------------------------------------------------------------------------------------


class Team(NaturalKeyModel):
    """A natural key that a constraint keeps unique."""

    name = models.CharField(max_length=40, unique=True)
    motto = models.CharField(max_length=40, blank=True)

    _natural_key = ("name",)


class Player(models.Model):
    team = models.ForeignKey(Team, models.CASCADE)
    name = models.CharField(max_length=40)


# -- unique values and what points at them ------------------------------------------------------------------


class Badge(models.Model):
    code = models.CharField(max_length=20, unique=True)
    holder = models.CharField(max_length=40, blank=True)


class Scan(models.Model):
    badge = models.ForeignKey(Badge, models.CASCADE)
    door = models.CharField(max_length=40, blank=True)


class Loan(models.Model):
    badge = models.ForeignKey(Badge, models.SET_NULL, null=True)
    thing = models.CharField(max_length=40, blank=True)


class Key(models.Model):
    """Unique under a condition, and whatever the case of its letters."""

    label = models.CharField(max_length=20)
    is_active = models.BooleanField(default=True)
    name = models.CharField(max_length=20, default="")

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("label",), condition=Q(is_active=True), name="odd_key_active"),
            models.UniqueConstraint(Lower("name"), name="odd_key_lower"),
        )


class Unit(models.Model):
    """Its code is what others point at."""

    code = models.CharField(max_length=10, unique=True)


class Amount(models.Model):
    unit = models.ForeignKey(Unit, models.CASCADE, to_field="code")
    value = models.IntegerField(default=0)


# -- relations ----------------------------------------------------------------------------------------------


class Box(models.Model):
    """A tree of which no branch may be cut off."""

    name = models.CharField(max_length=40)
    outer = models.ForeignKey("self", models.PROTECT, null=True)


class Trace(models.Model):
    """What it is about may be gone: nothing ensures that it is there."""

    customer = models.ForeignKey(Customer, models.DO_NOTHING, db_constraint=False)
    text = models.CharField(max_length=40, blank=True)


class Guarantee(models.Model):
    """The project itself sees to it that nothing is left behind."""

    customer = models.ForeignKey(Customer, models.DO_NOTHING)


class Car(models.Model):
    car_id = models.AutoField(primary_key=True)
    wheels = models.IntegerField(default=4)


class Boat(models.Model):
    boat_id = models.AutoField(primary_key=True)
    sails = models.IntegerField(default=0)


class AmphibiousCar(Car, Boat):
    """Two parents, with a key each."""

    name = models.CharField(max_length=40, blank=True)


class VisibleManager(models.Manager[Any]):
    def get_queryset(self) -> models.QuerySet[Any]:
        return super().get_queryset().filter(hidden=False)


class Drawer(models.Model):
    """Even its base manager does not show every row."""

    name = models.CharField(max_length=40)
    hidden = models.BooleanField(default=False)

    objects = VisibleManager()
    everything = models.Manager()

    class Meta:
        base_manager_name = "objects"


class Sticker(models.Model):
    """Points at proxies as such."""

    content_type = models.ForeignKey(ContentType, models.CASCADE)
    object_id = models.PositiveBigIntegerField()
    target = GenericForeignKey(for_concrete_model=False)


# -- behaviour ----------------------------------------------------------------------------------------------


class Draft(models.Model):
    """Refuses to be saved or deleted, without a word."""

    text = models.CharField(max_length=40)
    note = models.CharField(max_length=40, blank=True)

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.text != "empty":
            super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        self.note = "deleted"
        self.save(*args, **kwargs)
        return 0, {}


class Member(models.Model):
    """Somebody listens to it and makes its card."""

    name = models.CharField(max_length=40)


class Card(models.Model):
    member = models.OneToOneField(Member, models.CASCADE)
    color = models.CharField(max_length=40, default="white")


# -- what depends on rows with natural keys ------------------------------------------------------------------


class Topic(NaturalKeyModel):
    word = models.CharField(max_length=40)
    note = models.CharField(max_length=40, blank=True)

    _natural_key = ("word",)


class Clip(models.Model):
    name = models.CharField(max_length=40)
    topics = models.ManyToManyField(Topic)


class Mention(models.Model):
    """A part of its key points at a row with a natural key."""

    pk = models.CompositePrimaryKey("topic_id", "page")
    topic = models.ForeignKey(Topic, models.CASCADE)
    page = models.CharField(max_length=20)
