"""
Foreign keys to spicy keys: an integer set on `author_id` becomes its id, as on the key itself.

Django gives the attribute of a foreign key its own descriptor and asks nobody, so it is exchanged here once
the target is known. That works for every model, prepared before or after this module was imported.

So is the preparing of values. Django's managers of many-to-many sets prepare the keys that they are given by the
foreign key of the table between, and look for them among those that they read from it, which are ids: as integers
they would find none, and remove and add all rows of the set again.

And so is the preparing of what is saved: an empty text is no id, and is not to become NULL quietly.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.models.fields.related import ForeignKey, lazy_related_operation
from django.db.models.fields.related_descriptors import ForeignKeyDeferredAttribute
from django.db.models.signals import class_prepared


class SpicyReference(ForeignKeyDeferredAttribute):
    """The `_id` attribute of a foreign key to a spicy key, through however many parent links."""

    def __init__(self, field: Any, target: Any) -> None:
        super().__init__(field)
        self.spelled = target.spelled

    def __set__(self, instance: models.Model, value: Any) -> None:
        if value.__class__ is not str:
            value = self.spelled(value)
        super().__set__(instance, value)


def connect(spicy_field: type[models.Field[Any, Any]]) -> None:
    """Watch over the foreign keys of all models, those there and those to come, for `spicy_field`."""

    def watch(sender: type[models.Model], **_kwargs: Any) -> None:
        for field in sender._meta.local_fields:
            if isinstance(field, ForeignKey) and field.remote_field.model is not None:
                _follow(field, sender, field)

    def _follow(field: Any, holder: type[models.Model], link: Any) -> None:
        """Go from `link`, held by `holder`, to its target, and on while that is itself a foreign key."""

        def reached(_holder: type[models.Model], _related: type[models.Model]) -> None:
            if isinstance(link.remote_field.model, str):  # of a migration, whose models are not all made yet
                return
            try:
                target = link.target_field
            except FieldDoesNotExist:  # a wrong to_field, of which Django's check tells
                return
            if isinstance(target, ForeignKey):
                _follow(field, target.model, target)
            elif isinstance(target, spicy_field):
                _exchange(field, target)

        lazy_related_operation(reached, holder, link.remote_field.model)

    def _exchange(field: Any, target: Any) -> None:
        """Only what is Django's own."""
        if type(field.model.__dict__.get(field.attname)) is ForeignKeyDeferredAttribute:
            setattr(field.model, field.attname, SpicyReference(field, target))
        if type(field).get_prep_value is ForeignKey.get_prep_value and not field.primary_key:
            field.get_prep_value = target.prepared_id
        if type(field).get_db_prep_save is ForeignKey.get_db_prep_save:
            # Django's own makes NULL of an empty text, in front of every key of numbers.
            field.get_db_prep_save = target.get_db_prep_save

    class_prepared.connect(watch, weak=False, dispatch_uid="django_spicy_id.references")
    for models_by_name in apps.all_models.values():
        for model in list(models_by_name.values()):
            watch(model)
