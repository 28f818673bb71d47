"""What the data migrations of a random history write, on LOCAL alone."""

from __future__ import annotations

import random
from typing import Any

from django.db import models

from tests.evolving.writing import Writing

#: Set by the history that is at work.
chance = random.Random(0)
past_django = False


def fill(apps: Any, schema_editor: Any) -> None:
    """Give columns of some rows other values. No foreign keys: PostgreSQL alters no table with any yet to check."""
    if schema_editor.connection.alias == "default":
        writing = Writing(chance, past_django)
        for model in apps.get_app_config("evolving").get_models():
            for row in writing.some(model):
                writing.change(row, relations=False)


def fill_the_empty(apps: Any, schema_editor: Any) -> None:
    """Leave no column of text empty, as the recipe for unique fields does."""
    if schema_editor.connection.alias == "default":
        writing = Writing(chance, past_django)
        for model in apps.get_app_config("evolving").get_models():
            for row in model._base_manager.all():
                empty = [
                    field
                    for field in model._meta.local_concrete_fields
                    if isinstance(field, models.CharField) and getattr(row, field.attname) is None
                ]
                writing.set(row, empty)


def execute(apps: Any, schema_editor: Any, statements: list[str]) -> None:
    with schema_editor.connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def execute_past_django(apps: Any, schema_editor: Any, statements: list[str]) -> None:
    """By the driver's own cursor."""
    cursor = schema_editor.connection.connection.cursor()
    for statement in statements:
        cursor.execute(statement)
    cursor.close()


def add_rows(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.alias == "default":
        writing = Writing(chance, past_django)
        for model in apps.get_app_config("evolving").get_models():
            if model.__name__.startswith("New"):
                writing.add(model)
