"""What the package says about itself."""

from __future__ import annotations

import tomllib
from importlib.metadata import metadata, requires, version
from pathlib import Path

import pytest

import synchro

pytestmark = pytest.mark.once

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]


def test_version_is_that_of_the_distribution() -> None:
    assert synchro.__version__ == version("django-synchro") == PROJECT["version"]


def test_urls_lead_to_the_repository() -> None:
    urls = metadata("django-synchro").get_all("Project-URL")

    assert {url.partition(",")[0] for url in urls} == PROJECT["urls"].keys()
    assert all("github.com/zlorf/django-synchro" in url for url in urls)


def test_what_metrics_and_tracing_need_is_no_requirement_of_all() -> None:
    always = [text for text in requires("django-synchro") or [] if "extra ==" not in text]

    assert sorted(text.partition(">")[0] for text in always) == ["Django", "django-dbsettings", "tqdm"]
    assert {"metrics", "tracing", "docs", "postgresql", "mysql"} <= PROJECT["optional-dependencies"].keys()
