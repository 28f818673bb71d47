"""Checks of synchro's settings. While one is wrong, only that is told: the other checks could not read it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from django.core.checks import CheckMessage, Error, Warning
from django.db import connections

from synchro.checks.guard import when_settings_are_right
from synchro.conf import LOCAL, NAMES, conf, unknown_names
from synchro.exceptions import WrongSetting
from synchro.registry import watched_models, wrong_settings
from synchro.replay.conflicts.policy import POLICIES, policy_of

#: Names of one's own machine.
LOOPBACK = dict.fromkeys(("localhost", "127.0.0.1", "::1"), "localhost")


def check_values(app_configs: Any = None, **_kwargs: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = [Error(str(error), id="synchro.E007") for error in wrong_settings()]
    for name in unknown_names():
        alike = get_close_matches(name, NAMES, n=1)
        found.append(
            Warning(
                f"There is no setting {name} of synchro.",
                hint=f"Did you mean {alike[0]}?" if alike else "They are listed in docs/settings.md.",
                id="synchro.W008",
            )
        )
    return found


@when_settings_are_right
def check_settings(app_configs: Any = None, **_kwargs: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    found.extend(check_conflict("The setting", conf.conflict, None))
    found.extend(_same_database())
    if conf.remotes and not watched_models():
        found.append(
            Warning(
                "SYNCHRO_REMOTE is set, but nothing is watched.",
                hint="Name apps or models in SYNCHRO_MODELS.",
                id="synchro.W004",
            )
        )
    return found


def check_conflict(whose: str, value: Any, obj: Any) -> Iterator[CheckMessage]:
    """Check the value of ``SYNCHRO_CONFLICT``; `whose` it is begins the message."""
    try:
        policy_of(value)
    except WrongSetting:
        yield Error(
            f"{whose} SYNCHRO_CONFLICT is {value!r}, which is nothing that can decide.",
            hint=f"Use {', '.join(map(repr, POLICIES))}, or a callable or the dotted path of one.",
            obj=obj,
            id="synchro.E006",
        )


def _same_database() -> Iterator[CheckMessage]:
    for alias in conf.remotes:
        if _place(alias) == _place(LOCAL):
            yield Warning(
                f"SYNCHRO_REMOTE names {alias!r}, which is the same database as {LOCAL!r}.",
                hint=f"Give DATABASES[{alias!r}] the name and the host of the other database.",
                id="synchro.W002",
            )


def _place(alias: str) -> tuple[str, ...]:
    """Return where DATABASES says that it is, in one spelling."""
    entry = connections.settings[alias]  # without loading its engine
    engine, name, host, port = (str(entry.get(key) or "") for key in ("ENGINE", "NAME", "HOST", "PORT"))
    if engine.endswith(("sqlite3", "spatialite")) and not name.startswith(("file:", ":memory:")):
        name = os.path.realpath(name)
    return engine, name, LOOPBACK.get(host, host), port
