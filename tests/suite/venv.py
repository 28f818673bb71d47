"""
The virtual environments of the project: ``python3 -m tests.suite.venv NAME``.

Each is made when it is missing and made anew when what it depends on has changed.
"""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.backends import apt
from tests.backends.commands import run, succeeds
from tests.backends.errors import BackendError
from tests.backends.state import PROJECT
from tests.suite import interpreters

# What compiling mysqlclient takes, besides the headers of Python.
COMPILER = ("gcc", "libc6-dev", "pkg-config", "default-libmysqlclient-dev")
STAMP = "made-from"


@dataclass(frozen=True)
class Environment:
    """
    One virtual environment: its folder, the project's extras in it, a requirement on Django, a file of more of them.
    """

    folder: Path
    extras: tuple[str, ...]
    django: str = "Django"
    requirements: Path | None = None

    @property
    def python(self) -> str:
        """The path of its interpreter."""
        return str(self.folder / "bin" / "python")


ENVIRONMENTS = {
    "main": Environment(PROJECT / ".venv", ("test", "lint", "postgresql", "mysql", "example")),
    "django52": Environment(PROJECT / ".venv-django52", ("test", "postgresql"), "Django~=5.2.0"),
    "applications": Environment(
        PROJECT / ".venv-applications",
        ("test", "postgresql", "mysql"),
        requirements=PROJECT / "tests" / "applications" / "requirements.txt",
    ),
    "spicy-neighbours": Environment(
        PROJECT / ".venv-spicy-neighbours",
        ("test", "postgresql"),
        requirements=PROJECT / "tests" / "neighbours" / "newest.txt",
    ),
    "spicy-neighbours-oldest": Environment(
        PROJECT / ".venv-spicy-neighbours-oldest",
        ("test",),
        "Django~=5.2.0",
        requirements=PROJECT / "tests" / "neighbours" / "oldest.txt",
    ),
    "demo": Environment(PROJECT / ".venv-demo", ("example",)),
    "docs": Environment(PROJECT / ".venv-docs", ("docs", "metrics", "tracing")),
}


def ensure(name: str) -> Environment:
    """The environment `name`, complete. Raises `BackendError` if it cannot be made."""
    environment = ENVIRONMENTS[name]
    interpreter = interpreters.newest()
    extras = [extra for extra in environment.extras if extra != "mysql" or _can_compile(interpreter)]
    stamp = _stamp(interpreter, extras, environment)
    mark = environment.folder / STAMP
    if mark.exists() and mark.read_text() == stamp:
        return environment
    print(f"making {environment.folder.name} with {interpreter}", file=sys.stderr, flush=True)
    _create(interpreter, environment.folder)
    pip = [environment.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    more = ["--requirement", str(environment.requirements)] if environment.requirements else []
    run([*pip, environment.django, *more, "--editable", f"{PROJECT}[{','.join(extras)}]"], timeout=900)
    mark.write_text(stamp)
    return environment


def _stamp(interpreter: str, extras: list[str], environment: Environment) -> str:
    """Everything that what is installed depends on."""
    files = [PROJECT / "pyproject.toml", *([environment.requirements] if environment.requirements else [])]
    hashes = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    return "\n".join([interpreter, environment.django, *extras, *hashes, ""])


def _create(interpreter: str, folder: Path) -> None:
    """Debian's own Python comes without the module that brings pip."""
    if not succeeds([interpreter, "-c", "import ensurepip, venv"]):
        apt.install(["python3-venv"])
    run([interpreter, "-m", "venv", "--clear", str(folder)])


def _can_compile(interpreter: str) -> bool:
    """
    Whether mysqlclient can be compiled, after installing what that takes where this may be done.

    In CI it must be: raises `BackendError` there.
    """
    headers = "import sysconfig, os; assert os.path.exists(sysconfig.get_path('include') + '/Python.h')"
    has_headers = succeeds([interpreter, "-c", headers])
    has_client = succeeds(["gcc", "--version"]) and any(
        succeeds(["pkg-config", "--exists", library]) for library in ("mysqlclient", "libmariadb", "mariadb")
    )
    try:
        apt.install([*([] if has_client else COMPILER), *([] if has_headers else ["python3-dev"])])
    except BackendError as error:
        if os.environ.get("CI"):
            raise
        print(f"no tests with MySQL and MariaDB: mysqlclient cannot be compiled: {error}", file=sys.stderr)
        return False
    return True


def main(names: list[str]) -> int:
    """Make the environments `names`; the exit code."""
    try:
        for name in names:
            ensure(name)
    except BackendError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
