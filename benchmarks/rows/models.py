"""The table under test: six columns, about 200 bytes a row."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from django.db import models


class Shape(models.Model):
    name = models.CharField(max_length=50)
    text = models.CharField(max_length=200)
    number = models.IntegerField()
    price = models.DecimalField(max_digits=10, decimal_places=2)
    moment = models.DateTimeField()

    class Meta:
        abstract = True


class Row(Shape):
    pass


class Source(Shape):
    """What is copied into the table under test."""


def fill_source(rows: int) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    Source.objects.bulk_create(
        (
            Source(name=f"name {n}", text="x" * 130, number=n, price=Decimal(n % 1000), moment=moment)
            for n in range(rows)
        ),
        batch_size=5000,
    )
