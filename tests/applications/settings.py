"""
The settings of one side: its own database is ``default``, and the other side's is ``remote``.

``SYNCHRO_TEST_LOCAL``, ``SYNCHRO_TEST_REMOTE`` and ``SYNCHRO_TEST_CAPTURE`` say which, as for the rest of the tests.
What is about synchro is read from the pages of the documentation.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import oscar
from oscar.defaults import *  # noqa: F403

from tests.applications.guides import settings_for_references, settings_of_guides
from tests.databases import database_from_url

HERE = Path(__file__).parent

DATABASES = {
    "default": database_from_url(os.environ["SYNCHRO_TEST_LOCAL"], ""),
    "remote": database_from_url(os.environ["SYNCHRO_TEST_REMOTE"], ""),
}
WAGTAIL = [
    "wagtail.contrib.forms",
    "wagtail.contrib.redirects",
    "wagtail.contrib.settings",
    "wagtail.embeds",
    "wagtail.sites",
    "wagtail.users",
    "wagtail.snippets",
    "wagtail.documents",
    "wagtail.images",
    "wagtail.search",
    "wagtail.admin",
    "wagtail",
    "modelcluster",
]
SMALL = [
    "taggit",
    "mptt",
    "simple_history",
    "polymorphic",
    "guardian",
    "parler",
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
]
OTHERS = [*WAGTAIL, *SMALL]
if os.environ.get("SYNCHRO_TEST_APPLICATIONS_ORDER") == "other":
    # So content types and permissions get other keys than on the other side.
    OTHERS.reverse()
INSTALLED_APPS = [
    *oscar.INSTALLED_APPS,
    *OTHERS,
    "django.contrib.postgres",
    "tests.applications.content",
    "dbsettings",
    "synchro",
]

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "oscar.apps.basket.middleware.BasketMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "simple_history.middleware.HistoryRequestMiddleware",
    "wagtail.contrib.redirects.middleware.RedirectMiddleware",
]
AUTHENTICATION_BACKENDS = [
    "oscar.apps.customer.auth_backends.EmailBackend",
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
    "guardian.backends.ObjectPermissionBackend",
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
                "oscar.apps.search.context_processors.search_form",
                "oscar.apps.checkout.context_processors.checkout",
                "oscar.core.context_processors.metadata",
            ],
        },
    },
]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
HAYSTACK_CONNECTIONS = {"default": {"ENGINE": "haystack.backends.simple_backend.SimpleEngine"}}
WAGTAIL_SITE_NAME = "Applications"
WAGTAILADMIN_BASE_URL = "http://testserver"
PARLER_LANGUAGES = {1: ({"code": "en"}, {"code": "pl"}, {"code": "de"})}
LANGUAGES = [("en", "English"), ("pl", "Polish"), ("de", "German")]
OSCAR_INITIAL_ORDER_STATUS = OSCAR_INITIAL_LINE_STATUS = "Pending"
OSCAR_ORDER_STATUS_PIPELINE = {"Pending": ("Processed", "Cancelled"), "Processed": (), "Cancelled": ()}
OSCAR_THUMBNAILER = "tests.applications.content.thumbnails.Unchanged"
ANONYMOUS_USER_NAME = None
SITE_ID = 1
ROOT_URLCONF = "tests.applications.urls"
SECRET_KEY = "only for tests"
ALLOWED_HOSTS = ["*"]
STATIC_URL = "/static/"
MEDIA_URL = "/media/"
MEDIA_ROOT = os.environ.get("SYNCHRO_TEST_MEDIA", tempfile.gettempdir())
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
USE_TZ = True
TIME_ZONE = "UTC"
TASKS = {"default": {"BACKEND": "django.tasks.backends.immediate.ImmediateBackend"}}

globals().update(settings_of_guides())
if os.environ.get("SYNCHRO_TEST_IDENTITY") == "reference":
    globals().update(settings_for_references())
SYNCHRO_REMOTE = "remote"
SYNCHRO_CAPTURE = os.environ.get("SYNCHRO_TEST_CAPTURE", "triggers")
