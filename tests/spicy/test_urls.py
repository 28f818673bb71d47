"""Url converters."""

from __future__ import annotations

import pytest
from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.test import Client
from django.urls import NoReverseMatch, reverse
from django.urls.converters import get_converters

from django_spicy_id import get_url_converter
from tests.spicy.models import Invoice, Menu, User


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


@pytest.mark.once
def test_the_view_gets_the_id(client: Client) -> None:
    assert client.get("/spicy/users/usr_8M0kX/").content == b"usr_8M0kX"
    both = client.get("/spicy/users/usr_8M0kX/invoices/inv-0000000a")
    assert both.content == b"usr_8M0kX inv-0000000a"
    assert client.get("/spicy/restaurants/plc_11111BukQL1/").content == b"plc_11111BukQL1"


@pytest.mark.once
@pytest.mark.parametrize(
    "path",
    [
        "/spicy/users/garbage/",
        "/spicy/users/5/",
        "/spicy/users/acct_5/",
        "/spicy/users/usr_05/",
        "/spicy/users/usr_/",
        "/spicy/users/usr_5%0A/",
        "/spicy/users/%20usr_5/",
        "/spicy/users/usr_%D9%A5/",
        "/spicy/users/usr_AzL8n0Y58m8/",
        "/spicy/users/usr_5/extra",
        "/spicy/users/usr_5/invoices/inv-0000000A",
        "/spicy/users/usr_5/invoices/inv-a",
        "/spicy/users/usr_5/invoices/inv-0000000a%0A",
        "/spicy/users/usr_5/invoices/inv-80000000",
    ],
)
def test_anything_else_is_not_found(client: Client, path: str) -> None:
    assert client.get(path).status_code == 404


@pytest.mark.once
def test_a_url_is_made_of_ids_and_integers() -> None:
    assert reverse("user", args=["usr_8M0kX"]) == "/spicy/users/usr_8M0kX/"
    assert reverse("user", kwargs={"user": 123456789}) == "/spicy/users/usr_8M0kX/"
    assert reverse("user-invoice", args=["usr_5", 10]) == "/spicy/users/usr_5/invoices/inv-0000000a"


@pytest.mark.once
@pytest.mark.parametrize("value", ["garbage", "inv-00000005", "", -1, 2**63, None, True, 5.0])
def test_there_is_no_url_for_anything_else(value: object) -> None:
    with pytest.raises(NoReverseMatch):
        reverse("user", args=[value])


@pytest.mark.once
def test_a_converter_can_be_registered_as_django_asks() -> None:
    assert get_converters()["user_id"].regex == User._meta.pk.re_pattern
    assert get_url_converter(User, "pk")().regex == get_url_converter(User, "id")().regex
    assert get_url_converter(Invoice, "customer")().regex == User._meta.pk.re_pattern
    assert get_url_converter(Menu, "restaurant")().to_python("plc_11111111116") == "plc_11111111116"


@pytest.mark.once
def test_a_converter_for_another_field_is_refused() -> None:
    with pytest.raises(
        ImproperlyConfigured, match=r"spicy\.User\.name is neither a spicy id nor a reference"
    ):
        get_url_converter(User, "name")
    with pytest.raises(ImproperlyConfigured, match=r"spicy\.Menu\.pk"):
        get_url_converter(Menu, "pk")
    with pytest.raises(ImproperlyConfigured, match=r"spicy\.User\.invoices"):
        get_url_converter(User, "invoices")
    with pytest.raises(FieldDoesNotExist):
        get_url_converter(User, "missing")


@pytest.mark.django_db
def test_a_view_without_a_converter_answers_400_for_what_is_no_id(client: Client) -> None:
    User.objects.create(id=123456789, name="Ada")
    assert client.get("/spicy/lookup/usr_8M0kX/").content == b"Ada"
    assert client.get("/spicy/lookup/garbage/").status_code == 400
