from __future__ import annotations

from django.contrib import admin
from django.urls import include, path, register_converter

from desk.models import Order
from desk.views import order, orders
from django_spicy_id import get_url_converter

register_converter(get_url_converter(Order, "id"), "order_id")

urlpatterns = [
    path("", orders, name="orders"),
    path("orders/<order_id:pk>/", order, name="order"),
    path("admin/", admin.site.urls),
    path("synchro/", include("synchro.urls")),
]
