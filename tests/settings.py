"""
The one settings module of the suite.

``SYNCHRO_TEST_LOCAL`` and ``SYNCHRO_TEST_REMOTE`` are database URLs (see `tests.databases`); without them
both databases are SQLite files in a temporary folder.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from tests.databases import database_from_url

_folder = Path(tempfile.gettempdir()) / f"synchro-tests-{os.getuid()}-{os.getpid()}"
_default = f"sqlite:///{_folder}/test"
if "SYNCHRO_TEST_LOCAL" not in os.environ or "SYNCHRO_TEST_REMOTE" not in os.environ:
    _folder.mkdir(mode=0o700, exist_ok=True)

DATABASES = {
    "default": database_from_url(os.environ.get("SYNCHRO_TEST_LOCAL", _default), "local"),
    "remote": database_from_url(os.environ.get("SYNCHRO_TEST_REMOTE", _default), "remote"),
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django_filters",
    "rest_framework",
    "django_spicy_id",
    "synchro",
    "tests.knots",
    "tests.odd",
    "tests.people",
    "tests.shop",
    "tests.spicy",
    "tests.capture",
    "tests.unwatched",
    "tests.guests",
]
MIGRATION_MODULES = {
    label: f"tests.initial.{label}"
    for label in ("capture", "guests", "knots", "odd", "people", "shop", "spicy", "unwatched")
}
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
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
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ROOT_URLCONF = "tests.urls"
SECRET_KEY = "only for tests"
STATIC_URL = "/static/"
USE_TZ = True
TIME_ZONE = "UTC"

#: "signals" or "triggers".
SYNCHRO_CAPTURE = os.environ.get("SYNCHRO_TEST_CAPTURE", "signals")
SYNCHRO_REMOTE = "remote"
SYNCHRO_MODELS = ["shop", "odd", "spicy"]
