"""The admin page: synchronize, and reset synchronization, without a shell."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeAlias

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.views.decorators import staff_member_required
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods

from synchro import core
from synchro.conf import LOCAL, conf
from synchro.exceptions import Busy, KnownAsOrigin, NotReady, SynchroError
from synchro.models import Peer, options
from synchro.pending import all_pending
from synchro.replay.run_record import started_by
from synchro.status import remotes

View: TypeAlias = Callable[[HttpRequest], HttpResponse]

logger = logging.getLogger(__name__)


def may_synchronize(request: HttpRequest) -> bool:
    return request.user.has_perm("synchro.synchronize")


def may_reset(request: HttpRequest) -> bool:
    return conf.allow_reset and request.user.has_perm("synchro.reset")


def page(*allowed: Callable[[HttpRequest], bool]) -> Callable[[View], View]:
    """A page of the admin, for staff whom at least one of `allowed` lets in, outside any transaction."""

    def decorate(view: View) -> View:
        @wraps(view)
        def checked(request: HttpRequest) -> HttpResponse:
            if not any(is_allowed(request) for is_allowed in allowed):
                raise PermissionDenied
            return view(request)

        checked = require_http_methods(["GET", "HEAD", "POST"])(checked)
        checked = csrf_protect(never_cache(staff_member_required(checked)))
        # A run makes its own transactions, whose order is what makes it safe.
        for alias in settings.DATABASES:
            checked = transaction.non_atomic_requests(using=alias)(checked)
        return checked

    return decorate


@page(may_synchronize, may_reset)
def synchro(request: HttpRequest) -> HttpResponse:
    """Shows where things stand; a POST synchronizes."""
    if request.method != "POST":
        return render(
            request,
            "synchro/synchro.html",
            title=_("Synchronization"),
            last=options.last_check,
            remotes=remotes(),
            may_synchronize=may_synchronize(request),
            may_reset=may_reset(request),
        )
    if not may_synchronize(request):
        raise PermissionDenied
    run(request)
    return back()


@page(may_reset)
def reset(request: HttpRequest) -> HttpResponse:
    """
    Ask whether this is meant, and say what it would forget; a POST resets.

    Where something would be forgotten, or other nodes know this one, the name of the database has to be typed.
    """
    pending = [one for one in all_pending() if one]
    peers = list(Peer.objects.using(LOCAL).exclude(uuid=None).order_by("alias"))
    name = Path(str(connections[LOCAL].settings_dict["NAME"])).name
    is_confirmed = request.POST.get("database", "").strip() == name
    is_meant = is_confirmed or not (pending or peers)
    if request.method != "POST" or not is_meant:
        if request.method == "POST":
            messages.error(request, _("Nothing was reset: this is not the name of the database."))
        return render(
            request,
            "synchro/reset.html",
            title=_("Reset synchronization"),
            pending=pending,
            peers=peers,
            database=name,
        )
    try:
        # Whoever has typed the name was told for whom this is meant.
        core.reset_synchro(by=request.user.get_username(), is_copy=is_confirmed)
    except (Busy, NotReady, KnownAsOrigin) as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("Synchronization has been reset."))
    return back()


@sensitive_variables()
def run(request: HttpRequest) -> None:
    """Synchronize, and leave a message about it in words that are fit for any member of the staff."""
    try:
        with started_by(request.user.get_username()):
            report = core.call_synchronize()
    except Exception as error:
        if settings.DEBUG and conf.debug:
            raise
        story = _without_values(error)
        logger.exception(
            "The synchronization that was started on the admin page failed.\n%s",
            story,
            exc_info=error if conf.debug else None,
        )
        messages.error(request, in_words(error))
    else:
        messages.success(request, str(report))
        for warning in report.warnings:
            messages.warning(request, warning)


def _without_values(error: BaseException | None) -> str:
    """
    Where the error came from, with the words of synchro's own errors alone: those of a database hold values of rows,
    or how to connect. ``SYNCHRO_DEBUG`` logs the whole of it.
    """
    lines: list[str] = []
    while error is not None:
        words = f": {error}" if isinstance(error, SynchroError | ImproperlyConfigured) else ""
        lines[:0] = [*traceback.format_tb(error.__traceback__), f"{type(error).__qualname__}{words}\n"]
        error = error.__cause__ or error.__context__
    return "".join(lines)


def in_words(error: Exception) -> str:
    """What went wrong. Only texts of synchro's own: others may hold values of rows, or how to connect."""
    if isinstance(error, SynchroError | ImproperlyConfigured):
        return _("Synchronization failed: %(message)s") % {"message": error}
    return _("Synchronization failed with an error of type %(type)s. The log of the server tells more.") % {
        "type": type(error).__name__
    }


def render(request: HttpRequest, template: str, **context: Any) -> HttpResponse:
    return TemplateResponse(request, template, {**admin.site.each_context(request), **context})


def back() -> HttpResponseRedirect:
    """To the page itself by GET, so that reloading it repeats nothing."""
    return redirect("synchro:synchro")
