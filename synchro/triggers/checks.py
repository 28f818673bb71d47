"""
System checks of capture by triggers. They ask the database, so they run with ``check --database`` and
`migrate`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.core import checks
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from synchro.backends import backend_for
from synchro.checks.guard import when_settings_are_right
from synchro.conf import LOCAL, conf
from synchro.exceptions import NotReady
from synchro.registry import watched_tables
from synchro.triggers import triggers_for
from synchro.triggers.base import OPEN, ORPHANED, POWERLESS
from synchro.triggers.by_hand import made_on_remote, unseen_by_triggers
from synchro.triggers.install import EVERY, INCOMPLETE, MISSES_CHANGES, Problem, survey
from synchro.triggers.pgtrigger_package import lacking
from synchro.triggers.remote import foreign_triggers, without_capture

HINT = "Run: manage.py synchro_install_triggers (with --check it lists them all)"


def register() -> None:
    checks.register(check_package, checks.Tags.compatibility)
    checks.register(check_triggers, checks.Tags.database)
    checks.register(check_remotes, checks.Tags.database)


@when_settings_are_right
def check_package(app_configs: Any = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """Asks no database, so every `check` tells it."""
    if conf.capture != "triggers" or connections[LOCAL].vendor != "postgresql":
        return []
    reason = lacking()
    return [checks.Error(reason, id="synchro.E103")] if reason else []


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
        backend = triggers_for(connection)
    except NotReady as error:
        yield checks.Error(str(error), hint="Use SYNCHRO_CAPTURE = 'signals'.", id="synchro.E101")
        return
    if not backend.is_ready() or check_package():
        return  # before the first migrate, or told already
    found = survey(connection)
    for label, why in found.impossible.items():
        yield checks.Error(why, obj=label, id="synchro.E102")
    unnamed = [Problem("missing", model._meta.label, EVERY) for model in found.unnamed]
    yield from _warnings([*unnamed, *found.problems])
    for sentence in backend.unseen([table.name for table in watched_tables()]):
        yield checks.Warning(sentence, id="synchro.W108")
    if backend.has_cascades():
        yield from _by_hand(connection)
    for sentence in backend.blind_spots():
        yield checks.Warning(
            sentence, hint="See docs/triggers.md; silence it once you know.", id="synchro.W105"
        )


def _by_hand(connection: BaseDatabaseWrapper) -> Iterator[checks.CheckMessage]:
    """One warning for all foreign keys whose work fires no trigger."""
    found = [str(one) for one in unseen_by_triggers(connection)]
    if found:
        yield checks.Warning(
            f"No trigger fires for what foreign keys of the database do by themselves: {_listed(found)}.",
            hint="Declare it in the model (on_delete=models.DB_CASCADE and the like), or drop that rule; compare these "
            "tables in both databases.",
            id="synchro.W112",
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")


@when_settings_are_right
def check_remotes(
    app_configs: Any = None, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[checks.CheckMessage]:
    """Of REMOTE: triggers that are not ours, and whether its own changes are captured."""
    return [
        message for alias in conf.remotes if alias in (databases or ()) for message in remote_messages(alias)
    ]


def remote_messages(alias: str) -> Iterator[checks.CheckMessage]:
    connection = connections[alias]
    try:
        backend = backend_for(connection)
    except NotReady:
        return  # the run says so
    for trigger in foreign_triggers(connection):
        yield checks.Warning(
            f"The database {alias!r} has a trigger of its own, {trigger}, on a watched table: it would do once more "
            "what it did on LOCAL, so no run writes there.",
            hint="Let it ask our switch (docs/triggers.md), or name it in SYNCHRO_REMOTE_TRIGGERS.",
            id="synchro.W122",
        )
    if not backend.sees_triggers():
        yield checks.Warning(
            f"The account of the database {alias!r} may lack the privilege TRIGGER, so triggers on watched tables "
            "there may not be seen.",
            hint="GRANT TRIGGER on that database to it; or silence this if no table there has a trigger.",
            id="synchro.W123",
        )
    found = without_capture(connection)
    if found:
        yield found
    by_hand = [str(one) for one in made_on_remote(connection)]
    if by_hand:
        yield checks.Warning(
            f"The database {alias!r} has foreign keys made by hand, by which the server deletes or empties rows of "
            f"watched tables: {_listed(by_hand)}. A deletion that would so touch a row which LOCAL has is refused.",
            hint="Declare it in the model on both sides, or drop that rule there.",
            id="synchro.W124",
        )


IDS = {
    "missing": "synchro.W101",
    "outdated": "synchro.W102",
    "disabled": "synchro.W103",
    "left over": "synchro.W104",
    MISSES_CHANGES: "synchro.W106",
    INCOMPLETE: "synchro.W107",
    OPEN: "synchro.W109",
    POWERLESS: "synchro.W110",
    ORPHANED: "synchro.W111",
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
