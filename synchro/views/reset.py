"""The page that resets synchronization."""

from __future__ import annotations

from pathlib import Path

from django.contrib import messages
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from synchro import core
from synchro.conf import LOCAL
from synchro.exceptions import Busy, KnownAsOrigin, NotReady
from synchro.models import Peer
from synchro.pending import all_pending
from synchro.views.access import back, may_reset, page, render


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
        # Whoever has typed the name has read for whom this is meant.
        core.reset_synchro(by=request.user.get_username(), is_copy=is_confirmed)
    except (Busy, NotReady, KnownAsOrigin) as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("Synchronization has been reset."))
    return back()
