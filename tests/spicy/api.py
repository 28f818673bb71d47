"""A REST interface to the models, as REST framework makes it by default."""

from __future__ import annotations

from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.serializers import ModelSerializer
from rest_framework.viewsets import ModelViewSet

from tests.spicy.models import Invoice, Tag, User


class UserSerializer(ModelSerializer):
    class Meta:
        model = User
        fields = ("id", "name", "invoices")
        read_only_fields = ("invoices",)


class InvoiceSerializer(ModelSerializer):
    class Meta:
        model = Invoice
        fields = ("id", "customer", "payer", "total")


class TagSerializer(ModelSerializer):
    class Meta:
        model = Tag
        fields = ("id", "label", "invoices")


class UserViewSet(ModelViewSet):
    queryset = User.objects.order_by("id")
    serializer_class = UserSerializer
    # A router takes one segment of the path unless told more.
    lookup_value_regex = User._meta.pk.re_pattern


class InvoiceViewSet(ModelViewSet):
    queryset = Invoice.objects.order_by("id")
    serializer_class = InvoiceSerializer
    filter_backends = (DjangoFilterBackend,)
    filterset_fields = {
        "id": ("exact", "in", "gt", "range", "isnull"),
        "customer": ("exact", "in"),
        "customer__id": ("exact",),
    }


class TagViewSet(ModelViewSet):
    queryset = Tag.objects.order_by("id")
    serializer_class = TagSerializer
