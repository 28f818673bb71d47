"""Who does a job: a worker of Django's task framework, one of Celery's, or a process of its own."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import IO, Any, Final

from django.conf import settings
from django.db import connections

from synchro.conf import conf
from synchro.exceptions import WrongSetting
from synchro.jobs.ends import given_up
from synchro.models import Job

logger = logging.getLogger("synchro.jobs")

#: Backends that do the work within the request, or not at all.
NO_WORKERS: Final = ("ImmediateBackend", "DummyBackend")


def launch(job: Job) -> None:
    """Hand the job over; whoever takes it calls `synchro.jobs.work.work`."""
    LAUNCHERS[conf.executor or executor()](job)


def executor() -> str:
    """Return the first way that the project has configured."""
    return "tasks" if _has_tasks() else "celery" if _has_celery() else "process"


def _has_tasks() -> bool:
    backend = (getattr(settings, "TASKS", None) or {}).get("default", {}).get("BACKEND", "")
    return bool(backend) and not str(backend).endswith(NO_WORKERS)


def _has_celery() -> bool:
    """Return whether the project has an app of Celery's that knows its broker. One that is not imported has none."""
    if "celery" not in sys.modules:
        return False
    return bool(import_module("celery").current_app.conf.broker_url)


def _by_tasks(job: Job) -> None:
    task: Any = import_module("synchro.jobs.django_task").job
    task.enqueue(job.pk)


def _by_celery(job: Job) -> None:
    tasks: Any = import_module("synchro.tasks")
    if tasks.job is None:
        raise WrongSetting("SYNCHRO_EXECUTOR is 'celery', which is not installed.")
    tasks.job.delay(job.pk)


def _by_process(job: Job) -> None:
    module = getattr(settings, "SETTINGS_MODULE", None) or os.environ.get("DJANGO_SETTINGS_MODULE")
    if not module:
        raise WrongSetting(
            "No process can be started with settings that are in no module. Set DJANGO_SETTINGS_MODULE, or let a "
            "worker do the work: SYNCHRO_EXECUTOR."
        )
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": module,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    # A file, since a pipe would break with the server that waits at its end.
    errors = tempfile.TemporaryFile()  # noqa: SIM115  whoever waits closes it
    try:
        process = subprocess.Popen(  # noqa: S603  nothing of it comes from a request
            [interpreter(), "-m", "synchro.job_process", str(job.pk)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env=environment,
            # It goes on when the server is restarted, and Ctrl-C in a terminal is not for it.
            start_new_session=True,
        )
    except OSError:
        errors.close()
        raise
    name = f"synchro job {job.pk}"
    threading.Thread(target=_wait, args=(process, job.pk, errors), name=name, daemon=True).start()


def _wait(process: subprocess.Popen[bytes], number: int, errors: IO[bytes]) -> None:
    """Wait for the end of a process, so that the system forgets it; say so if it left its job behind."""
    with errors:
        if process.wait() == 0:
            return
        errors.seek(0)
        logger.error("The job %d left this:\n%s", number, errors.read()[-10_000:].decode(errors="replace"))
    try:
        for state in (Job.WAITING, Job.RUNNING):
            given_up(number, state)
    finally:
        connections.close_all()


def interpreter() -> str:
    """Return the path of Python: inside some servers, `sys.executable` is the server."""
    if "python" in Path(sys.executable or "").name:
        return sys.executable
    return str(Path(sys.prefix) / ("Scripts/python.exe" if os.name == "nt" else "bin/python3"))


LAUNCHERS: Final[dict[str, Callable[[Job], None]]] = {
    "tasks": _by_tasks,
    "celery": _by_celery,
    "process": _by_process,
}
