"""
Bring the catalogues up to date: ``python -m tests.messages``.

Collects the texts of each package that has a ``locale`` folder, merges them into its catalogues and compiles
these.
Needs GNU gettext. What is new or has changed is then to be translated; ``tests/project/test_locale.py`` names it.
"""

from __future__ import annotations

import os
from pathlib import Path

import django
from django.core.management import call_command

ROOT = Path(__file__).parent.parent
LANGUAGES = ("de", "es", "fr", "pl")
PACKAGES = ("synchro", "django_spicy_id")


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    for package in PACKAGES:
        if not (ROOT / package / "locale").is_dir():
            continue
        os.chdir(ROOT / package)
        languages = list(LANGUAGES)
        call_command("makemessages", locale=languages, no_obsolete=True, add_location="file", no_wrap=True)
        call_command("compilemessages", locale=languages)


if __name__ == "__main__":
    main()
