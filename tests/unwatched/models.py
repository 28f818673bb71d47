"""Models that no setting watches, and that watched ones point at."""

from __future__ import annotations

from django.db import models


class Region(models.Model):
    name = models.CharField(max_length=40)


class Supplier(models.Model):
    name = models.CharField(max_length=40)
    region = models.ForeignKey(Region, models.CASCADE, null=True)


class Label(models.Model):
    name = models.CharField(max_length=40)
