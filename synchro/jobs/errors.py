"""What went wrong, in words that are fit for any member of the staff, and for the log of the server."""

from __future__ import annotations

import traceback

from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext as _

from synchro.exceptions import SynchroError


def in_words(error: BaseException) -> str:
    """Return what went wrong. Only texts of synchro's own: others may hold values of rows, or how to connect."""
    if isinstance(error, SynchroError | ImproperlyConfigured):
        return _("Synchronization failed: %(message)s") % {"message": error}
    return _("Synchronization failed with an error of type %(type)s. The log of the server tells more.") % {
        "type": type(error).__name__
    }


def without_values(error: BaseException | None) -> str:
    """
    Return where the error came from, with the words of synchro's own errors alone.

    Those of a database hold values of rows, or how to connect. ``SYNCHRO_DEBUG`` logs the whole of it.
    """
    lines: list[str] = []
    while error is not None:
        words = f": {error}" if isinstance(error, SynchroError | ImproperlyConfigured) else ""
        lines[:0] = [*traceback.format_tb(error.__traceback__), f"{type(error).__qualname__}{words}\n"]
        error = error.__cause__ or error.__context__
    return "".join(lines)
