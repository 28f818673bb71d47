"""The pages that the site has more than the folder, and what is different in those that it has from there."""

from __future__ import annotations

import re
from pathlib import Path

from django.core.management import get_commands, load_command_class
from sphinx.application import Sphinx

#: The order of the pages, by part.
PARTS = {
    "Start": ("quickstart", "your-models", "example", "faq"),
    "Guides": (
        *(
            "office",
            "two-ways",
            "moving",
            "several-remotes",
            "operating",
            "dashboard",
            "metrics",
            "upgrading",
        ),
        *("with-wagtail", "with-oscar", "with-tags-trees-histories"),
    ),
    "Topics": (
        *("triggers", "natural-keys", "conflicts", "receivers", "set-aside", "atomic", "failure"),
        *("limits", "troubleshooting"),
    ),
    "How it works": ("how-it-works", "design", "engines", "protocol-model", "performance", "walks"),
    "Reference": (
        *("settings", "_generated/commands", "_generated/python", "messages", "glossary"),
        *("_generated/changelog", "_generated/contributing"),
    ),
    "Spicy ids": ("spicy-ids", "spicy-ids-with"),
}

#: Pages of the root folder, by their names there.
FROM_ROOT = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}

#: What the reference of Python names shows, in this order.
MODULES = (
    "synchro.core",
    "synchro.report",
    "synchro.events",
    "synchro.exceptions",
    "synchro.contrib.prometheus.metrics",
    "synchro.contrib.opentelemetry.spans",
    "django_spicy_id",
)
#: Modules that have their names from others, and which of these are shown elsewhere.
WITHOUT = {"synchro.core": "Report", "django_spicy_id": ""}


def generate(root: Path, folder: Path) -> None:
    """Write the pages that are made from other files and from the code."""
    folder.mkdir(exist_ok=True)
    for name, page in FROM_ROOT.items():
        text = re.sub(r"\]\(docs/", "](../", (root / name).read_text())
        _write(folder / page, text)
    _write(folder / "commands.md", _commands())
    _write(folder / "python.md", _python())


def adapt(_app: Sphinx, name: str, source: list[str]) -> None:
    """Have links to files of the root folder lead to their pages, and give the first page the order of all."""
    prefix = "" if name.startswith("_generated/") else "_generated/"
    for path, page in FROM_ROOT.items():
        source[0] = source[0].replace(f"](../{path}", f"]({prefix}{page}").replace(f"]({path}", f"]({page}")
    source[0] = re.sub(r"\]\(\.\./README\.md(#[\w-]+)?\)", "](index.md)", source[0])
    source[0] = re.sub(r"\]\(README\.md(#[\w-]+)?\)", "](../index.md)", source[0])
    if name == "index":
        source[0] += "".join(map(_toctree, PARTS))


def _toctree(part: str) -> str:
    names = "\n".join(PARTS[part])
    return f"\n```{{toctree}}\n:hidden:\n:caption: {part}\n\n{names}\n```\n"


def _commands() -> str:
    names = sorted(
        (name for name, app in get_commands().items() if app in ("synchro", "django_spicy_id")),
        key=lambda name: (name != "synchronize", not name.startswith("synchro"), name),
    )
    parts = ["# Commands", "What `--help` says of each. [Operating](../operating.md) says how they are used."]
    for name in names:
        app = get_commands()[name]
        parser = load_command_class(app, name).create_parser("manage.py", name)
        parts += [f"## {name}", f"```text\n{parser.format_help().strip()}\n```"]
    return "\n\n".join(parts) + "\n"


def _python() -> str:
    parts = ["# Python names"]
    for module in MODULES:
        options = ["members"]
        if module in WITHOUT:
            options += ["imported-members", f"exclude-members: {WITHOUT[module]}"]
        lines = "\n".join(
            f"   :{name}:{value}" for name, _colon, value in (o.partition(":") for o in options)
        )
        parts += [f"## {module}", f"```{{eval-rst}}\n.. automodule:: {module}\n{lines}\n```"]
    return "\n\n".join(parts) + "\n"


def _write(path: Path, text: str) -> None:
    """Write only what is new, so that Sphinx need not read the rest again."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
