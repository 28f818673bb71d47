"""What the pages of the documentation say, for the project that follows them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2] / "docs"
GUIDES = ("with-wagtail.md", "with-oscar.md", "with-tags-trees-histories.md")
#: Where one page names what it watches, or leaves out, this project has what all of them name.
LISTS = ("SYNCHRO_MODELS",)


def settings_of_guides() -> dict[str, Any]:
    """The settings of synchro that the pages show, together. They contradict each other nowhere."""
    together: dict[str, Any] = {}
    for page in GUIDES:
        for name, value in settings_of(page).items():
            if name in LISTS:
                together[name] = [
                    *together.get(name, []),
                    *(v for v in value if v not in together.get(name, [])),
                ]
            elif isinstance(value, dict):
                together[name] = together.get(name, {}) | value
            else:
                assert together.setdefault(name, value) == value, f"{page}: {name}"
    return together


def settings_of(page: str) -> dict[str, Any]:
    """What the first block of settings on the page defines."""
    found: dict[str, Any] = {}
    (block,) = (code for code in code_of(page, "python") if "SYNCHRO_MODELS" in code)
    exec(block, {"INSTALLED_APPS": [], "DATABASES": {}}, found)
    return {name: value for name, value in found.items() if name.startswith("SYNCHRO_")}


def settings_for_references() -> dict[str, Any]:
    """What the pages show for rows that each side numbers by itself."""
    together: dict[str, Any] = {"SYNCHRO_MODEL_OPTIONS": {}}
    for block in (code for page in GUIDES for code in code_of(page, "python") if '"reference"' in code):
        found: dict[str, Any] = {}
        exec(block, {}, found)
        together["SYNCHRO_IDENTITY"] = found["SYNCHRO_IDENTITY"]
        together["SYNCHRO_MODEL_OPTIONS"] |= found["SYNCHRO_MODEL_OPTIONS"]
    return together


def code_of(page: str, language: str) -> list[str]:
    """All blocks of the page that are in `language`."""
    text = (DOCS / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def apps_left_out() -> frozenset[str]:
    """The apps that the pages say are not synchronized."""
    return frozenset(app for page in GUIDES for app in _first_cells(page, "| app that stays behind |"))


def commands() -> list[tuple[str, str]]:
    """What the pages have people type: on which side, and the arguments of ``manage.py``."""
    typed = re.compile(r"^(local|remote|both)\$ python manage\.py (.*)$", re.MULTILINE)
    return [
        (side, command)
        for page in GUIDES
        for block in code_of(page, "console")
        for where, command in typed.findall(block)
        for side in (("local", "remote") if where == "both" else (where,))
    ]


def unseen_by_signals() -> frozenset[str]:
    """What the pages say is written without a signal, each as ``table`` or ``table.column``."""
    return frozenset(name for page in GUIDES for name in _first_cells(page, "| not seen by signals |"))


def _first_cells(page: str, head: str) -> list[str]:
    """The code in the first column of the table that begins so."""
    _, found, rest = (DOCS / page).read_text().partition(head)
    rows = rest.split("\n\n")[0].splitlines()[2:] if found else []
    return [name for row in rows for name in re.findall(r"`([\w.]+)`", row.split("|")[1])]
