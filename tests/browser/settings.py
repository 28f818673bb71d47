"""Settings of the server that the browser talks to: the tests' databases, a strict policy, and nothing in the way."""

from __future__ import annotations

from tests.settings_process import *  # noqa: F403

ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = [*INSTALLED_APPS, "django.contrib.staticfiles"]  # type: ignore[name-defined]  # noqa: F405
MIDDLEWARE = ["tests.browser.policy.strict", *MIDDLEWARE]  # type: ignore[name-defined]  # noqa: F405
ROOT_URLCONF = "tests.browser.urls"
