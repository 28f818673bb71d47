"""UUIDs as ids, on the database's own kind of column."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.utils.functional import cached_property

from django_spicy_id import ordered
from django_spicy_id.base import Given, SpicyField, Taken
from django_spicy_id.encoding import ENCODING_BASE_62, Reader
from django_spicy_id.errors import MalformedSpicyIdError
from django_spicy_id.integers import BY_TIME

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models.expressions import Combinable

#: A UUID as other programs write it.
PLAIN = re.compile("[0-9a-f]{8}(-?)(?:[0-9a-f]{4}\\1){3}[0-9a-f]{12}\\Z", re.IGNORECASE)


class SpicyUUID(SpicyField[Taken, Given]):
    """An id over a column of UUIDs."""

    MAXIMUM = 2**128 - 1

    if TYPE_CHECKING:  # as for integers
        _pyi_private_set_type: str | uuid.UUID | Combinable
        _pyi_private_get_type: str
        _pyi_lookup_exact_type: str | uuid.UUID

    def __init__(
        self,
        prefix: str,
        sep: str = "_",
        encoding: str = ENCODING_BASE_62,
        *args: Any,
        randomize: bool | str = True,
        pad: bool | int = False,
        **kwargs: Any,
    ) -> None:
        if kwargs.get("default") is uuid.uuid4:
            del kwargs["default"]
        # A default of one's own, whatever it is, takes the place of a random one.
        if randomize is True and ("default" in kwargs or "db_default" in kwargs):
            randomize = False
        super().__init__(prefix, sep, encoding, randomize, pad, *args, **kwargs)

    def random_default(self) -> Callable[[], uuid.UUID]:
        if self.randomize == BY_TIME:
            return ordered.uuid7
        if isinstance(self.randomize, str):
            raise ImproperlyConfigured(f"randomize is True, False or {BY_TIME!r}, not {self.randomize!r}")
        return uuid.uuid4

    def spelled(self, value: Any) -> Any:
        """Return the id for a UUID, and any other value as it is."""
        return self.codec.encode(value.int) if isinstance(value, uuid.UUID) else value

    def key(self, value: Any) -> uuid.UUID:
        """Return the UUID of an id, or of a UUID as object or text; raise MalformedSpicyIdError for anything else."""
        if isinstance(value, uuid.UUID):
            return value
        try:
            return uuid.UUID(int=self.codec.decode(value))
        except MalformedSpicyIdError:
            if isinstance(value, str) and PLAIN.match(value):
                return uuid.UUID(value)
            raise

    def column_reader(self, functions: list[Any], connection: Any) -> Reader | None:
        if functions == [self.from_db_value]:
            return self.from_db_value
        if functions == [getattr(connection.ops, "convert_uuidfield_value", None), self.from_db_value]:
            return self._read_text  # without a UUID in between
        return None

    def _read(self, value: Any, _expression: object = None, _connection: object = None) -> str | None:
        if value is None:
            return None
        return self.codec.encode(value.int if isinstance(value, uuid.UUID) else uuid.UUID(value).int)

    def _read_text(self, value: Any) -> str | None:
        if value.__class__ is str and len(value) == 32:
            return self.codec.encode(int(value, 16))
        return self._read(value)

    # What follows is called by Django.

    @cached_property
    def from_db_value(self) -> Reader:
        return self._read

    def get_db_prep_value(self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False) -> Any:
        key = self.get_prep_value(value)
        return key if key is None or connection.features.has_native_uuid_field else key.hex

    def deconstruct(self) -> tuple[str, str, list[Any], dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        if self.randomize is True:  # as 1.1.0 wrote it, whose migrations stay as they are
            del kwargs["randomize"]
        if not self.pad:
            del kwargs["pad"]
        return name, path, args, kwargs
