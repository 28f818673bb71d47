"""How much of both packages the tests execute: measured by `sys.monitoring`, which costs them next to nothing."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from pathlib import Path

from tests.backends.commands import run, succeeds
from tests.backends.errors import BackendError
from tests.backends.state import PROJECT
from tests.suite.venv import Environment

FOLDER = PROJECT / ".cache" / "coverage"


def command(environment: Environment, label: str) -> list[str]:
    """
    Return what runs a module of Python and measures it, to be followed by the module's name and arguments.

    Where the interpreter has no `sys.monitoring` (before 3.12), nothing is measured: that would take twice the time.
    """
    has_monitoring = [environment.python, "-c", "import coverage, sys; sys.monitoring"]
    if not succeeds(has_monitoring):
        return [environment.python, "-m"]
    data = FOLDER / f"{label}.data"
    return [environment.python, "-m", "coverage", "run", f"--data-file={data}", "-m"]


#: For the processes that are measured.
VARIABLES = {"COVERAGE_CORE": "sysmon"}


def begin() -> None:
    """Forget what was measured before."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)


def table(environment: Environment) -> str:
    """Return what all tests together executed, by folder; a sentence where nothing was measured."""
    measured = sorted(map(str, FOLDER.glob("*.data")))
    if not measured:
        return "coverage was not measured: it takes Python 3.12 or newer"
    coverage = [environment.python, "-m", "coverage"]
    whole, report = FOLDER / "whole", FOLDER / "report.json"
    try:
        run([*coverage, "combine", "--keep", "--quiet", f"--data-file={whole}", *measured])
        run([*coverage, "json", "--quiet", f"--data-file={whole}", "-o", str(report)])
    except BackendError as error:
        return f"coverage was not measured: {error}"
    return table_of(json.loads(report.read_text())["files"])


def table_of(files: dict[str, dict[str, dict[str, int]]]) -> str:
    """Return a line for each folder and for each package, of the files in a report of coverage's."""
    counts: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for name, file in files.items():
        path = Path(name)
        for place in {str(path.parent), path.parts[0] + " (all)"}:
            counts[place][0] += file["summary"]["covered_lines"]
            counts[place][1] += file["summary"]["num_statements"]
    lines = ["lines that tests executed:"]
    for place, (covered, statements) in sorted(counts.items()):
        if statements:
            lines.append(f"{place:38}{covered:6} of {statements:6} {100 * covered / statements:6.1f} %")
    return "\n".join(lines)
