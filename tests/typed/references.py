"""What only mypy knows, by the plugin of django-stubs: foreign keys and their ``_id`` attributes, plain keys."""

from __future__ import annotations

from typing import assert_type
from uuid import UUID

from django.db import models

from tests.typed.models import Invoice, User


class Numbered(models.Model):
    """As Django's own key is typed, a spicy one is: before a row is saved, too."""

    id = models.BigAutoField(primary_key=True)


def attributes(invoice: Invoice) -> None:
    assert_type(Numbered().id, int)
    assert_type(invoice.customer, User)
    assert_type(invoice.customer_id, str)
    assert_type(invoice.payer_id, str | None)
    assert_type(invoice.parcel_id, str | None)
    assert_type(invoice.payer, User | None)


def given(invoice: Invoice) -> None:
    invoice.customer_id = 5
    invoice.customer_id = "usr_5"
    invoice.payer_id = None
    invoice.parcel_id = UUID(int=5)
    Invoice(customer_id="usr_5", payer_id=None)
    Invoice.objects.create(customer_id=5, parcel_id="pcl_5")
    Invoice.objects.filter(customer="usr_5", payer_id="usr_5")
