"""The test suite of django-spicy-id itself, unchanged, over the fields of this project."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import django_spicy_id

ROOT = Path(__file__).parents[2]
VERSION = "1.1.0"
#: Their tests are a package within theirs, and in this process within ours.
PROGRAM = """
import sys
import django_spicy_id
django_spicy_id.__path__.append(sys.argv[1])
import django
from django.test.utils import get_runner
from django.conf import settings
django.setup()
tests = [f"django_spicy_id.tests.{name}_test" for name in ("baseconv", "fields", "server")]
settings.SILENCED_SYSTEM_CHECKS = ["spicy_id.W001"]
sys.exit(get_runner(settings)().run_tests(tests))
"""


@pytest.fixture(scope="module")
def theirs() -> Path:
    """The folder of their package, fetched where it is not there yet."""
    folder = ROOT / ".cache" / "upstream" / f"django-spicy-id-{VERSION}"
    package = folder / "django_spicy_id"
    if not (package / "tests" / "fields_test.py").exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
        ended = subprocess.run([*command, f"django-spicy-id=={VERSION}"], capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
    return package


def test_the_test_suite_of_django_spicy_id_passes(theirs: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(theirs)],
        cwd=ROOT,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "django_spicy_id.tests.settings",
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Ran 43 tests" in ended.stderr


def test_all_of_its_names_are_there(theirs: Path) -> None:
    names: dict[str, object] = {}
    source = (theirs / "__init__.py").read_text()
    exec(source[source.index("__all__") :], names)
    assert set(names["__all__"]) <= set(django_spicy_id.__all__)
    for module in sorted(path.stem for path in theirs.glob("*.py")):
        __import__(f"django_spicy_id.{module}")
