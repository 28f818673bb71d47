"""What all spicy fields have in common: ids in Python, and something else in the column."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import models
from django.db.models import NOT_PROVIDED
from django.db.models.query_utils import DeferredAttribute
from django.utils.functional import Promise, cached_property
from django.utils.translation import gettext_lazy as _

from django_spicy_id.checks import check_preamble
from django_spicy_id.encoding import ALPHABETS, ENCODING_BASE_62, Reader, codec_for
from django_spicy_id.errors import MalformedSpicyIdError, SpicyIdQueryError, shown

if TYPE_CHECKING:
    from uuid import UUID

    from django.core.checks import CheckMessage
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models.expressions import Combinable
    from typing_extensions import TypeVar

    #: What a field takes and what it gives, as in django-stubs: with NULL where the column has it.
    Taken = TypeVar("Taken", contravariant=True, default=str | int | UUID | Combinable)
    Given = TypeVar("Given", covariant=True, default=str)

    class Field(models.Field[Taken, Given]):
        pass

else:
    from typing import TypeVar

    Taken, Given = TypeVar("Taken"), TypeVar("Given")

    class Field(models.Field):
        """Django's, which has no arguments for its types when it runs."""

        def __class_getitem__(cls, _types: Any) -> Any:
            return cls


LEGAL_PREFIX = re.compile(r"[A-Za-z][0-9A-Za-z]*\Z")


class SpicyAttribute(DeferredAttribute):
    """The field's attribute on an instance: what the column holds becomes its id, anything else stays."""

    def __set__(self, instance: models.Model, value: Any) -> None:
        if value.__class__ is not str:
            value = self.field.spelled(value)  # type: ignore[attr-defined]
        instance.__dict__[self.field.attname] = value


class SpicyField(Field[Taken, Given]):
    """
    What the fields have in common; use one of those in `django_spicy_id.fields`.

    `prefix` and `sep` stand in front of the digits, `encoding` names their alphabet, `pad` fills them up to
    one length, or to as many as it says, and `randomize` gives new instances an id of their own instead of leaving
    the key to the database. All other arguments are those of Django's field. A wrong declaration raises
    ImproperlyConfigured.
    """

    #: The largest number that an id can stand for.
    MAXIMUM: int

    default_error_messages = {"invalid": _("%(value)s is not a valid id.")}
    descriptor_class = SpicyAttribute
    # These change how a key is shown and not how it is stored: a change of them alone leaves the table alone.
    non_db_attrs = (*models.Field.non_db_attrs, "prefix", "sep", "encoding", "randomize", "pad")

    if not TYPE_CHECKING:

        def __new__(cls, *args: Any, **kwargs: Any) -> SpicyField:
            if not args and "prefix" not in kwargs and kwargs.get("auto_created"):
                raise ImproperlyConfigured(
                    f"DEFAULT_AUTO_FIELD cannot be {cls.__name__} itself, which needs a prefix for each model: name "
                    "what django_spicy_id.spicy_auto_field(prefix_from=...) returns, or declare the key of each model"
                )
            return super().__new__(cls)

    def __init__(
        self,
        prefix: str,
        sep: str = "_",
        encoding: str = ENCODING_BASE_62,
        randomize: bool | str = False,
        pad: bool | int = False,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        check_prefix(prefix)
        _check_separator(sep)
        if not isinstance(encoding, str) or encoding not in ALPHABETS:
            raise ImproperlyConfigured(f"unknown encoding {encoding!r}: it is one of {', '.join(ALPHABETS)}")
        self.prefix = prefix
        self.sep = sep
        self.encoding = encoding
        self.randomize = randomize if isinstance(randomize, str) else bool(randomize)
        self.pad = pad if isinstance(pad, int) else bool(pad)
        self.codec = codec_for(prefix + sep, encoding, self.MAXIMUM, self.pad)
        if not 1 <= self.codec.least <= self.codec.width or self.pad < 0:
            raise ImproperlyConfigured(
                f"pad is True, False, or how many digits an id has at least, up to {self.codec.width}, not {pad!r}"
            )
        if randomize:
            for option in ("default", "db_default"):
                if kwargs.get(option, NOT_PROVIDED) is not NOT_PROVIDED:
                    raise ImproperlyConfigured(
                        f"cannot provide both `randomize` and `{option}`: randomize is itself a default"
                    )
            kwargs["default"] = self.random_default()
        super().__init__(*args, **kwargs)

    def random_default(self) -> Callable[[], Any]:
        """Return the default that `randomize` stands for."""
        raise NotImplementedError

    @cached_property
    def max_characters(self) -> int:
        """How many digits the longest id has."""
        return self.codec.width

    @cached_property
    def re_pattern(self) -> str:
        """A regular expression for exactly the ids of this field, without anchors: for url patterns."""
        return self.codec.pattern

    @cached_property
    def re(self) -> re.Pattern[str]:
        """A compiled regular expression that matches exactly the ids of this field."""
        return re.compile(rf"^{self.re_pattern}\Z")

    @cached_property
    def example(self) -> str:
        """An id of this field, for schemas and documentation."""
        return self.codec.encode(min(123456789, self.MAXIMUM))

    @property
    def is_key(self) -> bool:
        """Whether an id of this field stands for one row, and so leads to it."""
        return self.primary_key or self.unique

    def validate_string(self, strval: str) -> None:
        """Raise MalformedSpicyIdError unless `strval` is an id of this field."""
        self.codec.decode(strval)

    def spelled(self, value: Any) -> Any:
        """Return the id for what the column can hold, and any other value as it is."""
        raise NotImplementedError

    def key_of(self, text: str) -> Any:
        """Return what the column holds for an id alone; raise MalformedSpicyIdError for anything else."""
        self.codec.decode(text)
        return self.key(text)

    def key(self, value: Any) -> Any:
        """Return what the column holds for an id or a key; raise MalformedSpicyIdError for anything else."""
        raise NotImplementedError

    def column_reader(self, functions: list[Any], connection: Any) -> Reader | None:
        """Return the function that reads a column as these converters do together, None if that is not known."""
        return None

    # What follows is called by Django.

    @property
    def from_db_value(self) -> Reader:
        """The function from a column's value to its id: asked for once a query, called once a row."""
        return self.codec.read

    def get_prep_value(self, value: Any) -> Any:
        """Return what the column holds for an id or a key; raise SpicyIdQueryError for anything else."""
        try:
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
        return None if key is None else self.spelled(key)

    def _refuse(self, value: Any, error: MalformedSpicyIdError) -> NoReturn:
        where = f"{self.model._meta.label}.{self.name}" if hasattr(self, "model") else type(self).__name__
        raise SpicyIdQueryError(f"{shown(value)} is not an id of {where}: {error}") from error

    def to_python(self, value: Any) -> str | None:
        """Return the id for an id or a key, None for None; raise ValidationError for anything else."""
        if value is None:
            return None
        try:
            spelled: str = self.spelled(self.key(value))
        except MalformedSpicyIdError as error:
            message = self.error_messages["invalid"]
            raise ValidationError(message, code="invalid", params={"value": shown(value)}) from error
        return spelled

    @cached_property
    def validators(self) -> list[Callable[[Any], None]]:
        # Not those of IntegerField, which compare with integers: `to_python` has checked the range.
        return [*self.default_validators, *self._validators]  # type: ignore[attr-defined]

    def formfield(self, **kwargs: Any) -> Any:
        from django_spicy_id.forms import SpicyIdField

        return models.Field.formfield(self, **{"form_class": SpicyIdField, "model_field": self, **kwargs})

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        field: SpicyField[Any, Any] = self
        return [*super().check(**kwargs), *check_preamble(field)]

    def deconstruct(self) -> tuple[str, str, list[Any], dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        if self.randomize:
            kwargs.pop("default", None)
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


def check_prefix(prefix: Any) -> None:
    """Raise ImproperlyConfigured unless `prefix` can be one."""
    if not isinstance(prefix, str):
        raise ImproperlyConfigured(f"prefix must be a string, not {prefix!r}")
    if not LEGAL_PREFIX.match(prefix):
        raise ImproperlyConfigured(
            f"prefix: only ascii numbers and letters allowed, must start with a letter: not {prefix!r}"
        )


def _check_separator(sep: Any) -> None:
    if not isinstance(sep, str):
        raise ImproperlyConfigured(f"sep must be a string, not {sep!r}")
    if not sep.isascii():
        raise ImproperlyConfigured(f"sep must be ascii: not {sep!r}")
