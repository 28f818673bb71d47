"""
One side of the project, as a process of its own: its ``default`` is that side's database.

It reads commands from standard input, one a line, and answers each with a line of JSON: ``build.people.add`` is a
function of this package, ``manage synchronize -v 0`` is a command of Django.
"""

from __future__ import annotations

import gc
import importlib
import io
import json
import shlex
import sys
import traceback
import warnings
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import django
from django.core.management import call_command


def main() -> None:
    """Serve until the end of the input."""
    answers = sys.stdout
    django.setup()
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 50, 100)  # migrations make some ten thousand classes
    print(json.dumps({"error": "", "output": "ready"}), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(_answer(line.strip())), file=answers, flush=True)


def _answer(command: str) -> dict[str, Any]:
    output = io.StringIO()
    error = ""
    try:
        with redirect_stdout(output), redirect_stderr(output), warnings.catch_warnings():
            _do(command)
    except Exception:  # noqa: BLE001  whoever gave the command is told
        error = traceback.format_exc()
    return {"error": error, "output": output.getvalue()}


def _do(command: str) -> None:
    words = shlex.split(command)
    if words[0] == "manage":
        call_command(*words[1:], stdout=sys.stdout, stderr=sys.stderr)
        return
    module, _, function = words[0].rpartition(".")
    getattr(importlib.import_module(f"tests.applications.{module}"), function)(*words[1:])


if __name__ == "__main__":
    main()
