"""
The site of the documentation, by Sphinx: ``make docs``.

The pages are Markdown that reads well on its own, in a browser of the repository too. What only the site needs is added
here: the order of the pages, the pages of the root folder, and the reference, which is made from the code.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import django
from django.conf import settings
from sphinx.application import Sphinx

DOCS = Path(__file__).parent
ROOT = DOCS.parent
GENERATED = DOCS / "_generated"
sys.path[:0] = [str(ROOT), str(DOCS)]
os.environ["COLUMNS"] = "86"  # argparse fits its help to this width, which the page has

settings.configure(
    INSTALLED_APPS=[
        "django.contrib.contenttypes",
        "django.contrib.auth",
        "django_spicy_id",
        "synchro",
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    SYNCHRO_REMOTE=None,
    USE_TZ=True,
)
django.setup()

import pages  # noqa: E402  it stands on Django

from synchro import __version__  # noqa: E402

project = "django-synchro"
copyright = "The django-synchro developers"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence", "deflist"]
# Docstrings write names as `name`.
default_role = "literal"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
# A console's lines, and examples of two sessions side by side, are no language of Pygments.
suppress_warnings = ["misc.highlighting_failure"]

html_theme = "furo"
html_title = f"django-synchro {release}"
html_static_path: list[str] = []
html_show_sourcelink = False


def setup(app: Sphinx) -> None:
    """Have the pages made that the site has more than the folder."""
    app.connect("builder-inited", lambda _app: pages.generate(ROOT, GENERATED))
    app.connect("source-read", pages.adapt)
