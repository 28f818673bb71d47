"""The databases of the two sides: migrated once for each engine, from that side's own settings, and then copied."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.applications.house import CAPTURES, House, Template, migrated, place

#: Elsewhere than in the environment that has the packages, these tests are not there.
collect_ignore_glob = [] if all(map(importlib.util.find_spec, ("wagtail", "oscar"))) else ["test_*.py"]

#: While one works on the tests, migrated databases can be kept from run to run.
KEEPS = bool(os.environ.get("SYNCHRO_TEST_APPLICATIONS_KEEP"))
KEPT = Path(__file__).parents[2] / ".cache" / "applications"
PAIRS = (("sqlite", "postgresql"), ("mysql", "postgresql"))


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Template]]:
    """A migrated database of each engine that is there."""
    folder, name = (KEPT, "kept") if KEEPS else (tmp_path_factory.mktemp("templates"), "template")
    folder.mkdir(parents=True, exist_ok=True)
    made = [
        Template(engine, place(engine, name, folder), folder) for engine in ("sqlite", "mysql", "postgresql")
    ]
    there = [template for template in made if template.database is not None]
    with ThreadPoolExecutor() as pool:
        list(pool.map(migrated, [template for template in there if not (KEEPS and template.is_there)]))
    yield {template.engine: template for template in there}
    for template in there if not KEEPS else ():
        template.drop()


@pytest.fixture(
    scope="module",
    params=[(pair, capture) for pair in PAIRS for capture in CAPTURES],
    ids=lambda one: f"{'-'.join(one[0])}-{one[1]}",
)
def house(
    request: pytest.FixtureRequest, templates: dict[str, Template], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    """LOCAL and REMOTE, as they are right after `migrate` on each."""
    engines, capture = request.param
    for engine in engines:
        if engine not in templates:
            pytest.skip(
                f"there is no server of {engine}: SYNCHRO_TEST_{engine.upper()}_URL does not name one"
            )
    with House.built(templates, engines, capture, tmp_path_factory.mktemp("house")) as built:
        yield built
