from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render

from desk.models import Order


def orders(request: HttpRequest) -> HttpResponse:
    """The newest orders by name of their branch, each with a link that carries its id."""
    found = Order.objects.select_related("branch").order_by("branch__name", "what")[:200]
    return render(request, "desk/orders.html", {"orders": found})


def order(request: HttpRequest, pk: str) -> HttpResponse:
    """One order, by an id such as ``ord_8M0kX``."""
    found = get_object_or_404(Order.objects.select_related("branch"), pk=pk)
    return render(request, "desk/order.html", {"order": found})
