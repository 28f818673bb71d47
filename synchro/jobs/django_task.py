"""The task for workers of Django's framework, which look it up by the path of this module."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from synchro.exceptions import WrongSetting
from synchro.jobs.work import work

#: Where the task framework is: in Django since 6.0, or in the package for earlier ones.
PLACES: Final = ("django.tasks", "django_tasks")


def _framework() -> Any:
    for name in PLACES:
        try:
            return import_module(name)
        except ImportError:
            continue
    raise WrongSetting(
        "SYNCHRO_EXECUTOR is 'tasks', and there is no task framework: it comes with Django 6.0, or with the package "
        "django-tasks."
    )


def _job(number: int) -> None:
    work(number)


_job.__qualname__ = _job.__name__ = "job"
#: Does the job with this number.
job: Any = _framework().task(_job)
