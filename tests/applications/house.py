"""The two sides, and how far they have come."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tests.applications.compare import differences, fingerprint
from tests.applications.databases import KINDS, Database, Postgresql
from tests.applications.guides import apps_left_out, commands, unseen_by_signals
from tests.applications.sides import ROOT, Side

CAPTURES = ("triggers", "signals")
TRIGGERS = "triggers"


def place(engine: str, name: str, folder: Path) -> Database | None:
    """Where a database of this name can be; None where there is no such server."""
    if engine == "sqlite":
        return KINDS[engine](f"sqlite:///{folder / name}.sqlite3")
    url = os.environ.get(f"SYNCHRO_TEST_{engine.upper()}_URL")
    if not url:
        return None
    clone = hashlib.sha256(str(ROOT).encode()).hexdigest()[:6]
    return KINDS[engine](urlsplit(url)._replace(path=f"/applications_{name}_{clone}").geturl())


@dataclass(frozen=True)
class Template:
    """A migrated database, to be copied; None where the engine is not there."""

    engine: str
    database: Database | None
    folder: Path

    @property
    def is_there(self) -> bool:
        """Whether it has been migrated, to the end."""
        return self.mark.exists()

    @property
    def mark(self) -> Path:
        """A file that says so."""
        return self.folder / f"{self.engine}.migrated"

    def drop(self) -> None:
        """Remove it."""
        if self.database is not None:
            self.database.drop()


def migrated(template: Template) -> None:
    """Migrate it as the pages say: by a process whose ``default`` it is."""
    assert template.database is not None
    template.database.make()
    nowhere = f"sqlite:///{template.folder / 'nowhere.sqlite3'}"
    with Side(
        template.database.url, nowhere, TRIGGERS, template.folder, template.engine == "postgresql"
    ) as side:
        side.wait_until_ready()
        side.do("manage migrate -v 0")
    template.mark.touch()


@dataclass
class House:
    """LOCAL and REMOTE, each with a process of its own, and the stages that they have been through."""

    local: Database
    remote: Postgresql
    at_local: Side
    at_remote: Side
    capture: str
    media: Path
    #: What each stage ended with: None, or an error.
    _stages: dict[str, BaseException | None] = field(default_factory=dict)

    @classmethod
    @contextmanager
    def built(
        cls,
        templates: Mapping[str, Template],
        engines: tuple[str, str],
        capture: str,
        folder: Path,
        identity: str = "pk",
    ) -> Iterator[House]:
        """Copies of the templates, and the two processes."""
        local, remote = (
            place(engine, f"{side}_{capture}_{identity}", folder)
            for side, engine in zip(("local", "remote"), engines, strict=True)
        )
        assert local is not None
        assert isinstance(remote, Postgresql)
        for engine, database in zip(engines, (local, remote), strict=True):
            templates[engine].database.copy_to(database)  # type: ignore[union-attr]
        media = folder / "media"
        media.mkdir()  # files are not synchronized: here both sides see the same ones
        try:
            with (
                Side(local.url, remote.url, capture, media, identity=identity) as one,
                Side(remote.url, local.url, capture, media, reordered=True, identity=identity) as two,
            ):
                for side in (one, two):
                    side.wait_until_ready()
                    if capture != TRIGGERS:
                        side.do("manage synchro_install_triggers --uninstall")
                yield cls(local, remote, one, two, capture, media)
        finally:
            for database in (local, remote):
                database.drop()

    @property
    def by_triggers(self) -> bool:
        """How changes are captured, on both sides."""
        return self.capture == TRIGGERS

    def reach(self, *stages: Callable[[House], None]) -> None:
        """Go through the stages, each once. Raises what a stage raised, each time."""
        for stage in stages:
            name = stage.__name__
            if name not in self._stages:
                try:
                    stage(self)
                except BaseException as error:
                    self._stages[name] = error
                    raise
                self._stages[name] = None
            error = self._stages[name]
            if error is not None:
                raise AssertionError(f"it never got beyond: {name}") from error

    def set_up(self) -> None:
        """Type in what the pages say, but for what has been done: the databases are migrated."""
        sides = {"local": self.at_local, "remote": self.at_remote}
        for side, command in commands():
            if command not in ("migrate", "synchronize"):
                sides[side].do(f"manage {command.replace('wagtail.xml', str(self.media / 'wagtail.xml'))}")

    def synchronize(self) -> None:
        """From LOCAL to REMOTE, which must not touch LOCAL."""
        before = fingerprint(self.local)
        self.at_local.do("manage synchronize -v 0")
        after = fingerprint(self.local)
        assert [table for table in before if after.get(table) != before[table]] == []

    def synchronize_back(self) -> None:
        """From REMOTE to LOCAL, which must not touch REMOTE."""
        before = fingerprint(self.remote)
        self.at_remote.do("manage synchronize -v 0")
        after = fingerprint(self.remote)
        assert [table for table in before if after.get(table) != before[table]] == []

    def differences(self) -> list[str]:
        """What is not the same on both sides, of all tables, but for what the pages say is not."""
        unequal = () if self.by_triggers else unseen_by_signals()
        return differences(self.local, self.remote, apps_left_out(), unequal)

    def warnings(self) -> set[str]:
        """The system checks of synchro that say something on LOCAL."""
        told = self.at_local.do("manage check --database default")
        return set(re.findall(r"synchro\.[EWI]\d+", told))

    def conflicts(self) -> list[object]:
        """What either side decided."""
        table = "synchro_conflict"
        return [row for side in (self.local, self.remote) for row in side.contents([table])[table]]
