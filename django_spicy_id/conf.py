"""The settings of this package."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

NODE: Final = "SPICY_ID_NODE"
#: How many processes can have numbers: to each of 1,024 are left 4,096 keys a millisecond.
MOST_NODES: Final = 1024


def node() -> tuple[int, int]:
    """Return the number of this process among those that make keys by time, and how many bits such numbers have."""
    value = getattr(settings, NODE, None)
    if value is None:
        return 0, 0
    try:
        number, count = value
        good = 0 <= number < count <= MOST_NODES
    except (TypeError, ValueError):
        good = False
    if not good:
        raise ImproperlyConfigured(
            f"{NODE} is the number of this process, from 0, and how many there are, up to {MOST_NODES}, such as "
            f"(3, 16), not {value!r}"
        )
    return number, (count - 1).bit_length()
