"""What can go wrong, one class each. Every message says what happened, to which object, and what to do next."""

from __future__ import annotations


class SynchroError(Exception):
    """Base class: the run stopped, and the batch it was at is not on REMOTE."""


class NotConfigured(SynchroError):
    """No REMOTE is named in the settings, or it cannot take part as it is."""


class Busy(SynchroError):
    """Another process is synchronizing the same two databases."""


class UnknownState(SynchroError):
    """The two databases disagree about what has been exchanged, so nothing was written."""


class NotReady(SynchroError):
    """LOCAL or REMOTE lacks something that the run needs: a table, a column, a permission, a connection."""


class Refused(SynchroError):
    """REMOTE refused a change."""


class Ambiguous(SynchroError):
    """A natural key finds more than one row on REMOTE."""
