"""Rows that cannot come or go one after the other: they hold on to each other."""

from __future__ import annotations

import uuid

from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models


class Ship(models.Model):
    name = models.CharField(max_length=40)
    labels = GenericRelation("Label")


class Label(models.Model):
    """Goes with whatever it is on."""

    content_type = models.ForeignKey(ContentType, models.CASCADE)
    object_id = models.PositiveBigIntegerField()
    target = GenericForeignKey()
    text = models.CharField(max_length=40, blank=True)


class Deck(models.Model):
    ship = models.ForeignKey(Ship, models.CASCADE)
    name = models.CharField(max_length=40, blank=True)


class Cabin(models.Model):
    """Goes with the ship, but not with the deck alone."""

    deck = models.ForeignKey(Deck, models.RESTRICT)
    ship = models.ForeignKey(Ship, models.CASCADE)
    name = models.CharField(max_length=40, blank=True)


class Bunk(models.Model):
    cabin = models.ForeignKey(Cabin, models.PROTECT)


class Anchor(models.Model):
    """The project itself sees to it that nothing is left behind."""

    ship = models.ForeignKey(Ship, models.DO_NOTHING)


class Sailor(models.Model):
    name = models.CharField(max_length=40)
    mentor = models.ForeignKey("self", models.RESTRICT, null=True)
    ships = models.ManyToManyField(Ship, through="Duty")


class Duty(models.Model):
    ship = models.ForeignKey(Ship, models.PROTECT)
    sailor = models.ForeignKey(Sailor, models.PROTECT)


class Hold(models.Model):
    """A tree of which no branch may be cut off."""

    name = models.CharField(max_length=40)
    outer = models.ForeignKey("self", models.PROTECT, null=True)


class Port(models.Model):
    """Its code is what others point at."""

    code = models.CharField(max_length=10, unique=True)
    name = models.CharField(max_length=40, blank=True)


class Call(models.Model):
    port = models.ForeignKey(Port, models.PROTECT, to_field="code")
    ship = models.ForeignKey(Ship, models.CASCADE, null=True)


class Flag(models.Model):
    """Known by a text that people change."""

    code = models.CharField(max_length=10, primary_key=True)


class Mast(models.Model):
    flag = models.ForeignKey(Flag, models.CASCADE)
    height = models.IntegerField(default=0)


class Sail(models.Model):
    mast = models.ForeignKey(Mast, models.CASCADE)
    area = models.IntegerField(default=0)


class Place(models.Model):
    """Has a number that no other has."""

    number = models.IntegerField(unique=True)
    name = models.CharField(max_length=40, blank=True)


class Berth(models.Model):
    """Of each ship there is one."""

    ship = models.OneToOneField(Ship, models.CASCADE)
    row = models.IntegerField(default=0)
    column = models.IntegerField(default=0)

    class Meta:
        constraints = (models.UniqueConstraint(fields=("row", "column"), name="knots_berth_place"),)


# -- rings of rows whose keys are known beforehand ----------------------------------------------------------


class Team(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    name = models.CharField(max_length=40)
    captain = models.ForeignKey("Player", models.SET_NULL, null=True, related_name="+")


class Player(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    name = models.CharField(max_length=40)
    team = models.ForeignKey(Team, models.CASCADE)


class Ring(models.Model):
    """The last one points at the first."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    name = models.CharField(max_length=40)
    next = models.ForeignKey("self", models.CASCADE)


class Lock(models.Model):
    """Neither can be without the other."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    key = models.ForeignKey("Key", models.PROTECT, related_name="+")


class Key(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    lock = models.ForeignKey(Lock, models.PROTECT, related_name="+")
    name = models.CharField(max_length=40, blank=True)


class Rope(models.Model):
    """A chain whose links have keys that the database hands out, or that are the same on both sides."""

    name = models.CharField(max_length=40)
    next = models.ForeignKey("self", models.SET_NULL, null=True)
