"""The model fields: Django's three automatic integer keys, seen from Python as ids such as ``usr_8M0kX``."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import models
from django.db.models import NOT_PROVIDED
from django.db.models.query_utils import DeferredAttribute
from django.utils.functional import Promise, cached_property
from django.utils.translation import gettext_lazy as _

from django_spicy_id import lookups, references, rows
from django_spicy_id.checks import check_preamble
from django_spicy_id.encoding import (
    ALPHABETS,
    ENCODING_BASE_58,
    ENCODING_BASE_62,
    ENCODING_HEX,
    Codec,
    Reader,
    codec_for,
)
from django_spicy_id.errors import MalformedSpicyIdError, SpicyIdQueryError, shown

if TYPE_CHECKING:
    from django.core.checks import CheckMessage
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models.expressions import Combinable

    Field = models.Field[str | int | Combinable, str]
else:
    Field = models.Field

__all__ = [
    "ENCODING_BASE_58",
    "ENCODING_BASE_62",
    "ENCODING_HEX",
    "SpicyAutoField",
    "SpicyBigAutoField",
    "SpicyField",
    "SpicySmallAutoField",
]

LEGAL_PREFIX = re.compile(r"[A-Za-z][0-9A-Za-z]*")


def random_id(codec: Codec) -> str:
    """Return the id of a random integer from 1 to the maximum, both included."""
    return codec.encode(secrets.randbelow(codec.maximum) + 1)


class SpicyAttribute(DeferredAttribute):
    """The field's attribute on an instance: an integer that is set becomes its id, anything else stays."""

    def __set__(self, instance: models.Model, value: Any) -> None:
        if value.__class__ is not str:
            value = self.field.spelled(value)  # type: ignore[attr-defined]
        instance.__dict__[self.field.attname] = value


class SpicyField(Field):
    """
    What the three fields have in common; use one of these.

    `prefix` and `sep` stand in front of the digits, `encoding` names their alphabet, `pad` fills them up to
    one length, and `randomize` gives new instances a random id instead of leaving the key to the database.
    All other arguments are those of Django's field. A wrong declaration raises ImproperlyConfigured.
    """

    BITS: ClassVar[int]

    default_error_messages = {"invalid": _("%(value)s is not a valid id.")}
    descriptor_class = SpicyAttribute
    # These change how a key is shown and not how it is stored: a change of them alone leaves the table alone.
    non_db_attrs = (*models.Field.non_db_attrs, "prefix", "sep", "encoding", "randomize", "pad")

    def __init__(
        self,
        prefix: str,
        sep: str = "_",
        encoding: str = ENCODING_BASE_62,
        randomize: bool = False,
        pad: bool = False,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        _check_prefix(prefix)
        _check_separator(sep)
        if not isinstance(encoding, str) or encoding not in ALPHABETS:
            raise ImproperlyConfigured(f"encoding must be one of {', '.join(ALPHABETS)}, not {encoding!r}")
        self.prefix = prefix
        self.sep = sep
        self.encoding = encoding
        self.randomize = bool(randomize)
        self.pad = bool(pad)
        self.codec = codec_for(prefix + sep, encoding, 2 ** (self.BITS - 1) - 1, self.pad)
        if randomize:
            for option in ("default", "db_default"):
                if kwargs.get(option, NOT_PROVIDED) is not NOT_PROVIDED:
                    raise ImproperlyConfigured(f"randomize is itself a default: it excludes {option}")
            kwargs["default"] = partial(random_id, self.codec)
        super().__init__(*args, **kwargs)

    @cached_property
    def re_pattern(self) -> str:
        """A regular expression for exactly the ids of this field, without anchors: for url patterns."""
        return self.codec.pattern

    @cached_property
    def re(self) -> re.Pattern[str]:
        """A compiled regular expression that matches exactly the ids of this field."""
        return re.compile(rf"^{self.re_pattern}\Z")

    def validate_string(self, strval: str) -> None:
        """Raise MalformedSpicyIdError unless `strval` is an id of this field."""
        self.codec.decode(strval)

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

    # What follows is called by Django.

    @property
    def from_db_value(self) -> Reader:
        """The function from a column's value to its id: asked for once a query, called once a row."""
        return self.codec.read

    def get_prep_value(self, value: Any) -> int | None:
        """Return the integer for the database; raise SpicyIdQueryError for what is no id of this field."""
        try:
            if value.__class__ is str:  # first, since it is on the path of every query
                return self.codec.decode(value)
            if value is None:
                return None
            if isinstance(value, Promise):
                value = models.Field.get_prep_value(self, value)
            return self.key(value)
        except MalformedSpicyIdError as error:
            self._refuse(value, error)

    def get_db_prep_value(self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False) -> Any:
        # What a reference has prepared is an id.
        return self.get_prep_value(value) if prepared else super().get_db_prep_value(value, connection)

    def prepared_id(self, value: Any) -> str | None:
        """Return the id of what `get_prep_value` takes: what a reference to this field prepares."""
        key = self.get_prep_value(value)
        return None if key is None else self.codec.encode(key)

    def _refuse(self, value: Any, error: MalformedSpicyIdError) -> NoReturn:
        where = f"{self.model._meta.label}.{self.name}" if hasattr(self, "model") else type(self).__name__
        raise SpicyIdQueryError(f"{shown(value)} is not an id of {where}: {error}") from error

    def to_python(self, value: Any) -> str | None:
        """Return the id for an id or an integer, None for None; raise ValidationError for anything else."""
        if value is None:
            return None
        try:
            return self.codec.encode(self.key(value))
        except MalformedSpicyIdError as error:
            message = self.error_messages["invalid"]
            raise ValidationError(message, code="invalid", params={"value": shown(value)}) from error

    @cached_property
    def validators(self) -> list[Callable[[Any], None]]:
        # Not those of IntegerField, which compare with integers: `to_python` has checked the range.
        return [*self.default_validators, *self._validators]  # type: ignore[attr-defined]

    def db_type_suffix(self, connection: BaseDatabaseWrapper) -> str | None:
        suffix = super().db_type_suffix(connection)
        # SQLite's, which only a primary key can have; PostgreSQL's IDENTITY suits any column.
        return None if suffix == "AUTOINCREMENT" and not self.primary_key else suffix

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        return [*super().check(**kwargs), *check_preamble(self)]

    def deconstruct(self) -> tuple[str, str, list[Any], dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        if not self.primary_key:
            # Django's automatic fields always say True here, whatever was declared.
            kwargs.pop("primary_key", None)
        if self.randomize:
            del kwargs["default"]
        kwargs |= {
            "prefix": self.prefix,
            "sep": self.sep,
            "encoding": self.encoding,
            "randomize": self.randomize,
            "pad": self.pad,
        }
        return name, path, list(args), kwargs

    def __reduce__(self) -> Any:
        if hasattr(self, "model"):
            return super().__reduce__()
        # The closures of the codec cannot be pickled; the declaration can.
        return _declare, (type(self), self.deconstruct()[3])


def _declare(field_class: type[SpicyField], kwargs: dict[str, Any]) -> SpicyField:
    return field_class(**kwargs)


def _check_prefix(prefix: Any) -> None:
    if not isinstance(prefix, str):
        raise ImproperlyConfigured(f"prefix must be a string, not {prefix!r}")
    if not prefix:
        raise ImproperlyConfigured("prefix must not be empty")
    if "0" <= prefix[0] <= "9":
        raise ImproperlyConfigured(f"prefix must not start with a digit: {prefix!r}")
    if not LEGAL_PREFIX.fullmatch(prefix):
        raise ImproperlyConfigured(f"prefix must consist of ASCII letters and digits: {prefix!r}")


def _check_separator(sep: Any) -> None:
    if not isinstance(sep, str):
        raise ImproperlyConfigured(f"sep must be a string, not {sep!r}")
    if not sep.isascii():
        raise ImproperlyConfigured(f"sep must consist of ASCII characters: {sep!r}")


class SpicyBigAutoField(SpicyField, models.BigAutoField):  # type: ignore[type-arg, misc]
    """An id over a `BigAutoField`: 64 bits."""

    BITS = 64


class SpicyAutoField(SpicyField, models.AutoField):  # type: ignore[type-arg, misc]
    """An id over an `AutoField`: 32 bits."""

    BITS = 32


class SpicySmallAutoField(SpicyField, models.SmallAutoField):  # type: ignore[type-arg, misc]
    """An id over a `SmallAutoField`: 16 bits."""

    BITS = 16


lookups.register(SpicyField)
references.connect(SpicyField)
rows.connect(SpicyField)
