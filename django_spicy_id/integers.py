"""Integers as ids: what automatic keys and columns that hold such a key have in common."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from django.core.exceptions import ImproperlyConfigured

from django_spicy_id import ordered
from django_spicy_id.base import Given, SpicyField, Taken
from django_spicy_id.encoding import Codec, Reader
from django_spicy_id.errors import MalformedSpicyIdError

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models.expressions import Combinable

#: What `randomize` can be, besides True and False.
BY_TIME = "time"


def random_id(codec: Codec) -> str:
    """Return the id of a random integer from 1 to the maximum, both included."""
    return codec.encode(secrets.randbelow(codec.maximum) + 1)


def id_by_time(codec: Codec) -> str:
    """Return the id of the next integer in the order of time."""
    return codec.encode(ordered.next_key())


class SpicyInteger(SpicyField[Taken, Given]):
    """An id over a column of integers with a sign."""

    BITS: ClassVar[int] = 64

    if TYPE_CHECKING:  # for the plugin of django-stubs: what a foreign key's _id attribute and queries take
        _pyi_private_set_type: str | int | Combinable
        _pyi_private_get_type: str
        _pyi_lookup_exact_type: str | int

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.MAXIMUM = 2 ** (cls.BITS - 1) - 1

    def random_default(self) -> Callable[[], Any]:
        if self.randomize == BY_TIME:
            if self.BITS < 64:
                raise ImproperlyConfigured(f"randomize={BY_TIME!r} takes a column of 64 bits")
            return partial(id_by_time, self.codec)
        if isinstance(self.randomize, str):
            raise ImproperlyConfigured(f"randomize is True, False or {BY_TIME!r}, not {self.randomize!r}")
        return partial(random_id, self.codec)

    def spelled(self, value: Any) -> Any:
        """Return the id for an integer of the field's range, and any other value as it is."""
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= self.codec.maximum:
            return self.codec.encode(int(value))
        return value

    def key(self, value: Any) -> int:
        """Return the integer of an id or of an integer; raise MalformedSpicyIdError for anything else."""
        if isinstance(value, int) and not isinstance(value, bool):
            if not 0 <= value <= self.codec.maximum:
                raise MalformedSpicyIdError(f"it is not in the range from 0 to {self.codec.maximum}")
            return int(value)
        return self.codec.decode(value)

    def column_reader(self, functions: list[Any], connection: Any) -> Reader | None:
        return self.codec.read if functions == [self.codec.read] else None


class SpicyAutomatic(SpicyInteger[Taken, Given]):
    """An id over an automatic key."""

    def formfield(self, **kwargs: Any) -> Any:
        return super(SpicyField, self).formfield(**kwargs)  # none, as with Django's

    @property
    def is_key(self) -> bool:
        return True

    def db_type_suffix(self, connection: BaseDatabaseWrapper) -> str | None:
        suffix = super().db_type_suffix(connection)
        # SQLite's, which only a primary key can have; PostgreSQL's IDENTITY suits any column.
        return None if suffix == "AUTOINCREMENT" and not self.primary_key else suffix

    def deconstruct(self) -> tuple[str, str, list[Any], dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        if not self.primary_key:
            # Django's automatic fields always say True here, whatever was declared.
            kwargs.pop("primary_key", None)
        return name, path, args, kwargs
