"""The part of the suite that has an environment of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.backends.errors import BackendError
from tests.backends.state import State
from tests.suite import applications, venv
from tests.suite.programs import Programs

pytestmark = pytest.mark.once


def without_an_environment(monkeypatch: pytest.MonkeyPatch) -> str:
    def refuse(name: str) -> venv.Environment:
        raise BackendError(f"{name} cannot be installed\nand more words")

    monkeypatch.setattr(venv, "ensure", refuse)
    return str(applications.test((), Programs(), State(Path("nowhere"))))


def test_tests_whose_environment_cannot_be_made_are_skipped_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CI", raising=False)

    row = without_an_environment(monkeypatch)

    assert row.split()[:7] == ["applications", "0", "passed", "0", "failed", "1", "skipped"]
    assert row.endswith("its environment cannot be made: applications cannot be installed")


def test_in_ci_that_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "1")

    assert without_an_environment(monkeypatch).split()[3:5] == ["1", "failed"]


def test_an_environment_is_made_anew_when_its_requirements_change(tmp_path: Path) -> None:
    requirements = tmp_path / "requirements.txt"
    environment = venv.Environment(tmp_path, ("test",), requirements=requirements)
    requirements.write_text("one==1\n")
    before = venv._stamp("python", ["test"], environment)

    requirements.write_text("one==2\n")

    assert venv._stamp("python", ["test"], environment) != before
