"""A project of packages that Django people have beside their own apps, whose models have spicy keys."""

from __future__ import annotations

import os

from tests.databases import database_from_url


class NoMigrations:
    """The tables of all apps are made from their models."""

    def __contains__(self, _label: str) -> bool:
        return True

    def __getitem__(self, _label: str) -> None:
        return None


DATABASES = {
    "default": database_from_url(os.environ["SYNCHRO_TEST_LOCAL"], "neighbours")
    if "SYNCHRO_TEST_LOCAL" in os.environ
    else {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "auditlog",
    "django_filters",
    "django_tables2",
    "drf_spectacular",
    "graphene_django",
    "guardian",
    "import_export",
    "mptt",
    "polymorphic",
    "rest_framework",
    "reversion",
    "simple_history",
    "strawberry_django",
    "taggit",
    "django_spicy_id",
    "tests.neighbours",
]
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "guardian.backends.ObjectPermissionBackend",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
MIGRATION_MODULES = NoMigrations()
REST_FRAMEWORK = {
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
}
ROOT_URLCONF = "tests.neighbours.urls"
SECRET_KEY = "only for tests"
STRAWBERRY_DJANGO = {"DEFAULT_PK_FIELD_NAME": "id", "MAP_AUTO_ID_AS_GLOBAL_ID": False}
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
USE_TZ = True
