"""Models that the settings do not watch; some that watched ones point at, and one that not every capture takes."""

from __future__ import annotations

from django.db import models


class Region(models.Model):
    name = models.CharField(max_length=40)


class Supplier(models.Model):
    name = models.CharField(max_length=40)
    region = models.ForeignKey(Region, models.CASCADE, null=True)


class Label(models.Model):
    name = models.CharField(max_length=40)


class Frequency(models.Model):
    hertz = models.FloatField(primary_key=True)
    name = models.CharField(max_length=40, blank=True)


class RegionSeen(models.Model):
    """Another model of the same table, with other names: of a part of the code that came before."""

    number = models.BigAutoField(primary_key=True, db_column="id")
    title = models.CharField(max_length=40, db_column="name")

    class Meta:
        managed = False
        db_table = "unwatched_region"


class Depot(models.Model):
    place = models.CharField(max_length=40)
    region = models.ForeignKey(RegionSeen, models.CASCADE)
