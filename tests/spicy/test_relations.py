"""References to spicy keys."""

from __future__ import annotations

from typing import Any

import pytest
from django.apps.registry import Apps
from django.contrib.contenttypes.models import ContentType
from django.db import connection, models, transaction
from django.db.models import Count, F, Max, prefetch_related_objects
from django.db.models.signals import m2m_changed
from django.db.utils import ProgrammingError

from django_spicy_id import SpicyBigAutoField, SpicyIdQueryError
from tests.spicy.models import Device, Invoice, Menu, Note, Place, Restaurant, Tag, User, UserProxy

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("chosen_keys")]


@pytest.fixture
def invoice(ada: User) -> Invoice:
    return Invoice.objects.create(id=5, customer=ada)


def test_a_foreign_key_holds_the_id(ada: User, invoice: Invoice) -> None:
    assert invoice.customer_id == "usr_8M0kX"
    read = Invoice.objects.get(pk=invoice.pk)
    assert (read.id, read.customer_id, read.payer_id) == ("inv-00000005", "usr_8M0kX", None)
    assert read.customer == ada


@pytest.mark.parametrize("given", [123456789, "usr_8M0kX"])
def test_the_id_attribute_takes_integers_and_ids(ada: User, given: int | str) -> None:
    invoice = Invoice(customer_id=given)
    assert invoice.customer_id == "usr_8M0kX"
    assert invoice.customer == ada
    invoice.save()
    assert invoice.customer_id == "usr_8M0kX"
    invoice.payer_id = given
    assert invoice.payer_id == "usr_8M0kX"
    invoice.save(update_fields=["payer"])
    assert Invoice.objects.get().payer == ada


def test_setting_the_same_key_as_an_integer_keeps_the_loaded_object(
    ada: User, invoice: Invoice, django_assert_num_queries
) -> None:
    invoice.customer_id = 123456789
    with django_assert_num_queries(0):
        assert invoice.customer is ada


def test_prefetching_for_an_instance_made_with_an_integer(ada: User) -> None:
    invoice = Invoice(customer_id=123456789)
    prefetch_related_objects([invoice], "customer")
    assert invoice._state.fields_cache["customer"] == ada


@pytest.mark.parametrize("condition", ["customer", "customer_id", "customer__id", "customer__pk"])
@pytest.mark.parametrize("given", [123456789, "usr_8M0kX"])
def test_filters_through_a_foreign_key(ada: User, invoice: Invoice, condition: str, given: int | str) -> None:
    Invoice.objects.create(customer=User.objects.create(id=5, name="Grace"))
    assert Invoice.objects.get(**{condition: given}) == invoice
    assert Invoice.objects.get(**{f"{condition}__in": [given]}) == invoice
    assert Invoice.objects.get(**{f"{condition}__gte": given}) == invoice
    with pytest.raises(ProgrammingError):
        Invoice.objects.get(**{condition: "inv-00000005"})


def test_filter_by_instance_and_queryset(ada: User, invoice: Invoice) -> None:
    assert Invoice.objects.get(customer=ada) == invoice
    assert Invoice.objects.get(customer__in=[ada]) == invoice
    assert Invoice.objects.get(customer__in=User.objects.filter(pk="usr_8M0kX")) == invoice
    assert Invoice.objects.get(payer__isnull=True) == invoice
    assert not Invoice.objects.filter(customer=F("payer")).exists()


def test_values_through_a_foreign_key(ada: User, invoice: Invoice) -> None:
    names = ("customer", "customer_id", "customer__id", "customer__pk", "payer", "payer__id")
    expected = ("usr_8M0kX", "usr_8M0kX", "usr_8M0kX", "usr_8M0kX", None, None)
    assert Invoice.objects.values_list(*names).get() == expected
    assert Invoice.objects.values(*names).get() == dict(zip(names, expected, strict=True))
    assert Invoice.objects.aggregate(Max("customer"), Max("payer_id")) == {
        "customer__max": "usr_8M0kX",
        "payer_id__max": None,
    }
    assert User.objects.values_list("invoices", "invoices__id").get() == ("inv-00000005", "inv-00000005")
    counted = Invoice.objects.values("customer").annotate(n=Count("pk"))
    assert list(counted) == [{"customer": "usr_8M0kX", "n": 1}]


def test_update_of_a_foreign_key(ada: User, invoice: Invoice) -> None:
    Invoice.objects.update(payer="usr_8M0kX")
    assert Invoice.objects.get().payer == ada
    Invoice.objects.update(payer=None)
    Invoice.objects.update(payer_id=123456789)
    assert Invoice.objects.get().payer == ada
    invoice.payer_id = None
    Invoice.objects.bulk_update([invoice], ["payer"])
    assert Invoice.objects.get().payer is None
    invoice.payer_id = "usr_8M0kX"
    Invoice.objects.bulk_update([invoice], ["payer"])
    assert Invoice.objects.get().payer == ada


def test_reverse_relations(ada: User, invoice: Invoice) -> None:
    assert list(ada.invoices.all()) == [invoice]
    other = ada.invoices.create(total=3)
    assert other.customer_id == "usr_8M0kX"
    ada.paid_invoices.add(invoice)
    assert list(ada.paid_invoices.values_list("id", flat=True)) == ["inv-00000005"]
    ada.paid_invoices.remove(invoice)
    assert not ada.paid_invoices.exists()
    assert User.objects.get(invoices="inv-00000005") == ada


def test_select_related_and_prefetch_related(ada: User, invoice: Invoice, django_assert_num_queries) -> None:
    with django_assert_num_queries(1):
        assert Invoice.objects.select_related("customer", "payer").get().customer.id == "usr_8M0kX"
    with django_assert_num_queries(2):
        (user,) = User.objects.prefetch_related("invoices")
        assert [row.id for row in user.invoices.all()] == ["inv-00000005"]
    with django_assert_num_queries(2):
        (row,) = Invoice.objects.prefetch_related("customer")
        assert row.customer.id == "usr_8M0kX"


def test_one_to_one(ada: User, django_assert_num_queries) -> None:
    device = Device.objects.create(owner=ada)
    assert Device(owner_id=123456789).owner_id == "usr_8M0kX"
    assert User.objects.get(device=device.id).device == device
    assert Device.objects.get(owner="usr_8M0kX") == device
    with django_assert_num_queries(1):
        assert User.objects.select_related("device").get().device.id == device.id


def test_many_to_many(invoice: Invoice, django_assert_num_queries) -> None:
    red, blue = Tag.objects.create(label="red"), Tag.objects.create(label="blue")
    red.invoices.add(invoice)
    invoice.tags.add(blue.id)
    invoice.tags.add(blue)
    assert set(invoice.tags.values_list("id", flat=True)) == {red.id, blue.id}
    assert set(Tag.objects.filter(invoices="inv-00000005")) == {red, blue}
    with django_assert_num_queries(2):
        assert [row.id for row in Tag.objects.prefetch_related("invoices").get(pk=red.pk).invoices.all()] == [
            "inv-00000005"
        ]
    invoice.tags.set([red])
    assert list(invoice.tags.all()) == [red]
    red.invoices.remove("inv-00000005")
    assert not invoice.tags.exists()
    invoice.tags.set([red.id, blue.id])
    invoice.tags.clear()
    with pytest.raises(ProgrammingError):
        invoice.tags.add("usr_5")


@pytest.mark.parametrize("given", ["object", "id", "integer"])
def test_a_set_that_is_set_again_keeps_its_rows(invoice: Invoice, given: str) -> None:
    red, blue, green = (Tag.objects.create(label=label) for label in ("red", "blue", "green"))
    invoice.tags.set([red, blue])
    through = Tag.invoices.through.objects
    rows = set(through.values_list("pk", "tag"))
    told: list[tuple[str, set[str]]] = []

    def listen(action: str, pk_set: set[str], **_kwargs: object) -> None:
        told.append((action, pk_set))

    def as_given(tag: Tag) -> object:
        return {"object": tag, "id": tag.id, "integer": Tag._meta.pk.get_prep_value(tag.id)}[given]

    m2m_changed.connect(listen, Tag.invoices.through)
    try:
        invoice.tags.set([as_given(red), as_given(blue)])
        invoice.tags.add(as_given(red))
        assert not any(pk_set for _action, pk_set in told)
        invoice.tags.set([as_given(blue), as_given(green)])
    finally:
        m2m_changed.disconnect(listen, Tag.invoices.through)
    assert through.filter(tag=blue).values_list("pk", "tag").get() in rows
    assert set(invoice.tags.all()) == {blue, green}
    assert [(action, pk_set) for action, pk_set in told if pk_set] == [
        ("pre_remove", {red.id}),
        ("post_remove", {red.id}),
        ("pre_add", {green.id}),
        ("post_add", {green.id}),
    ]


def test_through_rows_hold_ids(invoice: Invoice) -> None:
    red = Tag.objects.create(label="red")
    red.invoices.add(invoice)
    through = Tag.invoices.through
    assert through.objects.values_list("tag_id", "invoice_id").get() == (red.id, "inv-00000005")
    assert through(tag_id=1, invoice_id=5).invoice_id == "inv-00000005"


def test_multi_table_inheritance(django_assert_num_queries) -> None:
    bistro = Restaurant.objects.create(name="Bistro", stars=2)
    assert bistro.id == bistro.pk == bistro.place_ptr_id
    assert bistro.id.startswith("plc_")
    assert Place.objects.get(pk=bistro.pk).restaurant == bistro
    assert Restaurant.objects.get(pk=bistro.id).stars == 2
    assert Restaurant.objects.get(place_ptr=bistro.id).name == "Bistro"
    assert Restaurant.objects.values_list("pk", "id", "place_ptr").get() == (bistro.id,) * 3
    bistro.stars = 3
    bistro.save()
    assert Restaurant.objects.get(id=bistro.id).stars == 3
    menu = Menu.objects.create(restaurant=bistro, title="Lunch")
    assert Menu.objects.get(restaurant=bistro.id).restaurant_id == bistro.id == menu.restaurant_id
    bistro.delete()
    assert not Place.objects.exists()


def test_integers_reach_the_keys_of_inherited_models() -> None:
    place = Restaurant(id=5, name="Bistro")
    place.save()
    assert place.pk == place.place_ptr_id == "plc_11111111116"
    assert Restaurant(place_ptr_id=5).pk == "plc_11111111116"
    assert Menu(restaurant_id=5).restaurant_id == "plc_11111111116"
    adopted = Restaurant(place_ptr=Place.objects.create(id=6, name="Café"), stars=1)
    adopted.save_base(raw=True)
    assert Restaurant.objects.get(pk=6).name == "Café"


def test_a_proxy_has_the_ids_of_its_model(ada: User) -> None:
    assert UserProxy.objects.get(pk="usr_8M0kX").id == "usr_8M0kX"
    assert UserProxy(id=5).id == "usr_5"


def test_generic_foreign_keys(ada: User, invoice: Invoice) -> None:
    for target in (ada, invoice):
        note = Note.objects.create(target=target, text="hello")
        assert note.target_id == target.id
        assert Note.objects.get(pk=note.pk).target == target
    assert Note.objects.get(target_type=ContentType.objects.get_for_model(User), target_id="usr_8M0kX")


def test_generic_foreign_keys_are_prefetched(ada: User, invoice: Invoice, django_assert_num_queries) -> None:
    ContentType.objects.clear_cache()
    for target in (ada, invoice):
        Note.objects.create(target=target)
    notes = list(Note.objects.order_by("pk").prefetch_related("target"))
    with django_assert_num_queries(0):
        assert [note.target for note in notes] == [ada, invoice]


def test_generic_relations(django_assert_num_queries) -> None:
    device = Device.objects.create(serial="A1")
    note = device.notes.create(text="hello")
    assert note.target_id == device.id
    assert list(device.notes.all()) == [note]
    with django_assert_num_queries(2):
        (row,) = Device.objects.prefetch_related("notes")
        assert list(row.notes.all()) == [note]
    device.delete()
    assert not Note.objects.exists()


def test_deleting_cascades_and_sets_null(ada: User, invoice: Invoice) -> None:
    grace = User.objects.create(name="Grace")
    Invoice.objects.filter(pk=invoice.pk).update(payer=grace)
    grace.delete()
    invoice.refresh_from_db()
    assert invoice.payer_id is None
    ada.delete()
    assert not Invoice.objects.exists()


def test_columns_of_references_have_the_type_of_the_plain_reference() -> None:
    for model, name, plain in [
        (Invoice, "customer", models.BigIntegerField()),
        (Device, "owner", models.BigIntegerField()),
        (Tag.invoices.through, "tag", models.SmallIntegerField()),
        (Tag.invoices.through, "invoice", models.IntegerField()),
    ]:
        assert model._meta.get_field(name).db_type(connection) == plain.db_type(connection)
    for model, auto in [
        (User, models.BigAutoField()),
        (Invoice, models.AutoField()),
        (Tag, models.SmallAutoField()),
    ]:
        assert model._meta.pk.db_type(connection) == auto.db_type(connection)


def test_a_reference_to_a_field_that_is_not_there_is_left_to_djangos_check(registry: Apps) -> None:
    class Receipt(models.Model):
        customer = models.ForeignKey(User, models.CASCADE, to_field="missing")

        class Meta:
            apps = registry
            app_label = "spicy_test"

    assert "fields.E312" in [message.id for message in Receipt._meta.get_field("customer").check()]


@pytest.mark.parametrize("given", ["id", "integer"])
def test_a_reference_can_be_part_of_a_composite_key(registry: Apps, tables: Any, given: str) -> None:
    options = type("Meta", (), {"apps": registry, "app_label": "spicy_test"})

    class Box(models.Model):
        id = SpicyBigAutoField(primary_key=True, prefix="box")
        Meta = options

    class Slot(models.Model):
        pk = models.CompositePrimaryKey("box_id", "number")
        box = models.ForeignKey(Box, models.CASCADE)
        number = models.IntegerField()
        name = models.CharField(max_length=10, default="")
        Meta = options

    tables(Box, Slot)
    box = Box.objects.create(id=5)
    slot = Slot.objects.create(box=box, number=1)
    Slot.objects.create(box_id=5, number=2)
    key = ("box_5" if given == "id" else 5, 1)
    assert slot.pk == Slot.objects.get(pk=key).pk == ("box_5", 1)
    assert Slot.objects.filter(pk__in=[key]).get() == slot
    assert Slot.objects.in_bulk([key]) == {("box_5", 1): slot}
    assert Slot.objects.filter(pk__in=Slot.objects.filter(pk=key).values("pk")).get() == slot
    assert Slot.objects.exclude(pk=key).values_list("box", "number").get() == ("box_5", 2)
    slot.name = "first"
    slot.save()
    slot.refresh_from_db()
    assert Slot.objects.filter(pk=key).update(name="one") == 1
    assert Slot(pk=key).box_id == "box_5"
    with pytest.raises(ProgrammingError):
        Slot.objects.filter(pk=("garbage", 1)).exists()
    slot.delete()
    assert Slot.objects.count() == 1


@pytest.mark.parametrize("name", ["customer_id", "payer_id"])
def test_an_empty_text_is_no_id_of_a_reference(ada: User, invoice: Invoice, name: str) -> None:
    values = {"customer_id": ada.id, name: ""}
    with pytest.raises(SpicyIdQueryError), transaction.atomic():
        Invoice.objects.create(**values)
    with pytest.raises(SpicyIdQueryError), transaction.atomic():
        Invoice.objects.bulk_create([Invoice(**values)])
    with pytest.raises(SpicyIdQueryError), transaction.atomic():
        Invoice.objects.update(**{name: ""})
    setattr(invoice, name, "")
    with pytest.raises(SpicyIdQueryError), transaction.atomic():
        invoice.save()
    assert Invoice.objects.get().customer == ada
