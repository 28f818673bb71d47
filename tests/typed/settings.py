"""For the plugin of django-stubs."""

from __future__ import annotations

SECRET_KEY = "only for tests"
INSTALLED_APPS = ["django.contrib.contenttypes", "django_spicy_id", "tests.typed"]
