"""Work: the object of REMOTE that code of others works on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Model


@dataclass
class Work:
    """The object of REMOTE that code of others works on, as soon as it is there."""

    model: type[Model]
    instance: Model | None = None
    #: Whether REMOTE is to get the object; and in which tables it has a row by now.
    is_new: bool = False
    inserted: set[type[Model]] = field(default_factory=set)

    def inserts(self, model: type[Model], objects: Sequence[Any]) -> bool:
        """Whether what is inserted now is the object itself, and not what its method makes of it besides."""
        if not self.is_new or model in self.inserted or not any(each is self.instance for each in objects):
            return False
        self.inserted.add(model)
        return True
