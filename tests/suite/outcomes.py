"""What came of one part of the suite, and how that is told."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Outcome:
    """The counts of one part: a linter, or the tests on one pair."""

    label: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0
    # All that it printed.
    log: Path | None = None
    # Why there is more to say than numbers: no test was run, a backend is missing.
    remark: str = ""

    def __str__(self) -> str:
        counts = (
            f"{self.passed:6} passed {self.failed:4} failed {self.skipped:4} skipped {self.seconds:6.1f} s"
        )
        return f"{self.label:32}{counts}  {self.remark}".rstrip()


@dataclass(frozen=True)
class Counts:
    """What pytest says of one run."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    @property
    def run(self) -> int:
        """How many tests were run or skipped by their own decision."""
        return self.passed + self.failed + self.skipped

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)


def read_junit(report: Path) -> Counts | None:
    """The counts in pytest's report; None if pytest did not live to write one."""
    if not report.exists():
        return None
    total = Counts()
    for suite in ElementTree.parse(report).getroot().iter("testsuite"):
        failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        skipped = int(suite.get("skipped", 0))
        total += Counts(max(0, int(suite.get("tests", 0)) - failed - skipped), failed, skipped)
    return total


def failures(outcomes: Iterable[Outcome]) -> str:
    """All that the failed parts printed."""
    return "".join(
        f"\n===== {outcome.label}: {outcome.log}\n{outcome.log.read_text(errors='replace')}\n"
        for outcome in outcomes
        if outcome.failed and outcome.log and outcome.log.exists()
    )


def closing_lines(outcomes: Iterable[Outcome], missing: dict[str, str]) -> str:
    """
    The end of the output: a table, the backends that were `missing` with their reasons, and the sum.

    The form of the last line is read by machines.
    """
    known = list(outcomes)
    passed, failed, skipped = (
        sum(getattr(one, name) for one in known) for name in ("passed", "failed", "skipped")
    )
    lines = [str(one) for one in known]
    for name, reason in missing.items():
        lines.append(f"skipped, since this backend is not available: {name}: {reason.splitlines()[0]}")
    return "\n".join([*lines, f"{passed} passed, {failed} failed, {skipped} skipped"])
