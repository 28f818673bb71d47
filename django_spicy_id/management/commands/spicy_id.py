from __future__ import annotations

import re
from argparse import ArgumentParser
from typing import Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, models

from django_spicy_id.errors import MalformedSpicyIdError, SpicyIdError, shown
from django_spicy_id.lookup import spicy_field
from django_spicy_id.resolving import ResolvedId, resolve
from django_spicy_id.uuids import SpicyUUID

#: No column has more digits, and Python does not convert any number of them.
INTEGER = re.compile("[0-9]{1,30}")


class Command(BaseCommand):
    help = "Says which row an id stands for, or which id a row has."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("what", metavar="id | model", help="an id, or a model such as User or shop.User")
        parser.add_argument("key", nargs="?", help="with a model: the integer or UUID in the column")
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS, help="where to look for the row")

    def handle(self, *_args: Any, **options: Any) -> None:
        if options["database"] not in connections:
            raise CommandError(f"there is no database {options['database']!r} in DATABASES")
        found = (
            _by_id(options["what"]) if options["key"] is None else _by_key(options["what"], options["key"])
        )
        try:
            exists = found.exists(options["database"])
        except DatabaseError as error:
            raise CommandError(f"{found.model._meta.db_table} cannot be read: {error}") from error
        self.stdout.write(f"id: {found.field.spelled(found.key)}")
        self.stdout.write(f"model: {found.model._meta.label}")
        self.stdout.write(f"table: {found.model._meta.db_table}")
        self.stdout.write(f"key: {found.key}")
        self.stdout.write(f"exists: {'yes' if exists else 'no'}")


def _by_id(text: str) -> ResolvedId:
    try:
        return resolve(text)
    except SpicyIdError as error:
        raise CommandError(str(error)) from error


def _by_key(model_name: str, digits: str) -> ResolvedId:
    try:
        field = spicy_field(_model(model_name))
        if isinstance(field, SpicyUUID):
            return ResolvedId(field.model, field.key(digits), field)
        if not INTEGER.fullmatch(digits):
            raise CommandError(f"{shown(digits)} is not an integer key")
        return ResolvedId(field.model, field.key(int(digits)), field)
    except ImproperlyConfigured as error:
        raise CommandError(str(error)) from error
    except MalformedSpicyIdError as error:
        raise CommandError(f"{digits} is not a key of {model_name}: {error}") from error


def _model(name: str) -> type[models.Model]:
    """
    Return the model of a label or of a name alone; raise CommandError unless there is just one.

    Of several with one name, such as Django's own User beside the project's, those with spicy keys count.
    """
    wanted = name.lower()
    found = [
        model
        for model in apps.get_models(include_auto_created=True)
        if wanted in (model._meta.label_lower, model._meta.model_name)
    ]
    if not found:
        raise CommandError(f"there is no model {name!r}")
    found = list(filter(_has_ids, found)) or found
    if len(found) > 1:
        labels = ", ".join(model._meta.label for model in found)
        raise CommandError(f"{name!r} can be any of {labels}")
    return found[0]


def _has_ids(model: type[models.Model]) -> bool:
    try:
        spicy_field(model)
    except ImproperlyConfigured:
        return False
    return True
