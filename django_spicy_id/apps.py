from __future__ import annotations

from django.apps import AppConfig, apps


class SpicyIdConfig(AppConfig):
    """Needed for the command ``spicy_id``; makes the other packages of the project know the fields."""

    name = "django_spicy_id"
    verbose_name = "Spicy ids"

    def ready(self) -> None:
        if apps.is_installed("rest_framework"):
            from django_spicy_id.drf import monkey_patch_drf

            monkey_patch_drf()
