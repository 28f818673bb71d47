"""The short way of reading rows gives what Django's own gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.apps.registry import Apps
from django.db import models
from django.db.models import Count, F, Max, OuterRef, Subquery
from django.db.models.functions import Cast, Now
from django.db.models.sql.compiler import SQLCompiler

from django_spicy_id import SpicyBigAutoField, rows
from django_spicy_id.fields import SpicyField
from tests.spicy.models import Invoice, Menu, Restaurant, Tag, User

pytestmark = pytest.mark.django_db

LATEST = Invoice.objects.filter(customer=OuterRef("pk")).order_by("-pk").values("pk")[:1]
QUERIES: dict[str, Callable[[], Any]] = {
    "one column": lambda: Invoice.objects.values_list("pk"),
    "one flat column": lambda: Invoice.objects.values_list("pk", flat=True),
    "one column with nulls": lambda: Invoice.objects.values_list("payer"),
    "one named column": lambda: Invoice.objects.values_list("pk", named=True),
    "one column in pieces": lambda: Invoice.objects.values_list("pk").iterator(chunk_size=2),
    "one column that is ordered by another": lambda: (
        Invoice.objects.order_by("-total").values_list("pk").distinct()
    ),
    "one column beside one that is not selected": lambda: Invoice.objects.extra(
        select={"double": "total * 2"}
    ).values_list("pk"),
    "several columns": lambda: Invoice.objects.values_list("pk", "total", "customer", "payer"),
    "a column with another converter": lambda: Invoice.objects.values_list(
        "pk", Cast("total", models.DecimalField(max_digits=9, decimal_places=2))
    ),
    "a column as the type of another": lambda: Invoice.objects.values_list(
        Cast("customer", SpicyBigAutoField(prefix="other"))
    ),
    "a subquery": lambda: User.objects.values_list("pk", Subquery(LATEST)),
    "an aggregate": lambda: [Invoice.objects.aggregate(Max("pk"), Max("payer"), Count("pk"))],
    "one aggregate": lambda: [Invoice.objects.aggregate(Max("pk"))],
    "an aggregate of nothing": lambda: [Invoice.objects.none().aggregate(Max("pk"))],
    "a union": lambda: User.objects.values_list("pk").union(User.objects.values_list("pk")).order_by("pk"),
    "dictionaries": lambda: Invoice.objects.values("pk", "tags", "tags__label"),
    "instances": lambda: [vars(row) | {"_state": None} for row in Invoice.objects.all()],
    "instances with their parents": lambda: [
        (row.pk, row.restaurant_id, row.restaurant and row.restaurant.name)
        for row in Menu.objects.select_related("restaurant")
    ],
    "instances with annotations": lambda: [
        (row.pk, row.twice, row.latest)
        for row in User.objects.annotate(twice=F("pk") + F("pk"), latest=Subquery(LATEST))
    ],
    "raw": lambda: [(row.pk, row.customer_id) for row in Invoice.objects.raw("SELECT * FROM spicy_invoice")],
    "raw of one column": lambda: [row.pk for row in Invoice.objects.raw("SELECT id FROM spicy_invoice")],
    "pairs of a relation": lambda: Tag.invoices.through.objects.values_list("tag", "invoice"),
}


@pytest.fixture
def stock() -> None:
    users = [User.objects.create(name=f"{number}") for number in range(3)]
    tag = Tag.objects.create(label="urgent")
    for number, user in enumerate(users):
        invoice = Invoice.objects.create(customer=user, payer=users[0] if number else None, total=number)
        tag.invoices.add(invoice)
    Menu.objects.create(restaurant=Restaurant.objects.create(name="Harga's"))
    Menu.objects.create(restaurant=None)


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_rows_are_those_of_django(
    stock: None, query: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = list(query())
    monkeypatch.setattr(SQLCompiler, "apply_converters", SQLCompiler.apply_converters.__wrapped__)  # type: ignore[attr-defined]
    assert ours == list(query())
    assert ours


def test_key_of_a_new_row_is_read() -> None:
    first, second = User.objects.bulk_create([User(name="one"), User(name="two")])
    found = list(User.objects.order_by("pk"))
    assert found[0].pk == User.objects.get(name="one").pk
    assert all(row.pk.startswith("usr_") for row in found)
    if first.pk is not None:  # where the engine tells
        assert [first, second] == found


def test_a_field_that_reads_in_its_own_way_keeps_it(registry: Apps, tables: Any) -> None:
    class LoudField(SpicyBigAutoField):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.from_db_value = lambda value, expression, connection: self.codec.read(value).upper()

    class Box(models.Model):
        id = LoudField(primary_key=True, prefix="box")

        class Meta:
            apps = registry
            app_label = "spicy_test"

    tables(Box)
    Box.objects.create(id=1)
    assert Box.objects.values_list("id").get() == ("BOX_1",)
    assert Box.objects.annotate(now=Now()).get().id == "BOX_1"


def test_connecting_twice_changes_nothing() -> None:
    before = SQLCompiler.apply_converters
    rows.connect(SpicyField)
    assert SQLCompiler.apply_converters is before
