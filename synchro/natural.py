"""Natural keys: managers and a base model that find a row by the fields that people know it by."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from typing import Any, ClassVar, Self

from django.contrib.auth.base_user import BaseUserManager
from django.contrib.contenttypes.fields import GenericForeignKey
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import models
from django.db.models.base import ModelBase
from django.db.models.manager import BaseManager

from synchro.keys import AnyField
from synchro.model_options import model_option

#: Django's models whose rows are what their natural key says: each database numbers them as its migrations run.
KNOWN_BY_NATURE = {
    "contenttypes.ContentType": ("app_label", "model"),
    "auth.Permission": ("content_type", "codename"),
}


class NaturalManager(models.Manager[Any]):
    """
    A manager that finds rows by the fields it was made with: ``NaturalManager('code', 'day')``.

    ``manager=`` names the manager class to extend (Django's by default), ``allow_many=True`` takes the first row
    where the fields find several. What the call gives is an instance of a class of its own, one for each set of
    arguments, because Django copies managers and makes related ones by calling their class without arguments.

    A class that names its ``fields`` is a natural manager without any argument.
    """

    fields: ClassVar[tuple[str, ...]] = ()
    allow_many: ClassVar[bool] = False
    #: Of a class that a call made: the class that was called, and the manager it was told to extend.
    made_from: ClassVar[tuple[type[NaturalManager], type[models.Manager[Any]]]]

    def __new__(
        cls, *fields: str, manager: type[models.Manager[Any]] = models.Manager, allow_many: bool = False
    ) -> Self:
        if cls.fields:
            return super().__new__(cls)
        _check_arguments(cls, fields, manager)
        return super().__new__(_made(cls, fields, manager, allow_many))  # type: ignore[return-value,arg-type]

    def __init__(self, *_fields: str, **_options: Any) -> None:
        super().__init__()
        # Django copies a manager by its constructor's arguments, and these have become the class.
        self._constructor_args: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})

    def get_by_natural_key(self, *key: Any) -> Any:
        """
        The object with these values of the natural key's fields.

        Raises the model's ``DoesNotExist`` and, unless ``allow_many``, ``MultipleObjectsReturned``.
        """
        if len(key) != len(self.fields):
            raise ValueError(
                f"{self.model._meta.label}: a natural key has {len(self.fields)} values, not {len(key)}."
            )
        lookup = dict(zip(self.fields, key, strict=True))
        if not self.allow_many:
            return self.get(**lookup)
        found = self.filter(**lookup).order_by("pk").first()
        if found is None:
            raise self.model.DoesNotExist(f"{self.model._meta.object_name} matching query does not exist.")
        return found

    def deconstruct(self) -> Any:
        """As a migration writes it: by the call that makes it. `use_in_migrations` decides whether."""
        if "made_from" not in vars(type(self)):
            return super().deconstruct()
        cls, manager = self.made_from
        module = "synchro.core" if cls is NaturalManager else cls.__module__
        path = f"{module}.{cls.__qualname__}"
        kwargs: dict[str, Any] = {}
        if manager is not models.Manager:
            kwargs["manager"] = manager
        if self.allow_many:
            kwargs["allow_many"] = True
        return False, path, None, self.fields, kwargs


@cache
def _made(
    cls: type[NaturalManager], fields: tuple[str, ...], manager: type[models.Manager[Any]], allow_many: bool
) -> type[NaturalManager]:
    """The class for these arguments: always the same one, since migrations compare managers by class."""
    bases = (cls,) if issubclass(cls, manager) else (manager,) if issubclass(manager, cls) else (cls, manager)
    name = f"{cls.__name__}For{'And'.join(part.title() for part in fields)}"
    namespace = {
        "fields": fields,
        "allow_many": allow_many,
        "made_from": (cls, manager),
        "__module__": cls.__module__,
    }
    return type(name, bases, namespace)


def _check_arguments(cls: type, fields: tuple[Any, ...], manager: Any) -> None:
    if not fields:
        raise ValidationError(f"{cls.__name__} needs the names of the natural key's fields.")
    for field in fields:
        if not isinstance(field, str):
            raise ValidationError(f"{cls.__name__}: {field!r} is not the name of a field.")
    if not (isinstance(manager, type) and issubclass(manager, BaseManager)):
        name = getattr(manager, "__name__", repr(manager))
        raise ValidationError(f"{name} is not a subclass of django.db.models.Manager.")


class NaturalKeyModelBase(ModelBase):
    def __new__(cls, name: str, bases: tuple[type, ...], attrs: dict[str, Any], **kwargs: Any) -> Any:
        if not any(isinstance(base, NaturalKeyModelBase) for base in bases):
            return super().__new__(cls, name, bases, attrs, **kwargs)
        fields = _own_or_inherited("_natural_key", bases, attrs, ())
        if fields and not attrs.keys().isdisjoint(("_natural_key", "_natural_manager_kwargs", "objects")):
            options = _own_or_inherited("_natural_manager_kwargs", bases, attrs, {})
            attrs["objects"] = _natural_manager(fields, options, attrs.get("objects"))
        elif not fields and not getattr(attrs.get("Meta"), "abstract", False):
            raise ValidationError(f"{name} needs _natural_key, the names of the fields that it is known by.")
        return super().__new__(cls, name, bases, attrs, **kwargs)


def _own_or_inherited(name: str, bases: tuple[type, ...], attrs: dict[str, Any], default: Any) -> Any:
    return attrs.get(name) or next((found for base in bases if (found := getattr(base, name, None))), default)


def _natural_manager(
    fields: Any, options: dict[str, Any], defined: models.Manager[Any] | None
) -> NaturalManager:
    if isinstance(fields, str):
        raise ValidationError(f"_natural_key is a tuple of field names; write ({fields!r},).")
    if defined is not None:
        options = {"manager": type(defined), **options}
    return NaturalManager(*fields, **options)


class NaturalKeyModel(models.Model, metaclass=NaturalKeyModelBase):
    """
    Base of a model whose rows are known by the fields in ``_natural_key``.

    Its ``objects`` becomes a `NaturalManager` (extending the one that the class defines), with
    ``_natural_manager_kwargs`` as arguments.
    """

    _natural_key: ClassVar[tuple[str, ...]] = ()
    _natural_manager_kwargs: ClassVar[dict[str, Any]] = {}

    class Meta:
        abstract = True

    def natural_key(self) -> tuple[Any, ...]:
        """The values of the natural key's fields, in their order."""
        return tuple(follow(self, name) for name in self._natural_key)


def follow(instance: Any, path: str) -> Any:
    """The value at the end of ``city__name``; None where there is no city."""
    for name in path.split("__"):
        if instance is None:
            return None
        instance = getattr(instance, name)
    return instance


@cache
def natural_fields(model: type[models.Model]) -> tuple[AnyField, ...] | None:
    """
    The columns of `model`'s own table that say the same as its natural key; None where there are none such.

    A path through a foreign key stands for that foreign key, where it ends in the whole natural key of the row
    that it points at.
    """
    found: dict[AnyField, None] = {}
    for first, rests in _by_first_step(natural_names(model)).items():
        try:
            field: AnyField = model._meta.get_field(first)
        except FieldDoesNotExist:
            return None
        if field not in model._meta.local_concrete_fields:
            return None
        if rests != {""} and (
            field.related_model is None or rests != set(natural_names(field.related_model))
        ):
            return None
        found[field] = None
    return None if lacks_content_type(model, found) else tuple(found) or None


def lacks_content_type(model: type[models.Model], fields: Collection[AnyField]) -> bool:
    """Whether one of the fields is the key in a generic foreign key, and its content type is not among them."""
    names = {field.name for field in fields}
    return any(
        isinstance(generic, GenericForeignKey) and generic.fk_field in names and generic.ct_field not in names
        for generic in model._meta.private_fields
    )


def forget_natural_keys() -> None:
    """To be called where what the settings say of models has changed."""
    natural_fields.cache_clear()


def _by_first_step(paths: Sequence[str]) -> dict[str, set[str]]:
    steps: dict[str, set[str]] = {}
    for path in paths:
        first, _, rest = path.partition("__")
        steps.setdefault(first, set()).add(rest)
    return steps


def natural_names(model: type[models.Model]) -> Sequence[str]:
    """
    The names that the natural key of a model is made of, as far as they can be known: those that the project gives it,
    ours, and Django's own.
    """
    if model._meta.label in KNOWN_BY_NATURE:
        return KNOWN_BY_NATURE[model._meta.label]
    chosen: Sequence[str] | None = model_option(model, "NATURAL_KEY")
    if chosen is not None:
        return tuple(chosen)
    for manager in (model._default_manager, *model._meta.managers):
        if isinstance(manager, NaturalManager):
            return manager.fields
    if isinstance(model._default_manager, BaseUserManager) and hasattr(model, "USERNAME_FIELD"):
        return (model.USERNAME_FIELD,)
    return ("name",) if model._meta.label == "auth.Group" else ()
