"""Django REST framework and django-filter."""

from __future__ import annotations

import pytest
from django.test import Client
from django_filters import FilterSet
from rest_framework.serializers import CharField, ModelSerializer

from django_spicy_id import SpicyAutoField, SpicyBigAutoField, SpicySmallAutoField, monkey_patch_drf
from django_spicy_id.filters import register
from tests.spicy.api import InvoiceSerializer, TagSerializer, UserSerializer
from tests.spicy.models import Device, Invoice, Tag, User

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("chosen_keys")]

GARBAGE = ["garbage", "5", "acct_5", "usr_05", "usr_zzzzzzzzzzz", "usr_\u0665"]


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


def test_a_serializer_gives_ids(ada: User, invoice: Invoice) -> None:
    assert UserSerializer(ada).data == {"id": "usr_8M0kX", "name": "Ada", "invoices": ["inv-07000005"]}
    assert InvoiceSerializer(Invoice.objects.get()).data == {
        "id": "inv-07000005",
        "customer": "usr_8M0kX",
        "payer": None,
        "total": 3,
    }


def test_a_serializer_takes_references_by_id(invoice: Invoice) -> None:
    serializer = TagSerializer(data={"label": "red", "invoices": ["inv-07000005"]})
    assert serializer.is_valid()
    assert list(serializer.save().invoices.all()) == [invoice]
    assert serializer.data["id"] == Tag.objects.get().id


def test_a_serializer_takes_references_by_integer(ada: User, invoice: Invoice) -> None:
    serializer = InvoiceSerializer(data={"customer": 123456789})
    assert serializer.is_valid()
    assert serializer.save().customer_id == "usr_8M0kX"
    assert serializer.data["customer"] == "usr_8M0kX"


@pytest.mark.parametrize("value", [*GARBAGE, -1, 2**63, True, 5.5, None, [], {}])
def test_a_reference_that_is_no_id_is_invalid(ada: User, value: object) -> None:
    serializer = InvoiceSerializer(data={"customer": value})
    assert not serializer.is_valid()
    assert list(serializer.errors) == ["customer"]
    tag = TagSerializer(data={"label": "red", "invoices": [value]})
    assert not tag.is_valid()


@pytest.mark.parametrize("field_class", [SpicyBigAutoField, SpicyAutoField, SpicySmallAutoField])
def test_patching_again_changes_nothing(field_class: type) -> None:
    before = dict(ModelSerializer.serializer_field_mapping)
    monkey_patch_drf()
    monkey_patch_drf()
    assert ModelSerializer.serializer_field_mapping == before
    assert issubclass(before[field_class], CharField)


def test_a_router_looks_rows_up_by_id(client: Client, ada: User, invoice: Invoice) -> None:
    assert client.get("/spicy/api/users/usr_8M0kX/").json()["name"] == "Ada"
    assert client.get("/spicy/api/invoices/inv-07000005/").json()["customer"] == "usr_8M0kX"
    made = client.post("/spicy/api/invoices/", {"customer": "usr_8M0kX"}).json()
    assert Invoice.objects.get(pk=made["id"]).customer == ada
    patched = client.patch(
        f"/spicy/api/invoices/{made['id']}/", {"total": 4}, content_type="application/json"
    )
    assert patched.json()["total"] == 4
    assert client.delete(f"/spicy/api/invoices/{made['id']}/").status_code == 204
    assert Invoice.objects.get() == invoice


@pytest.mark.parametrize("text", GARBAGE)
def test_a_router_does_not_find_what_is_no_id(client: Client, ada: User, text: str) -> None:
    assert client.get(f"/spicy/api/users/{text}/").status_code == 404
    assert client.get(f"/spicy/api/invoices/{text}/").status_code == 404
    answer = client.post("/spicy/api/invoices/", {"customer": text})
    assert (answer.status_code, list(answer.json())) == (400, ["customer"])


@pytest.mark.parametrize(
    "query",
    [
        "id=inv-07000005",
        "id__in=inv-07000005,inv-00000001",
        "id__gt=inv-07000004",
        "id__range=inv-07000000,inv-07000005",
        "id__isnull=false",
        "customer=usr_8M0kX",
        "customer__in=usr_8M0kX",
        "customer__id=usr_8M0kX",
        "id=",
    ],
)
def test_filters_take_ids(client: Client, invoice: Invoice, query: str) -> None:
    answer = client.get(f"/spicy/api/invoices/?{query}")
    assert [row["id"] for row in answer.json()] == ["inv-07000005"]


@pytest.mark.parametrize("text", GARBAGE)
@pytest.mark.parametrize("name", ["id", "id__in", "id__gt", "customer", "customer__in", "customer__id"])
def test_a_filter_with_what_is_no_id_is_an_error_of_the_request(
    client: Client, invoice: Invoice, name: str, text: str
) -> None:
    answer = client.get("/spicy/api/invoices/", {name: text})
    assert (answer.status_code, list(answer.json())) == (400, [name])


def test_a_filter_set_of_ones_own(invoice: Invoice) -> None:
    register()

    class DeviceFilter(FilterSet):
        class Meta:
            model = Device
            fields = ["id", "owner", "owner__id"]

    device = Device.objects.create(owner_id=123456789)
    Device.objects.create()
    assert DeviceFilter({"id": device.id}).qs.get() == device
    assert DeviceFilter({"owner__id": "usr_8M0kX"}).qs.get() == device
    assert not DeviceFilter({"id": "garbage"}).is_valid()
