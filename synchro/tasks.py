"""Celery's workers look for tasks in a module of this name. (Django's own framework finds its task by itself.)"""

from __future__ import annotations

from typing import Any

from synchro.jobs.work import work

try:
    from celery import shared_task
except ImportError:
    job: Any = None
else:
    job = shared_task(name="synchro.job", ignore_result=True)(work)
