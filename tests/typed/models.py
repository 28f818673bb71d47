"""Code that uses spicy ids, with the types that checkers must find. It is read by mypy and pyright, and not run."""

from __future__ import annotations

from typing import Any, assert_type
from uuid import UUID

from django.db import models

from django_spicy_id import (
    ResolvedId,
    SpicyAutoField,
    SpicyBigAutoField,
    SpicyBigIntegerField,
    SpicyUUIDField,
    get_url_converter,
    resolve,
    spicy_auto_field,
)


class User(models.Model):
    id = SpicyBigAutoField(primary_key=True, prefix="usr")
    name = models.CharField(max_length=50)


class Parcel(models.Model):
    id = SpicyUUIDField("pcl", primary_key=True)
    code = SpicyUUIDField("trk", unique=True, encoding="b58")
    sender = SpicyBigIntegerField("usr")


class Invoice(models.Model):
    id = SpicyAutoField("inv", "-", "hex", True, True, primary_key=True)
    customer = models.ForeignKey(User, models.CASCADE)
    payer = models.ForeignKey(User, models.SET_NULL, null=True, related_name="paid")
    parcel = models.ForeignKey(Parcel, models.SET_NULL, null=True)


def keys(user: User, invoice: Invoice, parcel: Parcel) -> None:
    assert_type(user.id, str)
    assert_type(User().id, str)
    assert_type(invoice.id, str)
    assert_type(parcel.id, str)
    assert_type(parcel.code, str)
    assert_type(parcel.sender, str)


def given(user: User, parcel: Parcel) -> None:
    user.id = 5
    user.id = "usr_5"
    parcel.id = UUID(int=5)
    parcel.id = "pcl_5"
    parcel.sender = 5
    User.objects.get(id=5)
    User.objects.get(id="usr_5")
    User.objects.filter(id__in=[5, "usr_5"])
    Parcel.objects.get(id=UUID(int=5))


def functions() -> None:
    found = resolve("usr_5")
    assert_type(found, ResolvedId)
    assert_type(found.model, type[models.Model])
    assert_type(found.exists(), bool)
    get_url_converter(User, "id")
    field = SpicyBigAutoField(prefix="usr", pad=8, randomize="time")
    assert_type(field.re_pattern, str)
    assert_type(field.validate_string("usr_5"), None)
    assert_type(field.get_prep_value("usr_5"), Any)
    spicy_auto_field(lambda model: model.__name__)
    spicy_auto_field({"shop.Order": "ord"}, base=SpicyAutoField, encoding="hex")
