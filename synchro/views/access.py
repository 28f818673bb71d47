"""Who may do what, and what all pages have in common."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeAlias

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.views.decorators import staff_member_required
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_http_methods

from synchro.conf import conf

View: TypeAlias = Callable[..., HttpResponse]
Allowed: TypeAlias = Callable[[HttpRequest], bool]


def may_synchronize(request: HttpRequest) -> bool:
    return request.user.has_perm("synchro.synchronize")


def may_reset(request: HttpRequest) -> bool:
    return conf.allow_reset and request.user.has_perm("synchro.reset")


def may_resolve(request: HttpRequest) -> bool:
    return request.user.has_perm("synchro.resolve")


def may_discard(request: HttpRequest) -> bool:
    return request.user.has_perm("synchro.discard")


def may_view_runs(request: HttpRequest) -> bool:
    return request.user.has_perm("synchro.view_run")


def may_see(request: HttpRequest) -> bool:
    """Return whether the person may see the dashboard, whatever it lets this person do."""
    return may_synchronize(request) or may_reset(request) or may_view_runs(request)


def may_look(request: HttpRequest) -> bool:
    """Return whether the person may see where an object is."""
    return may_see(request) or request.user.has_perm("synchro.view_changelog")


def page(*allowed: Allowed, methods: tuple[str, ...] = ("GET", "HEAD", "POST")) -> Callable[[View], View]:
    """A page of the admin, for staff whom at least one of `allowed` lets in, outside any transaction."""

    def decorate(view: View) -> View:
        @wraps(view)
        def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if not any(is_allowed(request) for is_allowed in allowed):
                raise PermissionDenied
            return view(request, *args, **kwargs)

        checked = require_http_methods(list(methods))(checked)
        checked = csrf_protect(never_cache(staff_member_required(checked)))
        # A job that another process does must be committed before that process looks for it.
        for alias in settings.DATABASES:
            checked = transaction.non_atomic_requests(using=alias)(checked)
        return checked

    return decorate


def render(request: HttpRequest, template: str, **context: Any) -> HttpResponse:
    return TemplateResponse(request, template, {**admin.site.each_context(request), **context})


def back() -> HttpResponseRedirect:
    """To the dashboard by GET, so that reloading it repeats nothing."""
    return redirect("synchro:synchro")
