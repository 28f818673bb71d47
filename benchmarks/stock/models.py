"""The table under test: six columns, about 200 bytes a row."""

from __future__ import annotations

from django.db import models

from synchro.core import NaturalManager


class Row(models.Model):
    id = models.BigAutoField(primary_key=True)
    name = models.CharField(max_length=60)
    note = models.TextField()
    amount = models.IntegerField()
    price = models.DecimalField(max_digits=12, decimal_places=2)
    changed = models.DateTimeField()

    class Meta:
        abstract = True


class Item(Row):
    """The same key on both sides."""

    SYNCHRO_IDENTITY = "pk"


class Part(Row):
    """REMOTE hands out keys of its own, which are remembered."""

    SYNCHRO_IDENTITY = "reference"


class Shelf(Row):
    """The same key on both sides; pieces point at it."""

    SYNCHRO_IDENTITY = "pk"


class Maker(Row):
    """Its key is remembered; pieces point at it."""

    SYNCHRO_IDENTITY = "reference"


class Piece(Row):
    """As `Part`, with foreign keys."""

    SYNCHRO_IDENTITY = "reference"

    shelf = models.ForeignKey(Shelf, models.CASCADE)
    maker = models.ForeignKey(Maker, models.CASCADE)


class Block(Row):
    """As `Item`, with the foreign keys of `Piece`: what these cost the servers without references."""

    SYNCHRO_IDENTITY = "pk"

    shelf = models.ForeignKey(Shelf, models.CASCADE)
    maker = models.ForeignKey(Maker, models.CASCADE)


class Label(Row):
    """Its key is remembered, and a new one may be a row that REMOTE has by this natural key."""

    SYNCHRO_IDENTITY = "reference"

    code = models.CharField(max_length=20, unique=True)

    objects = NaturalManager("code")


class Crate(Row):
    """Its makers are a set, whose rows stand in an automatic table."""

    SYNCHRO_IDENTITY = "reference"

    makers = models.ManyToManyField(Maker)


class Note(models.Model):
    """Not plain: its key is a text."""

    code = models.CharField(max_length=20, primary_key=True)
    text = models.TextField()
