"""The dashboard: how each REMOTE stands, what is at work, and what can be started."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.utils.formats import number_format
from django.utils.timesince import timesince
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from synchro import jobs
from synchro.conf import LOCAL, conf
from synchro.health import Health, health_of_local, health_of_remotes
from synchro.last_check import aware
from synchro.models import Job, Run
from synchro.registry import watched_models
from synchro.views.access import may_reset, may_see, may_synchronize, page, render
from synchro.views.charts import charts
from synchro.views.jobs import Progress, progress_of, start_and_tell

#: How many runs are listed, and over how many hours charts may go.
RUNS, HOURS = 10, (6, 24, 24 * 7, 24 * 30)


@dataclass(frozen=True)
class Card:
    """What the dashboard shows of one REMOTE."""

    health: Health
    #: What is at work for it.
    progress: Progress | None

    @property
    def state(self) -> str:
        """The one word that a frightened person looks for: `down`, `refused`, `working`, `behind` or `equal`."""
        health = self.health
        if health.problem is not None:
            return "down"
        if self.progress is not None:
            return "working"
        if health.quarantined:
            return "refused"
        if health.pending:
            return "behind"
        return "never" if health.arrived is None else "equal"

    @property
    def pending(self) -> str:
        return _number(self.health.pending)

    @property
    def quarantined(self) -> str:
        return _number(self.health.quarantined)

    @property
    def conflicts(self) -> str:
        return _number(self.health.conflicts)

    @property
    def lag(self) -> str:
        """How old the oldest change is that it lacks."""
        seconds = self.health.lag
        if not self.health.pending:
            return "-"
        if seconds < 60:
            return _("%(seconds)d s") % {"seconds": seconds}
        now = datetime.now(UTC)
        return timesince(now - timedelta(seconds=seconds), now, depth=1)

    @property
    def outcome(self) -> str:
        run = self.health.last_run
        return "" if run is None else str(dict(Run.OUTCOMES).get(run.outcome, run.outcome))

    @property
    def run_in_words(self) -> str:
        run = self.health.last_run
        if run is None:
            return ""
        words = ngettext(
            "%(count)s entry, %(ago)s, by %(by)s", "%(count)s entries, %(ago)s, by %(by)s", run.entries
        )
        return words % {"count": _number(run.entries), "ago": _ago(run.ended), "by": run.by}

    @property
    def arrived(self) -> str:
        return "" if self.health.arrived is None else _ago(self.health.arrived)

    @property
    def words(self) -> str:
        """The same as a sentence."""
        return {
            "down": _("cannot be reached"),
            "working": _("at work"),
            "refused": _("changes in quarantine"),
            "behind": _("changes are waiting"),
            "never": _("nothing has been sent yet"),
            "equal": _("has every change"),
        }[self.state]


def _ago(moment: datetime) -> str:
    """Return how long ago that was."""
    now = datetime.now(UTC)
    if now - aware(moment) < timedelta(minutes=1):
        return _("just now")
    return _("%(time)s ago") % {"time": timesince(aware(moment), now, depth=1)}


def _span(hours: int) -> str:
    if hours <= 24:
        return ngettext("%(number)d hour", "%(number)d hours", hours) % {"number": hours}
    return ngettext("%(number)d day", "%(number)d days", hours // 24) % {"number": hours // 24}


def _gaps(count: int) -> str:
    words = _("%(count)d ids are missing in the log: transactions that are open may bring them.")
    return words % {"count": count}


def _number(value: int) -> str:
    return number_format(value, force_grouping=True)


@page(may_see)
def synchro(request: HttpRequest) -> HttpResponse:
    """Show where things stand, at once: no REMOTE is asked. A POST starts a run to every REMOTE."""
    if request.method == "POST":
        return start_and_tell(request, Job.SYNCHRONIZE, conf.remotes)
    return render(
        request,
        "synchro/synchro.html",
        title=_("Synchronization"),
        models=sorted(model._meta.label for model in watched_models() if not model._meta.auto_created),
        hours=[(hours, _span(hours)) for hours in HOURS],
        **_now(request, asks_remotes=False),
    )


@page(may_see, methods=("GET",))
def state(request: HttpRequest) -> HttpResponse:
    """What changes on the dashboard, as parts of the page; with ``ask`` each REMOTE is asked whether it is there."""
    asks = request.GET.get("ask") == "1"
    context = _now(request, asks_remotes=asks, down=_known_to_be_down(request))
    cards: list[Card] = context["cards"]
    parts = {
        "cards": render_to_string("synchro/cards.html", context, request),
        "local": render_to_string("synchro/local.html", context, request) if asks else "",
        "runs": render_to_string("synchro/runs.html", context, request),
    }
    return JsonResponse(
        {
            "parts": parts,
            "down": {card.health.alias: card.health.problem for card in cards if card.health.problem},
            "busy": any(card.progress is not None for card in cards),
            "status": ". ".join(f"{card.health.alias}: {card.words}" for card in cards),
        }
    )


@page(may_see, methods=("GET",))
def series(request: HttpRequest) -> HttpResponse:
    """The numbers of the charts, over the last hours."""
    asked = request.GET.get("hours", "")
    hours = int(asked) if asked.isdecimal() and int(asked) in HOURS else HOURS[1]
    return JsonResponse(charts(conf.remotes, hours))


def _known_to_be_down(request: HttpRequest) -> dict[str, str]:
    """Return what the page found out when it last asked whether each REMOTE is there: the names of errors."""
    pairs = (text.rpartition(":") for text in request.GET.getlist("down"))
    return {alias: why for alias, _colon, why in pairs if why.isidentifier()}


def _now(
    request: HttpRequest, *, asks_remotes: bool, down: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Any]:
    at_work = jobs.open_jobs()
    local = health_of_local() if asks_remotes else None
    return {
        "cards": list(_cards(at_work, asks_remotes, down)),
        "local": local,
        "gaps": "" if local is None else _gaps(local.gaps),
        "runs": Run.objects.using(LOCAL).order_by("-id")[:RUNS],
        "jobs": Job.objects.using(LOCAL).order_by("-id")[:RUNS],
        "may_synchronize": may_synchronize(request),
        "may_reset": may_reset(request),
        "busy": bool(at_work),
    }


def _cards(at_work: Mapping[str, Job], asks_remotes: bool, down: Mapping[str, str]) -> Iterator[Card]:
    for health in health_of_remotes(asks_remotes=asks_remotes):
        job = at_work.get(health.alias)
        if not asks_remotes and health.alias in down:
            health = replace(health, problem=down[health.alias])
        yield Card(health, progress_of(job) if job is not None else None)
