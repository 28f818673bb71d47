"""
Spicy ids and packages like them, beside the packages that Django people use daily: what works, and how fast it is.

    python -m benchmarks.spicy_rivals [--write]   # --write: into docs/spicy-ids-with.md

Each package has its own process, with a model that has such an id, in the environment of ``tests/neighbours``; the
packages are fetched the first time. The engines are SQLite, and those that ``make servers`` has started.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "rivals"
PAGE = ROOT / "docs" / "spicy-ids-with.md"
MARKS = "<!-- rivals -->\n", "<!-- end of rivals -->"


class Rival(NamedTuple):
    """A package: what pip installs, its app, and how a model is declared."""

    title: str
    requirements: tuple[str, ...]
    module: str
    imports: str
    declaration: str
    shown: str = "id"


SPICY = (
    "from django_spicy_id import SpicyBigAutoField",
    'id = SpicyBigAutoField(primary_key=True, prefix="row")',
)
RIVALS = (
    Rival("here", (), "django_spicy_id", *SPICY),
    Rival("django-spicy-id 1.1.0", ("django-spicy-id==1.1.0",), "django_spicy_id", *SPICY),
    Rival(
        "django-hashid-field 3.4.1",
        ("django-hashid-field==3.4.1", "hashids==1.3.1"),
        "hashid_field",
        "from hashid_field import BigHashidAutoField",
        'id = BigHashidAutoField(primary_key=True, prefix="row_", salt="salt")',
    ),
    Rival(
        "django-prefix-id 1.0.1",
        ("django-prefix-id==1.0.1",),
        "prefix_id",
        "from prefix_id import PrefixIDField",
        'id = PrefixIDField(primary_key=True, prefix="row")',
    ),
    Rival(
        "django-sqids 0.2.2",
        ("django-sqids==0.2.2", "sqids==0.5.2"),
        "django_sqids",
        "from django_sqids import SqidsField",
        'sqid = SqidsField(real_field_name="id", prefix="row_")',
        "sqid",
    ),
)
MODELS = """
import os
from django.db import models
{imports}

class Row(models.Model):
    {declaration}
    name = models.CharField(max_length=20)

    class Meta:
        db_table = f"rival_row_{{os.getpid()}}"

class Plain(models.Model):
    name = models.CharField(max_length=20)

class Child(models.Model):
    row = models.ForeignKey(Row, models.CASCADE)
"""


def folder_of(rival: Rival) -> Path:
    """Return where the package is, after fetching it where it is not there yet."""
    if not rival.requirements:
        return ROOT
    folder = CACHE / rival.requirements[0]
    if not folder.is_dir():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
        subprocess.run([*command, *rival.requirements], check=True)
    return folder


def ask(rival: Rival, python: str, rows: int, *more: str) -> dict[str, str]:
    with TemporaryDirectory() as name:
        app = Path(name) / "rival"
        app.mkdir()
        (app / "__init__.py").touch()
        (app / "models.py").write_text(MODELS.format(imports=rival.imports, declaration=rival.declaration))
        package = folder_of(rival)
        arguments = ["--module", rival.module, "--shown", rival.shown, "--rows", str(rows), *more]
        ended = subprocess.run(
            [python, str(ROOT / "benchmarks" / "rivals_of_ids.py"), *arguments],
            cwd=name,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(package), name])},
            capture_output=True,
            text=True,
        )
    if ended.returncode:
        sys.exit(f"{rival.title}: {ended.stderr}")
    answers: dict[str, str] = json.loads(ended.stdout.splitlines()[-1])
    return answers


def table(answers: dict[str, dict[str, str]]) -> str:
    titles = list(answers)
    lines = [f"| | {' | '.join(titles)} |", f"| --- |{' --- |' * len(titles)}"]
    for what in answers[titles[0]]:
        lines.append(f"| {what} | {' | '.join(answers[title][what] for title in titles)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    from tests.suite.venv import ensure

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    # The drivers of all engines are in the one environment, the packages beside in the other.
    neighbours, drivers = ensure("spicy-neighbours").python, ensure("main").python
    text = table(
        {
            rival.title: ask(rival, neighbours, arguments.rows) | ask(rival, drivers, 10, "--engines")
            for rival in RIVALS
        }
    )
    print(text)
    if arguments.write:
        before, rest = PAGE.read_text().split(MARKS[0])
        PAGE.write_text(f"{before}{MARKS[0]}{text}{MARKS[1]}{rest.split(MARKS[1])[1]}")


if __name__ == "__main__":
    main()
