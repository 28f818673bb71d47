"""What ids look like, for documents about an interface: OpenAPI and JSON Schema."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from django_spicy_id.base import SpicyField

#: What has a meaning in the regular expressions of ECMAScript, which schemas have.
SPECIAL: Final = re.compile(r"[\^$\\.*+?()[\]{}|/]")


def schema_pattern(field: SpicyField) -> str:
    """Return a regular expression of ECMAScript for exactly the ids of `field`."""
    preamble = field.prefix + field.sep
    digits = field.re_pattern.removeprefix(re.escape(preamble))
    return f"^{SPECIAL.sub(lambda found: chr(92) + found[0], preamble)}{digits}$"


def openapi_schema(field: SpicyField) -> dict[str, Any]:
    """Return the schema of an id of `field`."""
    return {"type": "string", "pattern": schema_pattern(field), "example": field.example}
