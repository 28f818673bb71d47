"""
Statements whose values have names in their text, and places when they are sent.

Wrappers of the cursor may put statements and values of their own before ours: `pgtrigger.ignore()` does, by place, and
the driver does not take both kinds.
"""

from __future__ import annotations

import re
from typing import Any

_NAME = re.compile(r"%\((\w+)\)s")


def by_place(sql: str, **values: Any) -> tuple[str, list[Any]]:
    """Return the arguments of `execute`: `sql` with %s for each %(name)s, and the values in that order."""
    return _NAME.sub("%s", sql), [values[name] for name in _NAME.findall(sql)]
