"""Comparing the triggers that a database has with those that it should have, and making them the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from synchro.exceptions import NotReady
from synchro.triggers import triggers_for
from synchro.triggers.base import (
    OPEN,
    ORPHANED,
    POWERLESS,
    UNIQUE,
    Installed,
    Target,
    Trigger,
    Triggers,
    Uncapturable,
    stem_of,
)
from synchro.triggers.declare import Declaration
from synchro.triggers.watch import known

#: How many seconds to wait for a lock.
PATIENCE = 10
#: What is wrong with a trigger that `Installed.misses_changes`.
MISSES_CHANGES = "of a version that misses changes of other sessions"
#: What stands for the triggers of a table that has none.
EVERY = "its triggers"

#: What is wrong with a trigger that does not know a column whose changes are to be captured.
INCOMPLETE = "incomplete"
#: What loses no change is no reason to stop.
HARMLESS = ("left over", "outdated", OPEN, POWERLESS, ORPHANED)


@dataclass(frozen=True)
class Problem:
    """What is wrong with one trigger: it is missing, outdated, disabled, left over, or misses changes."""

    what: str
    table: str
    trigger: str
    #: Of an incomplete one: the columns whose changes it does not see.
    columns: tuple[str, ...] = ()

    def __str__(self) -> str:
        lacking = f": it does not see changes of {', '.join(self.columns)}" if self.columns else ""
        return f"{self.table}: {self.trigger} {'are' if self.trigger == EVERY else 'is'} {self.what}{lacking}"


@dataclass(frozen=True)
class Finding:
    """A table, and what it takes to give it the right triggers."""

    #: The model's label, or the name of a table that is not watched any more.
    label: str
    stem: str
    #: Those that its triggers read.
    tables: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    create: tuple[Trigger, ...] = ()
    drop: tuple[Installed, ...] = ()
    #: Whether it has any trigger of ours now.
    had_some: bool = False
    #: Whether no watched table has this name.
    is_left_over: bool = False
    #: Of those: whether the triggers are on a watched table all the same, under whose former name they were
    #: made, or on none at all.
    is_superseded: bool = False

    @property
    def is_right(self) -> bool:
        return not self.problems

    @property
    def unseen_columns(self) -> list[str]:
        """The columns whose changes its triggers do not see."""
        return list(dict.fromkeys(column for problem in self.problems for column in problem.columns))


@dataclass(frozen=True)
class Survey:
    findings: tuple[Finding, ...]
    #: Models that cannot have triggers, and why.
    impossible: dict[str, str]
    #: Models whose content type has to be made first.
    unnamed: tuple[type[Model], ...] = ()
    #: Models whose table is that of another watched one, which has its triggers.
    sharing: Mapping[str, str] = field(default_factory=dict)

    @property
    def problems(self) -> list[Problem]:
        return [problem for finding in self.findings for problem in finding.problems]


def survey(
    connection: BaseDatabaseWrapper, create_content_types: bool = False, only: str | None = None
) -> Survey:
    """
    What each table, watched or left over, has and needs; with `only` the one whose triggers have this stem.

    Nothing but content types is written, where asked for.
    """
    backend = triggers_for(connection)
    declaration = Declaration(connection, backend, create_content_types)
    if not declaration.is_ready:
        return Survey((), {})
    targets = declaration.targets(only)
    installed = _by_stem(one for one in backend.installed() if only is None or _belongs(one, only))
    impossible = dict(declaration.impossible)
    findings = []
    for target in targets:
        try:
            wanted = backend.compile(target)
        except Uncapturable as error:
            impossible[target.label] = str(error)
        else:
            findings.append(_compare(backend, target, wanted, installed.pop(target.stem, [])))
    return Survey(
        (*findings, *_left_over(installed, {target.shape.shown for target in targets})),
        impossible,
        tuple(dict.fromkeys(declaration.unnamed)),
        declaration.sharing,
    )


def gap_of(finding: Finding) -> str:
    """How many triggers of the table are missing, and so on; empty where none is."""
    # PostgreSQL's function goes by the stem itself, and is missing only where its triggers are.
    wrong = Counter(
        one.what
        for one in finding.problems
        if one.what not in (*HARMLESS, INCOMPLETE) and one.trigger != finding.stem
    )
    gaps = [f"{count} trigger{'s' if count > 1 else ''} {what}" for what, count in wrong.items()]
    if columns := finding.unseen_columns:
        gaps.append(f"changes of {', '.join(columns)} are not seen")
    return ", ".join(gaps)


def _by_stem(installed: Iterable[Installed]) -> dict[str, list[Installed]]:
    """What was made for one table, by the stem of its names."""
    groups: dict[str, list[Installed]] = {}
    for one in installed:
        groups.setdefault(stem_of(one.stem) or one.stem, []).append(one)
    return groups


def _compare(
    backend: Triggers, target: Target, triggers: Sequence[Trigger], found: list[Installed]
) -> Finding:
    wanted = {trigger.stem: trigger for trigger in triggers}
    own = [one for one in found if _is_on(one, target)]
    right = {one.stem for one in own if _is_right(one, wanted)}
    create = tuple(trigger for stem, trigger in wanted.items() if stem not in right)
    drop = tuple(
        one
        for one in found
        if one not in own or one.stem not in wanted or not (_is_right(one, wanted) or backend.replaces)
    )
    problems = tuple(_problems(target, wanted, found))
    return Finding(target.label, target.stem, target.tables, problems, create, drop, bool(found))


def _is_on(one: Installed, target: Target) -> bool:
    """Whether it is on this very table, or on none. A table takes its triggers along when it is renamed."""
    return one.table in ("", target.shape.shown)


def _is_right(one: Installed, wanted: dict[str, Trigger]) -> bool:
    return one.stem in wanted and one.version == wanted[one.stem].version and one.enabled and not one.flaw


def _belongs(one: Installed, stem: str) -> bool:
    return one.stem == stem or one.stem.startswith((f"{stem}_", f"{stem}:"))


def _problems(target: Target, wanted: dict[str, Trigger], found: list[Installed]) -> Iterator[Problem]:
    by_stem = {one.stem: one for one in found if _is_on(one, target)}
    updates = by_stem.get(f"{target.stem}_update")
    is_key_only = updates is not None and updates.knows is None
    for stem, trigger in wanted.items():
        one = by_stem.get(stem)
        if one is None and is_key_only and stem.endswith(UNIQUE):
            yield Problem(
                "outdated", target.label, trigger.name
            )  # a migration failed: see `synchro.triggers.migrate`
        elif one is None:
            yield Problem("missing", target.label, trigger.name)
        elif not one.enabled:
            yield Problem("disabled", target.label, f"{one.name} on {one.place}" if one.place else one.name)
        elif one.misses_changes:
            yield Problem(MISSES_CHANGES, target.label, one.name)
        elif columns := one.unknown(target):
            yield Problem(INCOMPLETE, target.label, one.name, tuple(columns))
        elif one.version != trigger.version:
            yield Problem("outdated", target.label, one.name)
        elif one.flaw:
            yield Problem(one.flaw, target.label, one.name)
    for one in found:
        if one.stem not in wanted or not _is_on(one, target):
            yield Problem("left over", target.label if _is_on(one, target) else one.table, one.name)


def _left_over(others: Mapping[str, list[Installed]], tables: set[str]) -> Iterator[Finding]:
    for stem, found in others.items():
        label = next((one.table for one in found if one.table), stem)
        problems = tuple(Problem("left over", label, one.name) for one in found)
        superseded = all(not one.table or one.table in tables for one in found)
        yield Finding(label, stem, (), problems, (), tuple(found), True, True, superseded)


def install(connection: BaseDatabaseWrapper, stem: str, seconds: int = PATIENCE) -> Finding | None:
    """
    Bring one table up to date, all or nothing, while no other process does the same.

    Gives what was done; None where nothing is known of the table any more.
    """
    backend = triggers_for(connection)
    try:
        with known(connection), backend.alone(seconds):
            finding = next(iter(survey(connection, True, stem).findings), None)
            if finding is not None and not finding.is_right:
                if finding.create and (lacking := backend.lacking_rights(finding.tables)):
                    raise NotReady(lacking)
                backend.exchange(finding.create, finding.drop, seconds)
            return finding
    except DatabaseError as error:
        raise backend.explained(error) from error


def uninstall(connection: BaseDatabaseWrapper, stem: str, seconds: int = PATIENCE) -> list[Installed]:
    """Remove the triggers of one table, and give what was removed."""
    backend = triggers_for(connection)
    try:
        with known(connection), backend.alone(seconds):
            found = [one for one in backend.installed() if _belongs(one, stem)]
            backend.exchange((), found, seconds)
            return found
    except DatabaseError as error:
        raise backend.explained(error) from error
