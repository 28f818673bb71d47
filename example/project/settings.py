"""
One project, deployed twice: in the office and on the main server.

Each deployment has its own database as ``default`` and the other's as ``remote``. Here both are files in one
folder, and ``EXAMPLE_SIDE`` says which deployment this process is.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

FOLDER = Path(os.environ.get("EXAMPLE_FOLDER") or Path(__file__).resolve().parents[1] / "databases")
SIDES = ("office", "main")
SIDE = os.environ.get("EXAMPLE_SIDE", "office")
if SIDE not in SIDES:
    raise ValueError(f"EXAMPLE_SIDE is {SIDE!r}; it can be {' or '.join(SIDES)}.")
(OTHER,) = (side for side in SIDES if side != SIDE)


def database(side: str) -> dict[str, object]:
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": FOLDER / f"{side}.sqlite3",
        "OPTIONS": {
            "timeout": 30,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    }


DATABASES = {"default": database(SIDE), "remote": database(OTHER)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# What django-synchro needs: itself, the name of the other database, and what to watch.
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "synchro",
    "django_spicy_id",
    "world",
    "desk",
]
SYNCHRO_REMOTE = "remote"
SYNCHRO_MODELS = ["world", "desk"]
# Whatever writes is captured: QuerySet.update and programs that know nothing of Django too.
SYNCHRO_CAPTURE = "triggers"

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
ROOT_URLCONF = "project.urls"
STATIC_URL = "/static/"
USE_TZ = True
TIME_ZONE = "UTC"

# For an example on one's own machine only. Commands do not need it: it would remember every statement.
DEBUG = "runserver" in sys.argv
SECRET_KEY = "the example has no secrets"
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
