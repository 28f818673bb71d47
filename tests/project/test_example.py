"""The example runs from nothing to the proof, from any folder."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "example" / "demo.py"


def demo(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(DEMO), *arguments],
        cwd=folder,
        env=os.environ | {"EXAMPLE_FOLDER": str(folder / "databases")} | environment,
        capture_output=True,
        text=True,
        timeout=240,
    )


LOOK = """
import re
import django
django.setup()
from django.test import Client
client = Client(SERVER_NAME="localhost")
links = re.findall('href="(/orders/[^"]+)"', client.get("/").content.decode())
assert len(links) == 21, links
for link in links:
    key = re.fullmatch("/orders/(ord_[0-9A-Za-z]+)/", link)[1]
    assert f"<h1>{key}</h1>" in client.get(link).content.decode(), link
assert client.get("/orders/ord_0garbage/").status_code == 404
assert client.get("/orders/ord_1/").status_code == 404
"""


def look(folder: Path) -> subprocess.CompletedProcess[str]:
    """Open the page of the orders, and each order by the address that stands there."""
    paths = os.pathsep.join([str(DEMO.parent), str(DEMO.parents[1])])
    environment = {"PYTHONPATH": paths, "DJANGO_SETTINGS_MODULE": "project.settings"}
    return subprocess.run(
        [sys.executable, "-c", LOOK],
        cwd=folder,
        env=os.environ | {"EXAMPLE_FOLDER": str(folder / "databases")} | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.once
def test_demo_proves_that_both_databases_are_the_same_and_leaves_pages_to_look_at(tmp_path: Path) -> None:
    ended = demo(tmp_path)

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("both databases are the same") == 2
    assert "1 that both sides had changed" in ended.stdout
    assert ended.stderr == ""
    looked = look(tmp_path)
    assert looked.returncode == 0, looked.stderr


@pytest.mark.once
def test_proof_sees_what_is_not_the_same(tmp_path: Path) -> None:
    assert demo(tmp_path, "create_databases").returncode == 0
    assert demo(tmp_path, "prove").returncode == 0
    with closing(sqlite3.connect(tmp_path / "databases" / "office.sqlite3")) as office, office:
        office.execute("INSERT INTO world_currency (code, numeric, name) VALUES ('PLN', '985', 'Zloty')")

    ended = demo(tmp_path, "prove")

    assert ended.returncode == 1
    assert "only in this database: Currency ('PLN'" in ended.stderr
