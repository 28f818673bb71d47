"""
System checks of capture by triggers. They ask the database, so they run with ``check --database`` and
`migrate`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.core import checks
from django.db import connections

from synchro.checks import when_settings_are_right
from synchro.conf import LOCAL, conf
from synchro.exceptions import NotReady
from synchro.triggers import backend_for
from synchro.triggers.install import MISSES_CHANGES, Problem, survey

HINT = "Run: manage.py synchro_install_triggers"


def register() -> None:
    checks.register(check_triggers, checks.Tags.database)


@when_settings_are_right
def check_triggers(
    app_configs: Any = None, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[checks.CheckMessage]:
    if conf.capture != "triggers" or LOCAL not in (databases or ()):
        return []
    return list(_messages())


def _messages() -> Iterator[checks.CheckMessage]:
    connection = connections[LOCAL]
    try:
        backend = backend_for(connection)
    except NotReady as error:
        yield checks.Error(str(error), hint="Use SYNCHRO_CAPTURE = 'signals'.", id="synchro.E101")
        return
    if not backend.is_ready(connection):
        return  # before the first migrate
    found = survey(connection)
    for label, why in found.impossible.items():
        yield checks.Error(why, obj=label, id="synchro.E102")
    for model in found.unnamed:
        yield _message(Problem("missing", model._meta.label, "its triggers"))
    for problem in found.problems:
        yield _message(problem)
    if backend.blind_spot:
        yield checks.Warning(
            backend.blind_spot, hint="See docs/triggers.md; silence it once you know.", id="synchro.W105"
        )


IDS = {
    "missing": "synchro.W101",
    "outdated": "synchro.W102",
    "disabled": "synchro.W103",
    "left over": "synchro.W104",
    MISSES_CHANGES: "synchro.W106",
}


def _message(problem: Problem) -> checks.CheckMessage:
    return checks.Warning(f"{problem}.", hint=HINT, id=IDS[problem.what])
