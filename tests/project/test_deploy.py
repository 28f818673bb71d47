"""What is shipped for systemd and Compose is what docs/operating.md shows."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.once


@pytest.mark.parametrize("name", ["synchro.service", "compose.yaml"])
def test_shipped_file_is_the_one_that_the_page_shows(name: str) -> None:
    assert f"\n{(ROOT / 'deploy' / name).read_text()}```" in (ROOT / "docs" / "operating.md").read_text()
