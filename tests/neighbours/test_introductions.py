"""All packages are told, whoever is imported first."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.checks import run_checks

from django_spicy_id.checks import check_neighbours
from django_spicy_id.neighbours import NEIGHBOURS

ROOT = Path(__file__).parents[2]
BEGIN = """
import importlib, sys
from django.conf import settings
from tests.neighbours import settings as ours
apps = [app for app in ours.INSTALLED_APPS if app not in ("django_spicy_id", "tests.neighbours")]
settings.configure(INSTALLED_APPS=apps, SECRET_KEY="x", DEFAULT_AUTO_FIELD=ours.DEFAULT_AUTO_FIELD)
import django
django.setup()
"""
END = """
from django_spicy_id import SpicyBigAutoField
from django_spicy_id.neighbours import NEIGHBOURS, problems
for name in NEIGHBOURS:
    importlib.import_module(name)
import ninja.orm.factory, ninja.orm.fields
assert not problems, problems
assert ninja.orm.factory.get_schema_field is ninja.orm.fields.get_schema_field
assert ninja.orm.fields.get_schema_field.__wrapped__
"""
OTHERS = f"for name in {tuple(NEIGHBOURS)}:\n    importlib.import_module(name)\n"


@pytest.mark.parametrize(
    "program",
    [BEGIN + OTHERS + END, "import django_spicy_id\n" + BEGIN + END],  # some of them are apps
    ids=["packages first", "ids first"],
)
def test_packages_are_told_in_whatever_order_they_are_imported(program: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if key != "DJANGO_SETTINGS_MODULE"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.django_db
def test_the_versions_here_are_all_known() -> None:
    assert check_neighbours() == []
    assert [message for message in run_checks() if str(message.id).startswith("spicy_id")] == []
