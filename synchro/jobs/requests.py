"""Ask for a job, or for its end."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterable
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from synchro.conf import LOCAL, conf
from synchro.exceptions import Busy, NotConfigured
from synchro.jobs.ends import end, given_up
from synchro.jobs.errors import in_words
from synchro.jobs.executors import launch
from synchro.models import Job
from synchro.replay.quarantine.store import ObjectName
from synchro.replay.session import Database

logger = logging.getLogger("synchro.jobs")

#: A job that nobody has heard of for so long is given up: its process was killed, or has never begun.
SILENCE = timedelta(minutes=1)
#: How long one may wait for a worker.
PATIENCE = timedelta(minutes=10)
#: How many are kept.
KEPT = 1000


def start(
    kind: str,
    alias: str,
    *,
    by: str,
    labels: Collection[str] = (),
    chosen: Iterable[ObjectName] = (),
) -> Job:
    """
    Have a job done for the database `alias` by another process; return it at once.

    Raises `Busy` where that database has one which is not over, `NotConfigured` for a database that is no REMOTE.
    """
    if alias not in conf.remotes:
        raise NotConfigured(
            _("SYNCHRO_REMOTE does not name the database “%(alias)s”. It names: %(aliases)s.")
            % {"alias": alias, "aliases": ", ".join(conf.remotes) or "-"}
        )
    give_up_lost()
    job = Job(
        kind=kind,
        alias=alias,
        slot=alias,
        by=by[:255],
        language=get_language() or "",
        labels=json.dumps(list(labels)),
        chosen=json.dumps([list(name) for name in chosen]),
    )
    try:
        with transaction.atomic(using=LOCAL):
            job.save(using=LOCAL, force_insert=True)
    except IntegrityError as error:
        raise Busy(
            _("Something is at work for the database “%(alias)s” already.") % {"alias": alias}
        ) from error
    _forget_old(job)
    try:
        launch(job)
    except Exception as error:
        logger.exception("The job %d could not be handed over.", job.pk)
        end(job.pk, Job.FAILED, in_words(error))
    return job


def ask_to_stop(number: int) -> None:
    """Ask a job to end after the batch at hand; one that has not begun ends at once."""
    Job.objects.using(LOCAL).filter(pk=number).update(is_stop_asked=True)
    end(number, Job.STOPPED, only=Job.WAITING)


def open_jobs() -> dict[str, Job]:
    """Return the jobs that are not over, by the database that each is for."""
    give_up_lost()
    return {job.alias: job for job in Job.objects.using(LOCAL).filter(slot__isnull=False)}


def give_up_lost() -> None:
    """
    Give up the jobs whose process is gone.

    Should it live after all, nothing happens twice: a run that meets another one ends as `Busy`.
    """
    now = Database(LOCAL).backend.now()
    jobs = Job.objects.using(LOCAL).filter(slot__isnull=False)
    silent = jobs.filter(state=Job.RUNNING, seen__lt=now - SILENCE)
    never = jobs.filter(state=Job.WAITING, asked__lt=now - PATIENCE)
    for state, several in ((Job.RUNNING, silent), (Job.WAITING, never)):
        for number in several.values_list("pk", flat=True):
            given_up(number, state)


def _forget_old(newest: Job) -> None:
    Job.objects.using(LOCAL).filter(pk__lte=newest.pk - KEPT, slot__isnull=True).delete()
