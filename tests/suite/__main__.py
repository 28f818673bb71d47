"""
The whole suite: ``python3 -m tests.suite [--pairs "sqlite mysql"] [pytest's arguments]``.

Linters, and the tests on every pair at once; then the tests that restart servers, on pairs that share none.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from tests.backends import lifecycle, pairs
from tests.backends.commands import succeeds
from tests.backends.errors import BackendError
from tests.backends.pairs import Pair
from tests.backends.server import KINDS
from tests.backends.state import State
from tests.suite import applications, coverage, docs, folders, lint, neighbours, pytest_runs, venv
from tests.suite.outcomes import Outcome, closing_lines, failures
from tests.suite.programs import Programs

#: The parts with environments of their own, by what people write in ``PAIRS``.
OTHERS = {part.LABEL: part for part in (applications, neighbours, docs)}


class Suite:
    """One run of the suite."""

    def __init__(
        self, chosen: Sequence[Pair], arguments: Sequence[str], lints: bool, others: Sequence[str]
    ) -> None:
        self.chosen = list(chosen)
        self.others = list(others)
        self.arguments = list(arguments)
        self.lints = lints
        self.environments = {name: venv.ensure(name) for name in self._environment_names()}
        self.programs = Programs()

    def _environment_names(self) -> list[str]:
        older = {f"django{pair.django.replace('.', '')}" for pair in self.chosen if pair.django}
        return ["main", *sorted(older)]

    def run(self) -> int:
        """Do it all; the exit code."""
        unusable = self._without_driver()
        wanted = {name for pair in self.chosen for name in pair.servers}
        for label in self.others:
            wanted |= OTHERS[label].SERVERS
        names = [name for name in KINDS if name in wanted and name not in unusable]
        with lifecycle.running(names, tell) as servers, self.programs:
            servers.skipped |= {name: unusable[name] for name in wanted & set(unusable)}
            outcomes = list(self._run_on(servers))
        tell(failures(outcomes))
        tell(coverage.table(self.environments["main"]) + "\n")
        missing = {name: why for name, why in servers.skipped.items() if not lifecycle.is_required(name)}
        print(closing_lines(outcomes, missing), flush=True)
        return 1 if any(outcome.failed for outcome in outcomes) else 0

    def _without_driver(self) -> dict[str, str]:
        """The backends to which no Python driver leads, each with the reason."""
        if succeeds([self.environments["main"].python, "-c", "import MySQLdb"]):
            return {}
        reason = f"mysqlclient could not be compiled, which takes the packages {', '.join(venv.COMPILER)}"
        return {name: reason for name, kind in KINDS.items() if kind != "postgresql"}

    def _run_on(self, servers: State) -> Iterator[Outcome]:
        """The outcome of every part. Each is told as soon as it is known."""
        ready = [pair for pair in self.chosen if not pair.servers & set(servers.skipped)]
        yield from self._required_but_missing(servers)
        coverage.begin()
        # Two more than there are cores: now and then a test waits for something.
        with ThreadPoolExecutor(max_workers=(os.cpu_count() or 1) + 2) as pool:
            try:
                others = [pool.submit(self._test_other, label, servers) for label in self.others]
                lanes = [pool.submit(self._test_lane, lane, servers) for lane in self._lanes(ready)]
                checks = [pool.submit(self._lint, label) for label in self._checks()]
                tested = [outcome for lane in as_completed(lanes) for outcome in lane.result()]
                yield from (check.result() for check in checks)
                more = [other.result() for other in others]
            except BaseException:
                # the pool waits for its threads, so what they wait for must end first
                pool.shutdown(wait=False, cancel_futures=True)
                self.programs.end()
                raise
        if not folders.names_tests(self.arguments):
            tested += self._restarts([pair for pair in ready if pair.owns_servers], servers)
        yield from (self._judged(outcome) for outcome in sorted(tested, key=lambda outcome: outcome.label))
        yield from more
        if not any(outcome.passed or outcome.failed for outcome in [*tested, *more]):
            yield Outcome("all pairs", failed=1, remark="no test was run")

    def _lanes(self, ready: Sequence[Pair]) -> list[list[Job]]:
        """The jobs of these pairs; where somebody names tests, one for each pair, with no paths of its own."""
        lanes = lanes_of(ready)
        if not folders.names_tests(self.arguments):
            return lanes
        first = [[job for job in lane if job.part in ("", "-1")] for lane in lanes]
        return [[Job(job.pair, "", ()) for job in lane] for lane in first if lane]

    def _checks(self) -> Sequence[str]:
        return list(lint.CHECKS) if self.lints else []

    def _lint(self, label: str) -> Outcome:
        outcome = lint.check(label, self.programs, self.environments["main"])
        tell(str(outcome))
        return outcome

    def _test_other(self, label: str, servers: State) -> Outcome:
        outcome: Outcome = OTHERS[label].test(self.arguments, self.programs, servers)
        tell(str(outcome))
        return outcome

    def _test_lane(self, lane: Sequence[Job], servers: State) -> list[Outcome]:
        """The outcomes of jobs, one after the other."""
        return [self._test(job, servers) for job in lane]

    def _test(self, job: Job, servers: State) -> Outcome:
        name = f"django{job.pair.django.replace('.', '')}" if job.pair.django else "main"
        arguments = [*job.paths, *self.arguments]
        outcome = pytest_runs.run(
            job.pair,
            job.part,
            arguments,
            programs=self.programs,
            venv=self.environments[name],
            servers=servers,
        )
        tell(str(outcome))
        return outcome

    def _restarts(self, alone: Sequence[Pair], servers: State) -> list[Outcome]:
        """Of pairs that share no server, so that one may restart its own while the others go on."""
        jobs = [Job(pair, "-restarts", folders.RESTARTS) for pair in alone]
        with ThreadPoolExecutor(max_workers=len(alone) or 1) as pool:
            try:
                return list(pool.map(lambda job: self._test(job, servers), jobs))
            except BaseException:
                self.programs.end()
                raise

    def _judged(self, outcome: Outcome) -> Outcome:
        """A part without any test is a failure, unless the person chose tests that are not for every pair."""
        if self.arguments or outcome.passed or outcome.failed or outcome.skipped:
            return outcome
        return dataclasses.replace(outcome, failed=1, remark="no test was run")

    def _required_but_missing(self, servers: State) -> Iterator[Outcome]:
        for name, reason in servers.skipped.items():
            if lifecycle.is_required(name):
                yield Outcome(f"backend {name}", failed=1, remark=f"must be there in CI: {reason}")


@dataclass(frozen=True)
class Job:
    """One run of pytest: some paths, on a pair."""

    pair: Pair
    #: What its databases, its log and its report are told apart by from those of other jobs on the pair.
    part: str
    paths: tuple[str, ...]


def lanes_of(chosen: Sequence[Pair]) -> list[list[Job]]:
    """
    The jobs of these pairs, in their order. Those that must not run at the same time are in one list.

    Replayers that read a MariaDB ask its server for its open transactions, and get no new answer while others ask:
    two at a time get along, but not four.
    """
    lanes: dict[object, list[Job]] = {}
    for pair in chosen:
        for number, paths in enumerate(folders.parts(pair), start=1):
            part = f"-{number}" if len(folders.parts(pair)) > 1 else ""
            key = (pair.local, pair.capture) if pair.local.startswith("mariadb") else (pair, part)
            lanes.setdefault(key, []).append(Job(pair, part, paths))
    return list(lanes.values())


def tell(line: str) -> None:
    """Print one line at once."""
    print(line, flush=True)


def main(arguments: Sequence[str]) -> int:
    """Do what `arguments` say; the exit code."""
    parser = argparse.ArgumentParser(prog="python3 -m tests.suite", description=__doc__)
    parser.add_argument(
        "--pairs",
        default="",
        help=f"labels of pairs, or {', '.join(OTHERS)}, separated by spaces (default: all)",
    )
    parser.add_argument("--arguments", default="", help="arguments for pytest, as one string")
    options = parser.parse_args(arguments)
    lifecycle.end_on_signals()
    try:
        labels = options.pairs.split()
        chosen = [pairs.find(label) for label in labels if label not in OTHERS]
        others = [label for label in OTHERS if label in labels or not labels]
        everything = chosen if labels else list(pairs.PAIRS)
        return Suite(everything, shlex.split(options.arguments), not labels, others).run()
    except BackendError as error:
        print(f"error: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
