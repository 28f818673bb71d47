"""What can go wrong, one class each. Every message says what happened, to which object, and what to do next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError

if TYPE_CHECKING:
    from django.db.models import Model

    from synchro.report import Report


class WrongSetting(ImproperlyConfigured, CommandError):
    """A setting has a value that cannot be. As a `CommandError`, any command tells it without a traceback."""


class SynchroError(Exception):
    """Base class: the run stopped, and the batch it was at is not on REMOTE."""


class NotConfigured(SynchroError):
    """No REMOTE is named in the settings, or it cannot take part as it is."""


class Busy(SynchroError):
    """Another process is synchronizing the same two databases."""


class UnknownState(SynchroError):
    """The two databases disagree about what has been exchanged, so nothing was written."""


class NotReady(SynchroError):
    """LOCAL or REMOTE lacks something that the run needs: a table, a column, a permission, a connection, room."""


class KnownAsOrigin(SynchroError):
    """A database that REMOTE knows as the origin of rows was to be reset, and nobody said that it is a copy."""


class Interrupted(SynchroError):
    """A connection broke, or another transaction was in the way, again and again."""


class Uncaptured(SynchroError):
    """An object cannot be saved, since no entry could name it: its key is no value."""


@dataclass(frozen=True)
class Culprit:
    """A row of LOCAL, by its key, that REMOTE refuses; the cause names no value."""

    model: type[Model]
    key: Any
    cause: str


class Refused(SynchroError):
    """REMOTE refused a change; `culprits` are the rows, as far as they are known."""

    def __init__(self, message: str, culprits: Iterable[Culprit] = ()) -> None:
        super().__init__(message)
        self.culprits = tuple(culprits)


class WrongDatabase(Refused):
    """Code of the project that ran for an object of REMOTE's wanted to use another database; `cause` is short."""

    def __init__(self, message: str, culprits: Iterable[Culprit], cause: str) -> None:
        super().__init__(message, culprits)
        self.cause = cause


class AfterCommit(SynchroError):
    """What code of the project wanted to do after REMOTE's commit failed. The batch is on REMOTE."""


class Undecided(SynchroError):
    """Both sides changed an object, and the project's own callable did not decide between them."""


class Incomplete(SynchroError):
    """Of several REMOTEs some were served and some were not; `reports` and `errors` say which."""

    def __init__(self, reports: Sequence[Report], errors: Mapping[str, SynchroError]) -> None:
        super().__init__(" ".join(f"{alias}: {error}" for alias, error in errors.items()))
        self.reports, self.errors = tuple(reports), dict(errors)


class Unidentified(Refused):
    """A natural key cannot be made or looked for, so nobody can say which row of REMOTE an object is."""


class Ambiguous(Unidentified):
    """A natural key finds more than one row."""
