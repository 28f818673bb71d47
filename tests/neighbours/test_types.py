"""What type checkers find in code that uses spicy ids: see tests/typed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("checker", "arguments"),
    [
        ("mypy", ["--config-file", "tests/typed/mypy.ini"]),
        ("pyright", ["--pythonpath", sys.executable, "-p", "tests/typed"]),
    ],
)
def test_code_that_uses_the_fields_has_the_right_types(checker: str, arguments: list[str]) -> None:
    if not importlib.util.find_spec(checker):
        pytest.skip(f"{checker} is in the environment with the newest versions only")
    ended = subprocess.run(
        [sys.executable, "-m", checker, *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
