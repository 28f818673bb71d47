"""Models in the idioms of packages that others wrote: nothing here knows of a second database."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.models.functions import Lower

from synchro.core import NaturalManager

# -- managers and natural keys ------------------------------------------------------------------------------


class ForgetfulManager(models.Manager[Any]):
    """Does not pass on which database it was given."""

    def get_queryset(self) -> models.QuerySet[Any]:
        return models.QuerySet(self.model)

    def get_by_natural_key(self, name: str) -> Any:
        return self.get(name=name)


class Forgetful(models.Model):
    name = models.CharField(max_length=20, unique=True)
    value = models.IntegerField(default=0)

    objects = ForgetfulManager()

    def natural_key(self) -> tuple[Any, ...]:
        return (self.name,)


class HeadlongManager(models.Manager[Any]):
    """Asks its model's own manager, and so LOCAL."""

    def get_by_natural_key(self, name: str) -> Any:
        return Headlong.objects.get(name=name)


class Headlong(models.Model):
    name = models.CharField(max_length=20)
    value = models.IntegerField(default=0)

    objects = HeadlongManager()

    def natural_key(self) -> tuple[Any, ...]:
        return (self.name,)


class Food(models.Model):
    name = models.CharField(max_length=20)


class PairManager(models.Manager[Any]):
    def get_by_natural_key(self, first: Any, second: Any) -> Any:
        return self.get(first=first, second=second)


class Pair(models.Model):
    """A natural key of objects."""

    first = models.ForeignKey(Food, models.CASCADE, related_name="+")
    second = models.ForeignKey(Food, models.CASCADE, related_name="+")
    note = models.CharField(max_length=20, default="")

    objects = PairManager()

    def natural_key(self) -> tuple[Any, ...]:
        return self.first, self.second


class Couple(models.Model):
    """The same of keys."""

    first = models.ForeignKey(Food, models.CASCADE, related_name="+")
    second = models.ForeignKey(Food, models.CASCADE, related_name="+")
    note = models.CharField(max_length=20, default="")

    objects = PairManager()

    def natural_key(self) -> tuple[Any, ...]:
        return self.first_id, self.second_id


class TaggingManager(models.Manager[Any]):
    def get_by_natural_key(self, *values: Any) -> Any:
        return self.get(**dict(zip(self.model.natural_key_fields, values, strict=True)))


class Tagging(models.Model):
    """Tags something, and says what it is known by."""

    natural_key_fields: ClassVar[tuple[str, ...]] = ("object_id",)

    content_type = models.ForeignKey(ContentType, models.CASCADE)
    object_id = models.IntegerField()
    target = GenericForeignKey()
    tag = models.CharField(max_length=20)
    note = models.CharField(max_length=20, default="")

    objects = TaggingManager()

    def natural_key(self) -> tuple[Any, ...]:
        if not self.natural_key_fields:
            raise NotImplementedError("natural_key_fields")
        return tuple(getattr(self, name) for name in self.natural_key_fields)


class Lowered(models.Model):
    """Known by what the database computes."""

    name = models.CharField(max_length=20)
    lowered = models.GeneratedField(
        expression=Lower("name"), output_field=models.CharField(max_length=20), db_persist=True
    )
    note = models.CharField(max_length=20, default="")

    objects = NaturalManager("lowered")  # type: ignore[django-manager-missing]

    def natural_key(self) -> tuple[Any, ...]:
        return (self.lowered,)


class Company(models.Model):
    """Known by its name, of which it says nothing."""

    name = models.CharField(max_length=20)
    city = models.CharField(max_length=20, default="")
    country = models.CharField(max_length=20, null=True)


# -- keys ---------------------------------------------------------------------------------------------------


class MadeByTheDatabase(models.Func):
    function = "UUID"
    arity = 0
    output_field = models.CharField(max_length=36)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return "(gen_random_uuid()::text)", []

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return "(lower(hex(randomblob(16))))", []


class Document(models.Model):
    """The database makes its key, and not every engine says which."""

    id = models.CharField(max_length=36, primary_key=True, db_default=MadeByTheDatabase())
    name = models.CharField(max_length=20)


class Page(models.Model):
    document = models.ForeignKey(Document, models.CASCADE)


class Reading(models.Model):
    """Two columns, of which the database makes one."""

    pk = models.CompositePrimaryKey("shelf", "number")
    shelf = models.IntegerField()
    number = models.CharField(max_length=36, db_default=MadeByTheDatabase())
    name = models.CharField(max_length=20)


class Offer(models.Model):
    name = models.CharField(max_length=20)


class Discount(models.Model):
    """Names an offer that may be gone."""

    SYNCHRO_KEYS: ClassVar[dict[str, str]] = {"offer_id": "guests.Offer"}

    offer_id = models.PositiveIntegerField(null=True)
    amount = models.IntegerField(default=0)


class History(models.Model):
    """What a row was, under a key of its own; `id` is the row's."""

    history_id = models.AutoField(primary_key=True)
    id = models.BigIntegerField()
    name = models.CharField(max_length=20)
