"""What all of synchro's commands do alike: JSON, progress, verbosity, closed pipes, language."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command, get_commands, load_command_class

from synchro.management import progress
from synchro.management.base import EXIT_CODES, VERBOSITY, SynchroCommand
from tests.replay import processes
from tests.shop.models import Seat

pytestmark = [pytest.mark.once, pytest.mark.django_db(databases=["default", "remote"], transaction=True)]

COMMANDS = sorted(name for name, app in get_commands().items() if app == "synchro")


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_json_examples_verbosity_and_exit_codes(name: str) -> None:
    command = load_command_class("synchro", name)

    assert isinstance(command, SynchroCommand)
    text = command.create_parser("manage.py", name).format_help()
    assert f"examples:\n\n  manage.py {name}" in text
    assert all(part.strip() in text for part in (VERBOSITY, EXIT_CODES, "--json"))


@pytest.mark.parametrize(
    "arguments",
    [
        ("synchronize",),
        ("synchro_status",),
        ("synchro_verify",),
        ("synchro_load", "--dry-run"),
        ("synchro_reset", "--dry-run"),
        ("synchro_identity",),
        ("synchro_install_triggers", "shop.Seat"),
        ("synchro_install_triggers", "shop.Seat", "--sql", "--uninstall"),
        ("synchro_install_triggers", "shop.Seat", "--uninstall"),
    ],
    ids=" ".join,
)
def test_json_is_json_and_nothing_else(arguments: tuple[str, ...]) -> None:
    Seat.objects.create(number=1)
    output, errors = StringIO(), StringIO()

    call_command(*arguments, "--json", stdout=output, stderr=errors)

    assert json.loads(output.getvalue())
    assert errors.getvalue() == ""


@pytest.mark.parametrize(
    "arguments", [("synchronize",), ("synchro_load",), ("synchro_verify",)], ids=" ".join
)
def test_progress_is_for_a_terminal(arguments: tuple[str, ...], settings: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(progress, "DELAY", 0.0)
    settings.SYNCHRO_BATCH_SIZE = 2
    for number in range(5):
        Seat.objects.create(number=number)
    shown = {}
    for name, stream in (("terminal", Terminal()), ("file", StringIO())):
        call_command(*arguments, "--no-color", stdout=StringIO(), stderr=stream)
        shown[name] = stream.getvalue()
        Seat.objects.create(number=100 + len(shown))

    assert ("remote" if arguments == ("synchronize",) else "shop.Seat") in shown["terminal"]
    assert shown["terminal"].endswith("\r")  # the bar is taken away
    assert shown["file"] == ""


def test_each_verbosity_says_more(settings: Any) -> None:
    settings.SYNCHRO_BATCH_SIZE = 2
    said = []
    for verbosity in range(4):
        for number in range(3):
            Seat.objects.create(number=10 * verbosity + number)
        output, errors = StringIO(), StringIO()
        call_command("synchronize", verbosity=verbosity, stdout=output, stderr=errors)
        said.append((len(output.getvalue().splitlines()), errors.getvalue().count("has arrived")))

    assert said == [(0, 0), (2, 0), (3, 0), (3, 2)]


@pytest.mark.parametrize("arguments", [("synchro_status",), ("synchronize", "-v", "3")], ids=" ".join)
def test_closed_pipe_is_no_traceback_and_ends_nothing(arguments: tuple[str, ...]) -> None:
    Seat.objects.create(number=1)
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "django", *arguments],
            env=processes.environment(),
            cwd=processes.ROOT,
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writing)

    assert (done.returncode, "Traceback" in done.stderr, "Broken" in done.stderr) == (0, False, False), (
        done.stderr
    )
