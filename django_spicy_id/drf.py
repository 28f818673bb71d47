"""Django REST framework: spicy ids are strings in serializers."""

from __future__ import annotations


def monkey_patch_drf() -> None:
    """
    Tell REST framework's model serializers that spicy ids are strings. Calling it again changes nothing.

    With ``django_spicy_id`` and ``rest_framework`` in ``INSTALLED_APPS`` this has been done at start-up.
    """
    from rest_framework.serializers import ModelSerializer

    from django_spicy_id.fields import SPICY_FIELDS
    from django_spicy_id.serializers import SpicyIdField

    for field_class in SPICY_FIELDS:
        ModelSerializer.serializer_field_mapping[field_class] = SpicyIdField
