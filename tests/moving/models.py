"""
Models whose migrations alter tables in every way, while triggers are on them. This is what they come to.
"""

from __future__ import annotations

from django.db import models


class Label(models.Model):
    name = models.CharField(max_length=20)


class Product(models.Model):
    """Was called Item."""

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(max_length=100, unique=True)
    remark = models.CharField(max_length=20, default="")
    extra = models.CharField(max_length=20, null=True)
    count = models.IntegerField(default=5)
    marks = models.ManyToManyField(Label)

    class Meta:
        db_table = "moved_products"


class Thing(models.Model):
    sku = models.CharField(max_length=40, primary_key=True)
    name = models.CharField(max_length=20, default="")


class Part(models.Model):
    thing = models.OneToOneField(Thing, models.CASCADE, primary_key=True)
    name = models.CharField(max_length=20, default="")
