"""Oscar's own choices of thumbnailers take packages that have nothing to do with its tables."""

from __future__ import annotations

from typing import Any

from oscar.core.thumbnails import AbstractThumbnailer


class Unchanged(AbstractThumbnailer):
    """The picture as it is."""

    def generate_thumbnail(self, source: Any, **options: Any) -> Any:
        return source

    def delete_thumbnails(self, source: Any) -> None:
        """There are none."""
