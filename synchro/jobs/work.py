"""Do a job, in whichever process."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any, Final

from django.apps import apps
from django.db.models import Model
from django.utils.translation import override

from synchro import core, stopping
from synchro.conf import LOCAL, conf
from synchro.fields import DatabaseNow
from synchro.jobs.beat import Beat
from synchro.jobs.ends import end
from synchro.jobs.errors import in_words, without_values
from synchro.keys import to_text
from synchro.load import Loaded, load
from synchro.models import Job
from synchro.pending import all_pending
from synchro.registry import watched_tables
from synchro.relations import parents_first
from synchro.replay.quarantine.store import taking_up
from synchro.replay.run_record import started_by
from synchro.report import Report
from synchro.verify import ModelResult, verify

logger = logging.getLogger("synchro.jobs")

#: How often, in seconds, progress is written down, and how many rows of a model are named.
EVERY, NAMED = 0.5, 100


def work(number: int) -> None:
    """Do the job with this number; nothing where it was begun before, or is over."""
    jobs = Job.objects.using(LOCAL).filter(pk=number, state=Job.WAITING)
    if not jobs.update(state=Job.RUNNING, begun=DatabaseNow(), seen=DatabaseNow()):
        return
    job = Job.objects.using(LOCAL).get(pk=number)
    with override(job.language or None), stopping.by_event() as stop, started_by(job.by):
        try:
            with Beat(number, stop):
                result = _WORK[job.kind](job)
        except Exception as error:
            words = "The job %d (%s, %s) failed.\n%s"
            cause = error if conf.debug else None
            logger.error(words, number, job.kind, job.alias, without_values(error), exc_info=cause)  # noqa: TRY400
            end(number, Job.FAILED, in_words(error))
            return
        except KeyboardInterrupt:
            end(number, Job.STOPPED)
            raise
        Job.objects.using(LOCAL).filter(pk=number).update(result=json.dumps(result))
        end(number, Job.STOPPED if stopping.is_asked() else Job.DONE, result.get("message", ""))


def _synchronize(job: Job) -> dict[str, Any]:
    _note(job, total=sum(pending.entries for pending in all_pending() if pending.alias == job.alias))
    return _told(core.call_synchronize(remote=job.alias))


def _retry(job: Job) -> dict[str, Any]:
    chosen = [(int(kind), text) for kind, text in json.loads(job.chosen)]
    waiting = sum(pending.quarantined for pending in all_pending() if pending.alias == job.alias)
    _note(job, total=len(chosen) or waiting)
    with taking_up(chosen) if chosen else nullcontext():
        return _told(core.call_synchronize(remote=job.alias, retry=True))


def _told(report: Report) -> dict[str, Any]:
    return {**asdict(report), "message": str(report)}


def _load(job: Job) -> dict[str, Any]:
    models = _models(job)
    _note(job, total=len(models))
    steps = _Steps(job)

    def progress(done: Loaded) -> None:
        steps.at(done.model, f"{done.model._meta.label}: {done.rows} / {done.total}")

    found = load(job.alias, models, progress=progress)
    names = ("rows", "equal", "sent", "kept", "left")
    return {
        "models": [
            {"model": one.model._meta.label, **{name: getattr(one, name) for name in names}} for one in found
        ]
    }


def _verify(job: Job) -> dict[str, Any]:
    models, found = _models(job), []
    _note(job, total=len(models))
    steps = _Steps(job)

    def progress(result: ModelResult) -> None:
        steps.at(result.model, f"{result.model._meta.label}: {result.rows}")

    for model in models:
        if stopping.is_asked():
            break
        steps.at(model, model._meta.label)
        found += [_compared(result) for result in verify(job.alias, [model], kept=NAMED, progress=progress)]
    return {"models": found}


def _compared(result: ModelResult) -> dict[str, Any]:
    def text(key: Any) -> str | None:
        return None if key is None else to_text(result.model, key)

    return {
        "model": result.model._meta.label,
        "rows": result.rows,
        "equal": result.equal,
        "on_the_way": result.on_the_way,
        "quarantined": result.quarantined,
        "different": result.unequal,
        "differences": [
            {
                "kind": one.kind,
                "key": text(one.key),
                "remote_key": text(one.remote_key),
                "fields": list(one.fields),
            }
            for one in result.differences
        ],
    }


def _models(job: Job) -> Sequence[type[Model]]:
    """Return the models that the job is about, those first that others need."""
    chosen = {apps.get_model(label)._meta.concrete_model for label in json.loads(job.labels)}
    watched = [table.model for table in watched_tables()]
    return [model for model in parents_first(watched) if not chosen or _owner(model) & chosen]


def _owner(model: type[Model]) -> set[type[Model] | None]:
    """Return the model, and of the table of a many-to-many field the one that declares it."""
    declaring = model._meta.auto_created
    return {model, declaring._meta.concrete_model if isinstance(declaring, type) else None}


class _Steps:
    """Progress model by model, written down now and then."""

    def __init__(self, job: Job) -> None:
        self._job, self._written = job, 0.0
        self._begun: list[type[Model]] = []

    def at(self, model: type[Model], words: str) -> None:
        """Say that this model is at hand."""
        is_new = model not in self._begun
        if is_new:
            self._begun.append(model)
        if is_new or time.monotonic() - self._written >= EVERY:
            _note(self._job, done=len(self._begun) - 1, progress=words)
            self._written = time.monotonic()


def _note(job: Job, **values: Any) -> None:
    Job.objects.using(LOCAL).filter(pk=job.pk).update(**values)


_WORK: Final[dict[str, Callable[[Job], dict[str, Any]]]] = {
    Job.SYNCHRONIZE: _synchronize,
    Job.RETRY: _retry,
    Job.VERIFY: _verify,
    Job.LOAD: _load,
}
