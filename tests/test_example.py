"""The example runs from nothing to the proof, from any folder."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[1] / "example" / "demo.py"


def demo(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(DEMO), *arguments],
        cwd=folder,
        env=os.environ | {"EXAMPLE_FOLDER": str(folder / "databases")} | environment,
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.mark.once
def test_demo_proves_that_both_databases_are_the_same(tmp_path: Path) -> None:
    ended = demo(tmp_path)

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("both databases are the same") == 2
    assert "1 that both sides had changed" in ended.stdout
    assert ended.stderr == ""


@pytest.mark.once
def test_proof_sees_what_is_not_the_same(tmp_path: Path) -> None:
    assert demo(tmp_path, "create_databases").returncode == 0
    assert demo(tmp_path, "prove").returncode == 0
    with closing(sqlite3.connect(tmp_path / "databases" / "office.sqlite3")) as office, office:
        office.execute("INSERT INTO world_currency (code, numeric, name) VALUES ('PLN', '985', 'Zloty')")

    ended = demo(tmp_path, "prove")

    assert ended.returncode == 1
    assert "only in this database: Currency ('PLN'" in ended.stderr
