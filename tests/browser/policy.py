"""As strict a policy as a project may have."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

POLICY = "default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"


def strict(respond: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    def with_policy(request: HttpRequest) -> HttpResponse:
        response = respond(request)
        response["Content-Security-Policy"] = POLICY
        return response

    return with_policy
