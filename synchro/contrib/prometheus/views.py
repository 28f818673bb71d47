"""A page of metrics for projects that have none. It asks for no password: serve it where Prometheus alone can come."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest


@never_cache
def metrics(_request: HttpRequest) -> HttpResponse:
    """Everything in the default registry, so also what other packages measure."""
    return HttpResponse(generate_latest(REGISTRY), content_type=CONTENT_TYPE_LATEST)
