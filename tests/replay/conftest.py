from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.contenttypes.models import ContentType


@pytest.fixture(autouse=True)
def _fresh_content_types() -> Iterator[None]:
    """The two databases number them as they like, and a flush numbers them anew."""
    ContentType.objects.clear_cache()
    yield
    ContentType.objects.clear_cache()
