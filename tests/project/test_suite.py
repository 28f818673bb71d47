"""The parts of the suite that have environments of their own."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from tests.backends.errors import BackendError
from tests.backends.state import State
from tests.suite import applications, neighbours, venv
from tests.suite.programs import Programs

pytestmark = pytest.mark.once


def without_an_environment(part: ModuleType, monkeypatch: pytest.MonkeyPatch) -> str:
    def refuse(name: str) -> venv.Environment:
        raise BackendError(f"{name} cannot be installed\nand more words")

    monkeypatch.setattr(venv, "ensure", refuse)
    return str(part.test((), Programs(), State(Path("nowhere"))))


@pytest.mark.parametrize(("part", "runs"), [(applications, 1), (neighbours, 2)])
def test_tests_whose_environment_cannot_be_made_are_skipped_with_the_reason(
    part: ModuleType, runs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)

    row = without_an_environment(part, monkeypatch)

    assert row.split()[:7] == [part.LABEL, "0", "passed", "0", "failed", str(runs), "skipped"]
    assert f"its environment cannot be made: {part.LABEL} cannot be installed" in row


@pytest.mark.parametrize(("part", "runs"), [(applications, 1), (neighbours, 2)])
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
