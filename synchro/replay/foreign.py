"""Triggers of REMOTE's own on watched tables: what they did on LOCAL is in LOCAL's rows, and they would do it again."""

from __future__ import annotations

from django.utils.translation import gettext as _

from synchro.exceptions import NotReady
from synchro.replay.link import Link
from synchro.triggers.remote import foreign_triggers, without_capture


def check_foreign_triggers(link: Link) -> None:
    """Raise `NotReady` where a trigger of REMOTE's own would change, double or drop what is written."""
    found = foreign_triggers(link.remote.connection, link.left_out)
    if found:
        raise NotReady(
            _(
                "The database “%(alias)s” has triggers of its own on watched tables: %(triggers)s. They would fire for "
                "what is replayed, and do once more what they did on LOCAL. Nothing was written. Let them ask whether "
                "it is a run that writes, as docs/triggers.md shows; or name them in SYNCHRO_REMOTE_TRIGGERS if what "
                "they do there is wanted."
            )
            % {"alias": link.remote.alias, "triggers": ", ".join(map(str, found))}
        )


def warn_without_capture(link: Link) -> None:
    """Say where REMOTE should capture its own changes by triggers, and has none."""
    found = without_capture(link.remote.connection) if link.peer_there is not None else None
    if found is not None and not found.is_silenced():
        link.warn(f"{found.msg} {found.hint}")
