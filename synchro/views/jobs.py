"""Start a job, look at it, stop it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from synchro import jobs
from synchro.conf import LOCAL, conf
from synchro.exceptions import SynchroError
from synchro.models import Job, Run
from synchro.registry import watched_models
from synchro.views.access import back, may_see, may_synchronize, page, render


@dataclass(frozen=True)
class Progress:
    """How far a job is."""

    job: Job
    done: int
    #: None where that is not known.
    total: int | None

    @property
    def percent(self) -> int | None:
        return None if not self.total else min(100, self.done * 100 // self.total)


def progress_of(job: Job) -> Progress:
    """Return how far a job is; of one that runs the replayer, by the record of its run."""
    if job.kind not in (Job.SYNCHRONIZE, Job.RETRY) or job.begun is None:
        return Progress(job, job.done, job.total)
    runs = Run.objects.using(LOCAL).filter(alias=job.alias, begun__gte=job.begun)
    run = runs.order_by("-id").first()
    return Progress(job, run.entries if run is not None else 0, job.total)


@page(may_synchronize, methods=("POST",))
def start(request: HttpRequest) -> HttpResponse:
    """Start what the form says."""
    kind, alias = request.POST.get("kind", ""), request.POST.get("alias", "")
    if kind not in dict(Job.KINDS):
        raise Http404
    known = {model._meta.label for model in watched_models()}
    labels = [label for label in request.POST.getlist("models") if label in known]
    return start_and_tell(request, kind, (alias,) if alias else conf.remotes, labels)


def start_and_tell(
    request: HttpRequest, kind: str, aliases: Iterable[str], labels: Iterable[str] = ()
) -> HttpResponse:
    """Start a job for each of these databases, and leave a message about it."""
    if not may_synchronize(request):
        raise PermissionDenied
    for alias in aliases:
        try:
            job = jobs.start(kind, alias, by=request.user.get_username(), labels=list(labels))
        except SynchroError as error:
            messages.error(request, str(error))
            continue
        job.refresh_from_db()
        tell(request, job)
    return back()


def tell(request: HttpRequest, job: Job) -> None:
    """Leave a message about a job that was just started, and may be over by now."""
    if job.state in (Job.FAILED, Job.LOST):
        messages.error(request, job.message)
    elif not job.is_over:
        words = _("%(kind)s: begun for “%(alias)s”. It goes on if you leave this page.")
        messages.info(request, words % {"kind": job.get_kind_display(), "alias": job.alias})
    else:
        messages.success(request, job.message or str(job))
        for warning in json.loads(job.result).get("warnings", ()):
            messages.warning(request, warning)


@page(may_synchronize, methods=("POST",))
def stop(request: HttpRequest, number: int) -> HttpResponse:
    """Ask a job to end after the batch at hand."""
    job = _find(number)
    if not job.is_over:
        jobs.ask_to_stop(job.pk)
        messages.info(
            request, _("It will stop after the batch at hand. What is left waits for the next run.")
        )
    return back()


@page(may_see, methods=("GET", "HEAD"))
def job(request: HttpRequest, number: int) -> HttpResponse:
    """The page of a job; with ``part``, what of it changes."""
    jobs.open_jobs()  # gives up those that are lost
    found = _find(number)
    context: dict[str, Any] = {
        "job": found,
        "progress": progress_of(found),
        "result": json.loads(found.result),
        "may_synchronize": may_synchronize(request),
    }
    if request.GET.get("part"):
        part = render_to_string("synchro/job_part.html", context, request)
        return JsonResponse({"parts": {"job": part}, "busy": not found.is_over, "status": str(found)})
    return render(request, "synchro/job.html", title=str(found), **context)


def _find(number: int) -> Job:
    found = Job.objects.using(LOCAL).filter(pk=number).first()
    if found is None:
        raise Http404
    return found
