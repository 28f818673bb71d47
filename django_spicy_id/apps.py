from __future__ import annotations

import django
from django.apps import AppConfig, apps
from django.core import checks

from django_spicy_id import neighbours
from django_spicy_id.checks import check_neighbours
from django_spicy_id.letter_case import check_letter_case


class SpicyIdConfig(AppConfig):
    """Brings the command ``spicy_id``, and makes the other packages of the project know the fields."""

    name = "django_spicy_id"
    verbose_name = "Spicy ids"

    def ready(self) -> None:
        neighbours.introduce_late()
        checks.register(check_neighbours)
        checks.register(check_letter_case)
        # Each only where the project has it: all of them are optional, and slow to import.
        if apps.is_installed("rest_framework"):
            from django_spicy_id.drf import monkey_patch_drf

            monkey_patch_drf()
        if apps.is_installed("django_filters"):
            from django_spicy_id import filters

            filters.register()
        if django.VERSION < (6, 0) and apps.is_installed("django.contrib.contenttypes"):
            from django_spicy_id.generic import patch_prefetch

            patch_prefetch()
