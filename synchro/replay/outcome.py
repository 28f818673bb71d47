"""Outcome: what a batch came to on REMOTE, until LOCAL has written it down too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Model

from synchro.keys import Key
from synchro.models import Batch, Conflict
from synchro.replay.aside import Note
from synchro.replay.made import Pairs
from synchro.replay.unread import Unread
from synchro.replay.write import Tally


@dataclass(frozen=True)
class Outcome:
    batch: Batch
    entries: int
    #: The date of the newest entry.
    last: datetime | None
    #: LOCAL's keys of objects that are gone, whose references are to be forgotten.
    forgotten: Mapping[type[Model], Sequence[Key]]
    #: Those that were identified and are not remembered yet.
    pairs: Pairs
    conflicts: Sequence[Conflict]
    #: How many conflicts are on record already.
    recorded: int
    tally: Tally
    #: How many objects of a model were left as REMOTE has them.
    kept: Mapping[type[Model], int]
    #: What is set aside with this batch, and what no more.
    note: Note
    #: Entries of models that this process does not watch.
    unread: Unread = field(default_factory=Unread)
