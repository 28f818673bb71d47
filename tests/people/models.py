"""People, their clubs and teams: every relation that sends signals. Then a model for each kind of key."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import ClassVar

from django.db import models

from synchro.core import NaturalKeyModel, NaturalManager


class City(NaturalKeyModel):
    _natural_key = ("name", "country")

    name = models.CharField(max_length=50)
    country = models.CharField(max_length=2)

    class Meta:
        verbose_name_plural = "cities"


class Club(models.Model):
    name = models.CharField(max_length=50)


class Person(models.Model):
    SYNCHRO_SKIP = ("balance",)

    name = models.CharField(max_length=50)
    city = models.ForeignKey(City, models.CASCADE, null=True)
    balance = models.DecimalField(max_digits=8, decimal_places=2, default=Decimal(0))
    friends = models.ManyToManyField("self")
    follows = models.ManyToManyField("self", symmetrical=False, related_name="followers")
    clubs = models.ManyToManyField(Club, related_name="members")


class Citizen(Person):
    class Meta:
        proxy = True


class Employee(Person):
    room = models.CharField(max_length=10)


class Team(models.Model):
    name = models.CharField(max_length=50)
    members = models.ManyToManyField(Person, through="Membership", related_name="teams")


class Membership(models.Model):
    team = models.ForeignKey(Team, models.CASCADE)
    person = models.ForeignKey(Person, models.CASCADE)
    role = models.CharField(max_length=20, default="member")


class Village(models.Model):
    name = models.CharField(max_length=50)
    twins = models.ManyToManyField("self", through="Twinning", symmetrical=True)


class Twinning(models.Model):
    one = models.ForeignKey(Village, models.CASCADE, related_name="+")
    other = models.ForeignKey(Village, models.CASCADE, related_name="+")


class Secret(models.Model):
    """A many-to-many field that is not to be synchronized."""

    SYNCHRO_SKIP = ("readers",)

    readers = models.ManyToManyField(Person)


class Event(models.Model):
    """A natural key of every type, made by hand."""

    moment = models.DateTimeField()
    price = models.DecimalField(max_digits=8, decimal_places=2)
    city = models.ForeignKey(City, models.CASCADE, null=True)

    objects: ClassVar[NaturalManager] = NaturalManager("moment", "price", "city")

    def natural_key(self) -> tuple[object, ...]:
        return self.moment, self.price, self.city


# -- keys ------------------------------------------------------------------------------------------


class ByUuid(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)


class ByDecimal(models.Model):
    number = models.DecimalField(primary_key=True, max_digits=8, decimal_places=2)


class ByDate(models.Model):
    day = models.DateField(primary_key=True)


class ByMoment(models.Model):
    moment = models.DateTimeField(primary_key=True)


class ByText(models.Model):
    code = models.CharField(primary_key=True, max_length=50)


class ByDuration(models.Model):
    length = models.DurationField(primary_key=True)


class ByPair(models.Model):
    pk = models.CompositePrimaryKey("year", "code")
    year = models.IntegerField()
    code = models.CharField(max_length=20)


class ByPerson(models.Model):
    person = models.OneToOneField(Person, models.CASCADE, primary_key=True)


class ByBytes(models.Model):
    """MySQL and MariaDB have no such key, so the tests that need the table make it."""

    digest = models.BinaryField(primary_key=True)

    class Meta:
        managed = False
