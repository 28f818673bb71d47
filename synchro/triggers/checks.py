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

HINT = "Run: manage.py synchro_install_triggers (with --check it lists them all)"


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
    unnamed = [Problem("missing", model._meta.label, "its triggers") for model in found.unnamed]
    yield from _warnings([*unnamed, *found.problems])
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


#: How many tables a warning names.
NAMED = 3


def _warnings(problems: Sequence[Problem]) -> Iterator[checks.CheckMessage]:
    """One warning for each kind of problem, however many triggers have it."""
    for what, identifier in IDS.items():
        alike = [problem for problem in problems if problem.what == what]
        if alike:
            yield checks.Warning(f"{_told(alike)}.", hint=HINT, id=identifier)


def _told(alike: Sequence[Problem]) -> str:
    """The first problem in full, and of the others how many there are and on which tables."""
    first, *others = alike
    if not others:
        return str(first)
    tables = list(dict.fromkeys(problem.table for problem in others))
    names = ", ".join(tables[:NAMED])
    more = f" and {len(tables) - NAMED} more tables" if len(tables) > NAMED else ""
    triggers = "one more trigger" if len(others) == 1 else f"{len(others)} more triggers"
    return f"{first}, as {'is' if len(others) == 1 else 'are'} {triggers} of {names}{more}"
