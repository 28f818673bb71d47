from __future__ import annotations

from django.apps import AppConfig


class Config(AppConfig):
    """An app whose models come from the migrations of a random history (`tests.evolving.schema`)."""

    name = "tests.evolving"
    default_auto_field = "django.db.models.BigAutoField"
