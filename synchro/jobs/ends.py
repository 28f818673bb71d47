"""How a job ends."""

from __future__ import annotations

from django.utils.translation import gettext as _

from synchro.conf import LOCAL
from synchro.fields import DatabaseNow
from synchro.models import Job


def end(number: int, state: str, message: str = "", *, only: str | None = None) -> None:
    """Write down how a job ended, and let the next one begin; with `only`, where it is in that state."""
    jobs = Job.objects.using(LOCAL).filter(pk=number, slot__isnull=False)
    jobs = jobs if only is None else jobs.filter(state=only)
    jobs.update(state=state, message=message, ended=DatabaseNow(), slot=None)


def given_up(number: int, state: str) -> None:
    """Give up a job whose process is gone, where it is in that state."""
    end(number, Job.LOST, _lost(state), only=state)


def _lost(state: str) -> str:
    if state == Job.WAITING:
        return _(
            "No worker has taken it. See whether the workers run, and whether they are of this project; then start it "
            "again. Nothing was done, and nothing is lost."
        )
    return _(
        "The process that did it is gone. What had arrived stays, and nothing is lost or doubled: start it again."
    )
