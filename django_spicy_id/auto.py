"""Keys of models that declare none: fields for ``DEFAULT_AUTO_FIELD``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import models

from django_spicy_id.base import check_prefix
from django_spicy_id.encoding import ENCODING_BASE_62
from django_spicy_id.fields import SpicyBigAutoField
from django_spicy_id.integers import SpicyAutomatic

#: Until the field has a model.
UNKNOWN = "unknown"


def spicy_auto_field(
    prefix_from: Callable[[type[models.Model]], str] | Mapping[str, str],
    *,
    base: type[SpicyAutomatic] = SpicyBigAutoField,
    sep: str = "_",
    encoding: str = ENCODING_BASE_62,
    randomize: bool | str = False,
    pad: bool | int = False,
) -> type[SpicyAutomatic]:
    """
    Return a field class for ``DEFAULT_AUTO_FIELD``.

    `prefix_from` gives the prefix of a model: a function of the model, or a mapping from labels such as
    ``"shop.Order"``. It is asked once, when the model is made; migrations hold the prefix and `base`, and know
    nothing of the class that is returned.
    """

    class AutomaticId(base):  # type: ignore[misc, valid-type]
        """A key that takes its prefix from its model, and is an ordinary one from then on."""

        def __new__(cls, *_args: Any, **_kwargs: Any) -> Any:
            return models.Field.__new__(cls)

        def __init__(self, **kwargs: Any) -> None:
            options = {"sep": sep, "encoding": encoding, "randomize": randomize, "pad": pad}
            # Django gives a field its place among those of the model when it is made: that of this one stays.
            super().__init__(**{"prefix": UNKNOWN, **options, **kwargs})

        def contribute_to_class(self, cls: type[models.Model], name: str, **kwargs: Any) -> None:
            declared = self.deconstruct()[3] | {"prefix": _prefix_of(cls, prefix_from)}
            field: Any = self
            counter = field.creation_counter
            field.__dict__.clear()
            field.__class__ = base
            field.__init__(**declared)
            field.creation_counter = counter
            field.contribute_to_class(cls, name, **kwargs)

    AutomaticId.__name__ = AutomaticId.__qualname__ = f"Automatic{base.__name__}"
    return AutomaticId


def _prefix_of(
    model: type[models.Model], prefix_from: Callable[[type[models.Model]], str] | Mapping[str, str]
) -> str:
    label = model._meta.label
    if isinstance(prefix_from, Mapping):
        if label not in prefix_from:
            raise ImproperlyConfigured(
                f"{label} has no key of its own, and prefix_from has no prefix for it: add {label!r}, or declare a "
                "primary key on the model, or set default_auto_field on its app's configuration"
            )
        prefix = prefix_from[label]
    else:
        prefix = prefix_from(model)
    try:
        check_prefix(prefix)
    except ImproperlyConfigured as error:
        raise ImproperlyConfigured(f"prefix_from gave no prefix for {label}: {error}") from error
    return prefix
