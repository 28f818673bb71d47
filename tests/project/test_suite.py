"""What the suite runs where, and what it makes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

import pytest

from tests.backends import pairs
from tests.backends.errors import BackendError
from tests.backends.server import KINDS, Server
from tests.backends.state import PROJECT, State
from tests.suite import applications, check, coverage, docs, folders, lint, neighbours, pytest_runs, venv
from tests.suite.__main__ import Suite, lanes_of
from tests.suite.programs import Programs

pytestmark = pytest.mark.once


def without_an_environment(part: ModuleType, monkeypatch: pytest.MonkeyPatch) -> str:
    def refuse(name: str) -> venv.Environment:
        raise BackendError(f"{name} cannot be installed\nand more words")

    monkeypatch.setattr(venv, "ensure", refuse)
    return str(part.test((), Programs(), State(Path("nowhere"))))


@pytest.mark.parametrize(("part", "runs"), [(applications, 1), (neighbours, 2), (docs, 1)])
def test_tests_whose_environment_cannot_be_made_are_skipped_with_the_reason(
    part: ModuleType, runs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)

    row = without_an_environment(part, monkeypatch)

    assert row.split()[:7] == [part.LABEL, "0", "passed", "0", "failed", str(runs), "skipped"]
    assert f"its environment cannot be made: {part.LABEL} cannot be installed" in row


@pytest.mark.parametrize(("part", "runs"), [(applications, 1), (neighbours, 2), (docs, 1)])
def test_in_ci_that_is_a_failure(part: ModuleType, runs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "1")

    assert without_an_environment(part, monkeypatch).split()[3:5] == [str(runs), "failed"]


def test_an_environment_is_made_anew_when_its_requirements_change(tmp_path: Path) -> None:
    requirements = tmp_path / "requirements.txt"
    environment = venv.Environment(tmp_path, ("test",), requirements=requirements)
    requirements.write_text("one==1\n")
    before = venv._stamp("python", ["test"], environment)

    requirements.write_text("one==2\n")

    assert venv._stamp("python", ["test"], environment) != before


# -- which tests run where ----------------------------------------------------------------------------------------

#: They restart servers, or have environments of their own.
OTHER_RUNS = {"restarts", "applications", "neighbours"}


def test_every_test_runs_on_sqlite() -> None:
    paths = [PROJECT / path for part in folders.parts(pairs.find("sqlite")) for path in part]
    tests = {file for file in (PROJECT / "tests").rglob("test_*.py") if file.parent.name not in OTHER_RUNS}

    assert [path for path in paths if not path.exists()] == []
    assert {file for file in tests if not any(path in (file, *file.parents) for path in paths)} == set()
    assert len(paths) == len(set(paths))


def test_what_an_engine_may_do_otherwise_runs_on_each() -> None:
    others = [pair for pair in pairs.PAIRS if pair != folders.ONLY_MOVED]
    assert all({*folders.EVERY_PAIR} <= {*folders.paths(pair)} for pair in others)
    assert folders.paths(folders.ONLY_MOVED) == folders.MOVES
    for kind in ("sqlite", "mysql", "postgresql"):
        assert {*folders.EVERY_KIND, *folders.EVERY_KIND_BY_SIGNALS} <= {*folders.paths(pairs.find(kind))}
    assert {*folders.EVERY_KIND} <= {*folders.paths(pairs.find("postgresql-postgresql-triggers"))}
    assert {*folders.ON_MARIADB} <= {*folders.paths(pairs.find("mariadb"))}
    on_each_server = {pair.local for pair in pairs.PAIRS if {*folders.ONE_DATABASE} <= {*folders.paths(pair)}}
    assert on_each_server == {"sqlite", *KINDS}


def test_pair_of_two_kinds_is_given_only_what_it_runs() -> None:
    assert set(folders.paths(pairs.find("mysql-postgresql"))) == {*folders.EVERY_PAIR, *folders.MOVES}


def test_everything_runs_on_every_pair_for_whoever_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNCHRO_TEST_EVERYTHING", "1")
    about_pairs = {
        *folders.EVERY_PAIR,
        *folders.EVERY_KIND,
        *folders.EVERY_KIND_BY_SIGNALS,
        *folders.ON_SQLITE,
    }

    assert all(about_pairs <= {*folders.paths(pair)} for pair in pairs.PAIRS)


def test_jobs_that_run_at_once_have_databases_of_their_own() -> None:
    address = {"origin": "native", "host": "127.0.0.1", "port": 1}
    servers = {name: Server(name=name, kind=kind, **address) for name, kind in KINDS.items()}
    known = State(Path("unused"), servers=servers)
    jobs = [job for lane in lanes_of(pairs.PAIRS) for job in lane]

    urls = [pairs.environment(job.pair, known, job.part)["SYNCHRO_TEST_LOCAL"] for job in jobs]

    assert len(set(urls)) == len(urls) > len(pairs.PAIRS)


@pytest.mark.parametrize("capture", ["signals", "triggers"])
def test_no_more_than_two_replayers_read_one_mariadb_at_once(capture: str) -> None:
    lanes = lanes_of(pairs.PAIRS)

    reading = [
        [job for job in lane if (job.pair.local, job.pair.capture) == ("mariadb", capture)] for lane in lanes
    ]

    assert len([jobs for jobs in reading if jobs]) == 1
    assert {job.pair for lane in lanes for job in lane} == {*pairs.PAIRS}


def test_tests_that_somebody_names_are_run_once_on_each_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(venv, "ensure", lambda name: venv.ENVIRONMENTS[name])
    suite = Suite(
        [pairs.find("sqlite"), pairs.find("mysql-postgresql")], ["-x", "tests/replay/log"], False, []
    )

    jobs = [job for lane in suite._lanes(suite.chosen) for job in lane]

    assert [(job.pair.label, job.paths) for job in jobs] == [("sqlite-sqlite", ()), ("mysql-postgresql", ())]


# -- what was executed --------------------------------------------------------------------------------------------


def test_coverage_is_told_by_folder_and_by_package() -> None:
    def file(covered: int, statements: int) -> dict[str, dict[str, int]]:
        return {"summary": {"covered_lines": covered, "num_statements": statements}}

    told = coverage.table_of(
        {"synchro/a.py": file(8, 8), "synchro/replay/b.py": file(1, 2), "django_spicy_id/c.py": file(0, 4)}
    )

    rows = [line.split() for line in told.splitlines()[1:]]
    assert [(row[0], *row[-5:]) for row in rows] == [
        ("django_spicy_id", "0", "of", "4", "0.0", "%"),
        ("django_spicy_id", "0", "of", "4", "0.0", "%"),
        ("synchro", "8", "of", "8", "100.0", "%"),
        ("synchro", "9", "of", "10", "90.0", "%"),
        ("synchro/replay", "1", "of", "2", "50.0", "%"),
    ]


def test_coverage_that_was_not_measured_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, "FOLDER", tmp_path)

    assert "Python 3.12" in coverage.table(venv.ENVIRONMENTS["main"])


def test_interpreter_without_monitoring_measures_nothing(tmp_path: Path) -> None:
    environment = venv.Environment(tmp_path, ())

    assert coverage.command(environment, "x") == [environment.python, "-m"]


# -- make check ---------------------------------------------------------------------------------------------------


class Recorded(Programs):
    """Programs that are not run: what was to be is kept, and some fail."""

    def __init__(self, failing: str = "nothing") -> None:
        super().__init__()
        self.commands: list[list[str]] = []
        self.failing = failing

    def run(self, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> tuple[int, float]:
        self.commands.append([*command])
        return int(self.failing in command), 0.0


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Recorded:
    recorded = Recorded()
    monkeypatch.setattr(check, "Programs", lambda: recorded)
    for module in (pytest_runs, lint):
        monkeypatch.setattr(module, "LOGS", tmp_path)
    monkeypatch.setattr(venv, "ensure", lambda name: venv.ENVIRONMENTS[name])
    return recorded


def test_check_runs_every_linter_and_tests_of_every_subject(programs: Recorded) -> None:
    assert check.main([]) == 0

    (tests,) = (command for command in programs.commands if "pytest" in command)
    assert len(programs.commands) == 1 + len(lint.CHECKS)
    assert {*check.PATHS} <= {*tests}
    assert [path for path in check.PATHS if not (PROJECT / path).is_file()] == []


@pytest.mark.parametrize("failing", ["pytest", "mypy", "ruff"])
def test_check_fails_with_any_of_its_parts(programs: Recorded, failing: str) -> None:
    programs.failing = failing

    assert check.main([]) == 1


def test_check_runs_the_tests_that_somebody_names(programs: Recorded) -> None:
    assert check.main(["-x", "tests/replay/log"]) == 0

    (tests,) = (command for command in programs.commands if "pytest" in command)
    assert tests[-2:] == ["-x", "tests/replay/log"]
    assert not {*check.PATHS} & {*tests}
