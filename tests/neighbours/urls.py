from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from tests.neighbours.api import ninja, router

urlpatterns = [
    path("admin/", admin.site.urls),
    path("rest/", include(router.urls)),
    path("ninja/", ninja.urls),
]
