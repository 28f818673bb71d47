"""The script in docs/office.md: it never replaces the office's database before its changes are away."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

PAGE = Path(__file__).parents[2] / "docs" / "office.md"


def run_script(folder: Path, failing: str) -> list[str]:
    """Run the page's script where the program that `failing` names fails; return the programs that were called."""
    (script,) = re.findall(r"```bash\n(.*?)```", PAGE.read_text(), re.DOTALL)
    calls = folder / "calls"
    for name in ("python", "pg_dump", "pg_restore"):
        program = folder / name
        program.write_text(
            "#!/usr/bin/env bash\n"
            f'line="{name} $*"\n'
            f'echo "$line" | tr "\\n" " " >> {calls}\necho >> {calls}\n'
            f'case "$line" in *"{failing}"*) exit 1;; esac\n'
        )
        program.chmod(0o755)
    done = subprocess.run(
        ["bash", "-c", script], env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}, check=False
    )
    assert (done.returncode == 0) == (failing == "nothing")
    return [line.split(" ")[0] for line in calls.read_text().splitlines()]


@pytest.mark.parametrize(
    ("failing", "called"),
    [
        ("manage.py synchronize", ["python"]),
        ("all_pending", ["python", "python"]),
        ("pg_dump", ["python", "python", "pg_dump"]),
        ("pg_restore", ["python", "python", "pg_dump", "pg_restore"]),
        ("nothing", ["python", "python", "pg_dump", "pg_restore", "python"]),
    ],
)
def test_script_ends_at_the_first_thing_that_fails(tmp_path: Path, failing: str, called: list[str]) -> None:
    assert run_script(tmp_path, failing) == called
