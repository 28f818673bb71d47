"""Which row REMOTE refuses to delete, and what to do about it."""

from __future__ import annotations

from django.db import IntegrityError
from django.db.models import Model, ProtectedError, RestrictedError
from django.utils.translation import gettext as _

from synchro.exceptions import Culprit, Refused, SynchroError
from synchro.keys import Key, to_text
from synchro.replay.blame import is_of_guest, of_guest


def blame_removal(model: type[Model], error: Exception, key: Key | None = None) -> Exception:
    """
    The error to raise in place of `error`, which REMOTE gave when rows of `model` were deleted; with LOCAL's `key`
    of the row, where it is known and the error is about one.
    """
    if key is not None and not isinstance(error, IntegrityError | SynchroError):
        return Refused(
            _(
                "REMOTE refuses to delete %(model)s %(key)s (%(cause)s). The batch was rolled back. Find out what "
                "refuses that on REMOTE, such as a trigger of its own, and synchronize again."
            )
            % {"model": model._meta.label, "key": to_text(model, key), "cause": type(error).__name__},
            [
                Culprit(
                    model, key, _("REMOTE refuses to delete it (%(cause)s)") % {"cause": type(error).__name__}
                )
            ],
        )
    if isinstance(error, ProtectedError | RestrictedError):
        return Refused(
            _(
                "%(model)s: REMOTE has rows that protect one from being deleted. The batch was rolled back. Let these "
                "rows of REMOTE point at another one, and synchronize again."
            )
            % {"model": model._meta.label}
        )
    if isinstance(error, IntegrityError):
        return Refused(
            _(
                "REMOTE refuses to delete rows of %(model)s (%(cause)s). The batch was rolled back. Let the rows of "
                "REMOTE that point at them point at others, and synchronize again."
            )
            % {"model": model._meta.label, "cause": type(error).__name__}
        )
    return of_guest(error) if is_of_guest(error) else error
