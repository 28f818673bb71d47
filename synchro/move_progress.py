"""How far a move has come: kept on LOCAL, so that a command which was killed goes on where it was."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b

from django.utils import timezone

from synchro.conf import LOCAL
from synchro.models import Node, Option
from synchro.replay.session import Database

#: The steps, in their order.
STEPS = ("preflight", "capture", "load", "follow", "verify", "cutover")


@dataclass(frozen=True)
class Progress:
    """The move of LOCAL to one REMOTE."""

    #: The step at which it is, or at which it was when it was last heard of; empty before the first.
    step: str = ""
    #: When that step began, in ISO format.
    since: str = ""
    #: Whether all that was there has been loaded.
    is_loaded: bool = False
    #: Whether the site can be switched.
    is_done: bool = False

    def at(self, step: str) -> Progress:
        return replace(self, step=step, since=timezone.now().isoformat(timespec="seconds"), is_done=False)


def progress_of(alias: str, mark: str | None = None) -> Progress:
    """
    Return how far the move to `alias` has come; with `mark`, only if it is that of these two databases.

    No REMOTE is asked.
    """
    value = Option.objects.using(LOCAL).filter(pk=_name(alias)).values_list("value", flat=True).first()
    if not value:
        return Progress()
    noted = json.loads(value)
    is_other = mark is not None and noted.pop("mark", None) != mark
    noted.pop("mark", None)
    return Progress() if is_other else Progress(**noted)


def note_progress(alias: str, mark: str, progress: Progress) -> None:
    value = json.dumps({**asdict(progress), "mark": mark})
    Option.objects.using(LOCAL).update_or_create(pk=_name(alias), defaults={"value": value})


def mark_of(alias: str) -> str:
    """Return what tells these two databases from others that have the same aliases."""
    node = Node.objects.using(LOCAL).filter(pk=1).values_list("uuid", flat=True).first()
    return blake2b(f"{node} {Database(alias).backend.place()}".encode(), digest_size=8).hexdigest()


def _name(alias: str) -> str:
    return f"move-{blake2b(alias.encode(), digest_size=8).hexdigest()}"
