from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from synchro.admin import add_synchronization
from tests.shop.models import Artist, Customer, Order

for model in (Artist, Customer, Order):
    admin.site.register(model)
add_synchronization(admin.site)

urlpatterns = [
    path("admin/", admin.site.urls),
    path("synchro/", include("synchro.urls")),
]
