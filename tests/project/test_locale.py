"""The catalogues: complete, in step with the texts of the code, and in use."""

from __future__ import annotations

import ast
import gettext
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.utils.encoding import force_str
from django.utils.translation import get_language_info, override, template

import synchro
from synchro.core import Report
from synchro.models import ADDITION, ChangeLog
from tests.messages import LANGUAGES, PACKAGES, ROOT

pytestmark = pytest.mark.once

CATALOGUES = [
    (package, language)
    for package in PACKAGES
    if (ROOT / package / "locale").is_dir()
    for language in LANGUAGES
]
FUNCTIONS = {"_", "gettext", "gettext_lazy", "gettext_noop", "ngettext", "ngettext_lazy"}
PLACEHOLDER = re.compile(r"%\(\w+\)[a-z]|%[a-z]|\{\w*\}")


def texts_of(package: str) -> set[str]:
    """Every text that the code or a template of a package hands to gettext."""
    found: set[str] = set()
    for path in (ROOT / package).rglob("*.py"):
        found.update(_marked(path.read_text(encoding="utf-8")))
    for path in (ROOT / package).rglob("*.html"):
        source = template.templatize(path.read_text(encoding="utf-8"), origin=str(path))
        found.update(
            ast.literal_eval(text)
            for text in re.findall(r"gettext\((u?'''?.*?'''?|u?\"\"\".*?\"\"\"|u?'.*?')\)", source)
        )
    return found


def _marked(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS:
            for argument in node.args[: 2 if node.func.id[0] == "n" else 1]:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield argument.value


def entries_of(package: str, language: str) -> dict[str, list[str]]:
    """Each msgid of a .po file (and each plural) with its translations."""
    entries: dict[str, list[str]] = {}
    for block in (_folder(package, language) / "django.po").read_text(encoding="utf-8").split("\n\n"):
        strings = [
            (kind, "".join(ast.literal_eval(part) for part in parts.splitlines()))
            for kind, parts in re.findall(r'^(msg\S+) ((?:"(?:[^"\\]|\\.)*"\n?)+)', block, re.MULTILINE)
        ]
        values = [text for kind, text in strings if kind.startswith("msgstr")]
        for kind, text in strings:
            if not kind.startswith("msgstr") and text:
                entries[text] = values
    return entries


def _folder(package: str, language: str) -> Path:
    return ROOT / package / "locale" / language / "LC_MESSAGES"


def test_there_are_catalogues_of_synchro() -> None:
    assert {language for package, language in CATALOGUES if package == "synchro"} == {"de", "es", "fr", "pl"}
    assert len(texts_of("synchro")) > 60


@pytest.mark.parametrize(("package", "language"), CATALOGUES)
def test_catalogue_has_exactly_the_texts_of_the_package(package: str, language: str) -> None:
    assert entries_of(package, language).keys() ^ texts_of(package) == set()


@pytest.mark.parametrize(("package", "language"), CATALOGUES)
def test_everything_is_translated_and_nothing_is_a_guess(package: str, language: str) -> None:
    assert [
        text for text, values in entries_of(package, language).items() if not all(values) or not values
    ] == []
    assert "fuzzy" not in (_folder(package, language) / "django.po").read_text(encoding="utf-8")


@pytest.mark.parametrize(("package", "language"), CATALOGUES)
def test_translations_keep_the_placeholders(package: str, language: str) -> None:
    for text, values in entries_of(package, language).items():
        for value in values:
            assert sorted(PLACEHOLDER.findall(value)) == sorted(PLACEHOLDER.findall(text)), value


@pytest.mark.parametrize(("package", "language"), CATALOGUES)
def test_compiled_catalogue_is_in_step(package: str, language: str) -> None:
    with (_folder(package, language) / "django.mo").open("rb") as file:
        compiled: dict[Any, str] = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
    compiled = {key: value for key, value in compiled.items() if key}
    single = {key: [value] for key, value in compiled.items() if isinstance(key, str)}
    for key, value in compiled.items():
        if isinstance(key, tuple):
            single.setdefault(key[0], []).append(value)
    written = entries_of(package, language)
    assert {text: set(values) for text, values in single.items()} == {
        text: set(values) for text, values in written.items() if text in single
    }
    plurals = written.keys() - single.keys()
    assert all(any(written[text] is written[other] for other in single) for text in plurals)


def test_report_speaks_five_languages() -> None:
    done, idle = Report(remote="remote", entries=1), Report(remote="remote")
    said: dict[str, tuple[str, str]] = {}
    for language in ("en", *LANGUAGES):
        with override(language):
            said[language] = (str(done), str(idle))
    assert len(set(said.values())) == 5
    assert len({text for pair in said.values() for text in pair}) == 10
    assert said["de"][1] == "Keine Änderungen seit der letzten Synchronisierung."


def test_texts_of_models_are_lazy() -> None:
    verbose = ChangeLog._meta.verbose_name_plural
    entry = ChangeLog(action=ADDITION)
    for language, name, action in (("pl", "wpisy", "Dodanie"), ("fr", "entrées", "Ajout")):
        with override(language):
            assert (force_str(verbose), entry.get_action_display()) == (name, action)


def test_headers_name_the_language_and_its_plurals() -> None:
    for package, language in CATALOGUES:
        with (_folder(package, language) / "django.mo").open("rb") as file:
            info = gettext.GNUTranslations(file).info()
        assert info["language"] == language == get_language_info(language)["code"]
        assert "nplurals=" in info["plural-forms"]


def test_catalogues_are_part_of_the_package() -> None:
    data = (ROOT / "pyproject.toml").read_text()
    assert "locale/*/LC_MESSAGES/*" in data
    assert Path(synchro.__file__).parent == ROOT / "synchro"
