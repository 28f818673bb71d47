from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import include, path, register_converter
from rest_framework.routers import DefaultRouter

from django_spicy_id import get_url_converter
from tests.spicy.api import InvoiceViewSet, TagViewSet, UserViewSet
from tests.spicy.models import Invoice, Restaurant, User

register_converter(get_url_converter(User, "id"), "user_id")
register_converter(get_url_converter(Invoice, "id"), "invoice_id")
register_converter(get_url_converter(Restaurant, "pk"), "restaurant_id")


def show(request: HttpRequest, **ids: str) -> HttpResponse:
    return HttpResponse(" ".join(ids.values()))


router = DefaultRouter()
router.register("users", UserViewSet)
router.register("invoices", InvoiceViewSet)
router.register("tags", TagViewSet)

urlpatterns = [
    path("users/<user_id:user>/", show, name="user"),
    path("users/<user_id:user>/invoices/<invoice_id:invoice>", show, name="user-invoice"),
    path("restaurants/<restaurant_id:restaurant>/", show, name="restaurant"),
    path("lookup/<str:user>/", lambda request, user: HttpResponse(User.objects.get(pk=user).name)),
    path("api/", include(router.urls)),
]
