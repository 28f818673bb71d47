"""docs/spicy-ids-with.md, read and done as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "spicy-ids-with.md"
SETTINGS = """
from tests.neighbours.settings import *
INSTALLED_APPS = [*INSTALLED_APPS[:-1], "shop"]
ROOT_URLCONF = "shop.rest"
DATABASES["default"].setdefault("TEST", {})["NAME"] = f"{DATABASES['default']['NAME']}_page"
STRAWBERRY_DJANGO = {}
"""
PROGRAM = """
import doctest, sys, django
django.setup()
from django.test.utils import setup_databases, teardown_databases
databases = setup_databases(0, False)
text = open("examples.txt").read()
test = doctest.DocTestParser().get_doctest(text, {}, "page", "page", 0)
runner = doctest.DocTestRunner(optionflags=doctest.FAIL_FAST)
try:
    runner.run(test)
finally:
    teardown_databases(databases, 0)
sys.exit(f"{runner.failures} of {runner.tries} failed" if runner.failures else 0)
"""


def test_every_sample_of_the_page_runs(tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    shop.mkdir()
    (shop / "__init__.py").touch()
    examples = []
    for block in re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL):
        if ">>>" in block:
            examples.append(block)
        else:
            name = re.match(r"# shop/(\w+\.py)\n", block)
            assert name, f"no file is named: {block}"
            (shop / name[1]).write_text(block)
    assert len(examples) > 10
    (tmp_path / "page_settings.py").write_text(SETTINGS)
    (tmp_path / "examples.txt").write_text("\n".join(examples))
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "page_settings", "PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("file", ["oldest.txt", "newest.txt"])
def test_the_versions_on_the_page_are_those_of_the_tests(file: str) -> None:
    table = next(part for part in PAGE.read_text().split("\n\n") if part.startswith("| package"))
    neighbours = (ROOT / "tests" / "neighbours" / file).read_text().split("\n\n")[0]
    versions = re.findall(r"^[\w-]+==(\S+)$", neighbours, re.MULTILINE)
    assert len(versions) == 15
    assert set(versions) <= set(re.findall(r"[\d.]+\d", table))
