"""The documentation: its code is code, its links lead somewhere, its names exist, and its quickstart works."""

from __future__ import annotations

import ast
import doctest
import os
import re
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from django.apps import apps

import django_spicy_id
import synchro.core
from synchro.conf import Conf, Setting
from synchro.replay.conflicts.policy import POLICIES

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

SETTINGS = {setting.name for setting in vars(Conf).values() if isinstance(setting, Setting)} | {
    "SYNCHRO_REMOTE"
}
#: Of models, and of the environment.
OTHERS = {"SYNCHRO_SKIP", "SYNCHRO_KEYS", "SYNCHRO_NATURAL_KEY", "SYNCHRO_CACHE"}
PUBLIC = {
    *SETTINGS,
    "SYNCHRO_SKIP",
    "SYNCHRO_KEYS",
    *synchro.core.__all__,
    *django_spicy_id.__all__,
    *("ChangeLog", "Reference", "options.last_check", "call_synchronize", "synchro:synchro"),
    *("synchronize", "synchro_install_triggers", "spicy_id"),
}


class Block(NamedTuple):
    page: Path
    line: int
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """What stands between fences, without the indentation of a list that it is in."""
    fenced = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
    text = page.read_text()
    for found in fenced.finditer(text):
        line = text.count("\n", 0, found.start()) + 2
        yield Block(page, line, found[2], textwrap.dedent(found[3]))


def prose(page: Path) -> str:
    return re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


PYTHON = [block for page in PAGES for block in blocks(page) if block.language == "python"]


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headlines."""
    headlines = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", headline.lower()).strip().replace(" ", "-") for headline in headlines}


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_is_python(block: Block) -> None:
    code = block.code
    if ">>>" in code:
        examples = doctest.DocTestParser().get_examples(code)
        code = "\n".join([re.split(r"^>>>", code, flags=re.MULTILINE)[0], *(e.source for e in examples)])
    ast.parse(code)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors(there), f"{page.name}: {target}"


def test_every_page_is_on_the_map() -> None:
    index = ROOT / "docs" / "index.md"
    listed = set(re.findall(r"\]\(([^)#\s]+)\)", index.read_text()))

    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"}
    assert pages <= listed
    order = (ROOT / "docs" / "pages.py").read_text()  # of the site
    assert {page for page in pages if f'"{page.removesuffix(".md")}"' not in order} == set()


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_public_name_is_documented(name: str) -> None:
    text = "".join(page.read_text() for page in PAGES if page.name != "CHANGELOG.md")

    assert re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)|synchro\.core\.{re.escape(name)}\b", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_exist(page: Path) -> None:
    named = set(re.findall(r"\bSYNCHRO_[A-Z_]+\b(?!\w)", page.read_text()))
    named = {name for name in named if not re.match(r"SYNCHRO_(TEST_|\w+_IMAGE)", name)}  # the suite's

    assert named <= SETTINGS | OTHERS


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_imports_are_there(block: Block) -> None:
    found = re.findall(
        r"^(?:>>> )?from ((?:synchro|django_spicy_id)[\w.]*) import (.+)$", block.code, re.MULTILINE
    )
    for module, names in found:
        exec(f"from {module} import {names}", {})


def test_permissions_and_url_that_are_named_exist() -> None:
    model = apps.get_model("synchro", "ChangeLog")

    assert {name for name, _label in model._meta.permissions} == {"synchronize", "reset"}
    for name in ("synchro.synchronize", "synchro.reset"):
        assert any(f"`{name}`" in page.read_text() for page in PAGES)


def test_no_copy_is_made_by_json_which_cuts_microseconds() -> None:
    commands = [
        line
        for page in PAGES
        for block in blocks(page)
        for line in block.code.splitlines()
        if " dumpdata " in line
    ]
    assert commands
    assert [line for line in commands if "--format xml" not in line] == []


def test_every_setting_has_its_default_on_its_page() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    rows = dict(re.findall(r"^\| `(SYNCHRO_\w+)` \| (.*?) \|", page, re.MULTILINE))

    assert rows.keys() == SETTINGS
    for setting in vars(Conf).values():
        if isinstance(setting, Setting) and setting.name != "SYNCHRO_RETENTION":
            assert ast.literal_eval(rows[setting.name].strip("`")) == setting.default, setting.name


def texts(node: ast.AST) -> set[str]:
    found = (one.value for one in ast.walk(node) if isinstance(one, ast.Constant))
    return {value for value in found if isinstance(value, str) and " " in value.strip()}


def is_warning(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "warn"


def test_every_policy_is_documented_and_every_documented_one_exists() -> None:
    section = (ROOT / "docs" / "conflicts.md").read_text().split("## Who wins")[1].split("\n## ")[0]
    documented = re.findall(r'^\| `"(\w+)"` \|', section, re.MULTILINE)
    settings = (ROOT / "docs" / "settings.md").read_text()

    assert documented == list(POLICIES)
    assert all(f'`"{name}"`' in settings for name in POLICIES)


def test_every_warning_of_a_run_is_documented_and_every_documented_one_exists() -> None:
    section = (ROOT / "docs" / "messages.md").read_text().split("\n## Warnings of a run\n")[1]
    quoted = re.findall(r"^\| “(.+?)” \|", section, re.MULTILINE)
    modules = [ast.parse(path.read_text()) for path in (ROOT / "synchro").rglob("*.py")]
    in_code = set().union(*map(texts, modules))
    warnings = [texts(node) for module in modules for node in ast.walk(module) if is_warning(node)]

    assert {one for one in quoted if not any(one in text for text in in_code)} == set()
    for text in set().union(*warnings) - texts(ast.parse((ROOT / "synchro" / "conf.py").read_text())):
        assert any(one in text for one in quoted), text


#: Of refusals to which their raiser adds what to do.
WITHOUT_ADVICE = {
    "REMOTE refuses %(model)s %(key)s (%(cause)s). The batch was rolled back.",
    "%(models)s: rows depend on each other, and were changed again and again. The batch was rolled back.",
}


def test_every_refusal_says_what_to_do() -> None:
    modules = [ast.parse(path.read_text()) for path in (ROOT / "synchro" / "replay").rglob("*.py")]
    refusals = {text for text in set().union(*map(texts, modules)) if "rolled back" in text and "%(" in text}
    advice = (
        "ynchronize again",
        "synchronize --",
        "%(advice)s",
        "eave it out",
        "the cause of this error says",
    )

    assert {one for one in refusals - WITHOUT_ADVICE if not any(words in one for words in advice)} == set()
    assert refusals >= WITHOUT_ADVICE


def quickstart() -> list[Block]:
    section = README.read_text().split("\n## Quickstart\n")[1].split("\n## ")[0]
    return [block for block in blocks(README) if block.code.strip() in section]


def test_quickstart_has_ten_lines() -> None:
    lines = [line for block in quickstart()[:3] for line in block.code.splitlines()]
    typed = [line for line in lines if line.startswith("$ ") or ("=" in line and not line.startswith("#"))]

    assert len(typed) == 10


def test_quickstart_works(tmp_path: Path) -> None:
    """Literally, but for the installation."""
    first, settings, last, proof = quickstart()
    install, start = first.code.splitlines()
    assert install == "$ pip install ./django-synchro"
    folder = tmp_path / "office"
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("DJANGO_", "SYNCHRO_"))
    }
    admin = Path(sys.executable).with_name("django-admin")
    assert admin.exists()
    environment["PATH"] = os.pathsep.join([str(admin.parent), os.environ["PATH"]])
    environment["PYTHONPATH"] = str(ROOT)

    def run(line: str, where: Path) -> str:
        ended = subprocess.run(
            line.removeprefix("$ "), shell=True, cwd=where, env=environment, capture_output=True, text=True
        )
        assert ended.returncode == 0, f"{line}\n{ended.stdout}{ended.stderr}"
        return ended.stdout

    run(start, tmp_path)
    comment, *code = settings.code.splitlines()
    path = comment.removeprefix("# at the end of ")
    with (folder / path).open("a") as file:
        file.write("\n".join(code) + "\n")
    expected: list[str] = []
    output = ""
    for line in [*last.code.splitlines(), *proof.code.splitlines()]:
        if line.startswith("$ "):
            output = run(line, folder)
        else:
            expected.append(line)
            # How many rows there are depends on the permissions that Django and synchro make.
            assert re.sub(r"\d+", "N", line) in re.sub(r"\d+", "N", output)
    assert expected[0] == "Synchronization performed successfully."
    assert "No row differs" in expected[-1]

    with closing(sqlite3.connect(folder / "main.sqlite3")) as remote:
        assert remote.execute("SELECT username FROM auth_user").fetchall() == [("sybil",)]
