"""What ISO says there is in the world. Its codes are the natural keys, the same in every database."""

from __future__ import annotations

from django.db import models

from synchro.core import NaturalKeyModel


class Currency(NaturalKeyModel):
    code = models.CharField(max_length=3, unique=True)
    numeric = models.CharField(max_length=3)
    name = models.CharField(max_length=100)

    _natural_key = ("code",)

    class Meta:
        verbose_name_plural = "currencies"

    def __str__(self) -> str:
        return self.name


class Language(NaturalKeyModel):
    code = models.CharField(max_length=3, unique=True)
    name = models.CharField(max_length=100)
    scope = models.CharField(max_length=1)
    kind = models.CharField(max_length=1)

    _natural_key = ("code",)

    def __str__(self) -> str:
        return self.name


class Country(NaturalKeyModel):
    code = models.CharField(max_length=2, unique=True)
    alpha_3 = models.CharField(max_length=3)
    numeric = models.CharField(max_length=3)
    name = models.CharField(max_length=100)
    flag = models.CharField(max_length=10, blank=True)
    #: Those whose number is the country's own.
    currencies = models.ManyToManyField(Currency, blank=True)

    _natural_key = ("code",)

    class Meta:
        verbose_name_plural = "countries"

    def __str__(self) -> str:
        return self.name


class Subdivision(NaturalKeyModel):
    code = models.CharField(max_length=10, unique=True)
    name = models.CharField(max_length=150)
    kind = models.CharField(max_length=100)
    country = models.ForeignKey(Country, models.CASCADE)
    parent = models.ForeignKey("self", models.CASCADE, null=True, blank=True)

    _natural_key = ("code",)

    def __str__(self) -> str:
        return self.name
