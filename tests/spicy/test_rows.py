"""The short way of reading rows gives what Django's own gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.apps.registry import Apps
from django.db import connection, models
from django.db.models import Case, Count, F, Max, OuterRef, Subquery, When, Window
from django.db.models.functions import Cast, Coalesce, JSONObject, Lag, Now, RowNumber
from django.db.models.sql.compiler import SQLCompiler

from django_spicy_id import SpicyBigAutoField, rows
from django_spicy_id.fields import SpicyField
from django_spicy_id.lanes import LANES
from tests.spicy.models import Device, Invoice, Menu, Restaurant, Tag, User

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
    "one column of random keys": lambda: Device.objects.order_by("pk").values_list("pk"),
    "one column of random keys in pieces": lambda: (
        Device.objects.order_by("serial").values_list("pk", flat=True).iterator(chunk_size=7)
    ),
    "random keys and others": lambda: Device.objects.values_list("pk", "owner").order_by("-pk"),
    "several columns": lambda: Invoice.objects.values_list("pk", "total", "customer", "payer"),
    "a column with another converter": lambda: Invoice.objects.values_list(
        "pk", Cast("total", models.DecimalField(max_digits=9, decimal_places=2))
    ),
    "a column as the type of another": lambda: Invoice.objects.values_list(
        Cast("customer", SpicyBigAutoField(prefix="other"))
    ),
    "windows": lambda: Invoice.objects.values_list(
        "pk", Window(Lag("pk"), order_by="pk"), Window(RowNumber(), order_by="pk")
    ),
    "a case": lambda: Invoice.objects.values_list(Case(When(total__gt=0, then="payer"))),
    "a case beside an object": lambda: Invoice.objects.values_list(
        Case(When(total__gt=0, then="payer"), default="customer"), JSONObject(key="pk")
    ),
    "the first that is there": lambda: Invoice.objects.values_list(Coalesce("payer", "customer")),
    "groups": lambda: (
        Invoice.objects.values("payer").annotate(n=Count("pk"), last=Max("pk")).filter(last__gt=0)
    ),
    "groups by one column": lambda: Invoice.objects.values_list("payer").distinct().order_by("payer"),
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
    Device.objects.bulk_create(Device(serial=f"{number:03}") for number in range(LANES + 3))


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_rows_are_those_of_django(
    stock: None, query: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = list(query())
    monkeypatch.setattr(SQLCompiler, "apply_converters", SQLCompiler.apply_converters.__wrapped__)  # type: ignore[attr-defined]
    assert ours == list(query())
    assert ours


def test_arrays_hold_ids_and_distinct_rows_are_read(stock: None) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("only PostgreSQL has arrays, and DISTINCT ON")
    from django.contrib.postgres.aggregates import ArrayAgg

    ids = list(Invoice.objects.order_by("pk").values_list("pk", flat=True))
    assert Invoice.objects.aggregate(all=ArrayAgg("pk", order_by="pk")) == {"all": ids}
    by_payer = Invoice.objects.order_by("payer", "pk").distinct("payer").values_list("pk")
    assert set(by_payer) == {(ids[0],), (ids[1],)}


def test_key_of_a_new_row_is_read() -> None:
    first, second = User.objects.bulk_create([User(name="one"), User(name="two")])
    found = list(User.objects.order_by("pk"))
    assert found[0].pk == User.objects.get(name="one").pk
    assert all(row.pk.startswith("usr_") for row in found)
    if first.pk is not None:  # where the engine tells
        assert [first, second] == found


class LoudField(SpicyBigAutoField):
    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return super().from_db_value(value, expression, connection).upper()


def own_meta(registry: Apps) -> type:
    return type("Meta", (), {"apps": registry, "app_label": "spicy_test"})


def test_a_field_that_reads_in_its_own_way_keeps_it(registry: Apps, tables: Any) -> None:
    class Box(models.Model):
        id = LoudField(primary_key=True, prefix="box")
        Meta = own_meta(registry)

    tables(Box)
    Box.objects.create(id=1)
    for _ in range(2):
        assert Box.objects.values_list("id").get() == ("BOX_1",)
        assert Box.objects.annotate(now=Now()).get().id == "BOX_1"


class DoubledKey(models.ForeignKey):
    """Has a converter of its own, which Django calls after that of the key."""

    def get_db_converters(self, connection: Any) -> list[Any]:
        return [lambda value, expression, connection: value * 2]


def test_a_reference_with_a_converter_of_its_own_is_read_by_both(registry: Apps, tables: Any) -> None:
    class Box(models.Model):
        id = SpicyBigAutoField(primary_key=True, prefix="box")
        Meta = own_meta(registry)

    class Lid(models.Model):
        box = DoubledKey(Box, models.CASCADE)
        Meta = own_meta(registry)

    tables(Box, Lid)
    box = Box.objects.create(id=5)
    lid = Lid.objects.create(box=box)
    assert Lid.objects.values_list("box").get() == ("box_5box_5",)
    assert Lid.objects.values_list("box", "pk").get() == ("box_5box_5", lid.pk)
    assert Box.objects.values_list("pk").get() == ("box_5",)


@pytest.mark.parametrize("order", [("seal", "number"), ("number", "seal")])
def test_a_composite_key_is_read_whole(registry: Apps, tables: Any, order: tuple[str, str]) -> None:
    class Box(models.Model):
        pk = models.CompositePrimaryKey(*order)
        # Where Django's check of this is silenced; MySQL counts only where there is an index.
        seal = SpicyBigAutoField(prefix="seal", randomize=True, unique=True)
        number = models.IntegerField()
        Meta = own_meta(registry)

    tables(Box)
    box = Box.objects.create(seal=5, number=1)
    key = tuple({"seal": "seal_5", "number": 1}[name] for name in order)
    assert box.pk == Box.objects.get(pk=key).pk == key
    assert Box.objects.values_list("pk").get() == (key,)
    assert Box.objects.values_list("pk", "seal").get() == (key, "seal_5")
    assert Box.objects.values_list("pk", flat=True).iterator().__next__() == key


@pytest.fixture
def bare_compiler(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Django's compiler as it was before this package came; it is put back afterwards."""
    original = SQLCompiler.apply_converters.__wrapped__  # type: ignore[attr-defined]
    monkeypatch.setattr(SQLCompiler, "apply_converters", original)
    return SQLCompiler


@pytest.mark.usefixtures("stock")
def test_a_compiler_that_somebody_else_has_changed_is_left_alone(
    bare_compiler: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    original = bare_compiler.apply_converters

    def theirs(self: Any, found: Any, converters: Any) -> Any:
        for row in original(self, found, converters):
            seen.append(row)
            yield row

    monkeypatch.setattr(bare_compiler, "apply_converters", theirs)
    rows.connect(SpicyField)
    ids = list(User.objects.values_list("pk"))
    assert [tuple(row) for row in seen] == ids != []


@pytest.mark.usefixtures("stock")
def test_rows_are_not_asked_for_before_the_first_is_wanted() -> None:
    def found() -> Any:
        raise AssertionError("asked for")
        yield

    compiler = User.objects.values_list("pk").query.get_compiler("default")
    compiler.as_sql()
    converters = compiler.get_converters([column for column, *_ in compiler.select])
    unread = compiler.apply_converters(found(), converters)
    with pytest.raises(AssertionError, match="asked for"):
        next(unread)


def test_connecting_twice_changes_nothing() -> None:
    before = SQLCompiler.apply_converters
    rows.connect(SpicyField)
    assert SQLCompiler.apply_converters is before
