"""The two databases of a run, and what is known of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias
from uuid import UUID

from django.contrib.contenttypes.models import ContentType
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from synchro.backends import Backend, backend_for
from synchro.conf import LOCAL
from synchro.keys import Key
from synchro.models import Peer
from synchro.moved import successor_of

if TYPE_CHECKING:
    from synchro.replay.quarantine.store import Quarantine


#: LOCAL's keys to REMOTE's.
Pairs: TypeAlias = Mapping[type[Model], Mapping[Key, Key]]


class NewReferences:
    def __init__(self) -> None:
        self._there: dict[type[Model], dict[Key, Key]] = {}
        self._here: dict[type[Model], dict[Key, Key]] = {}

    def add(self, pairs: Pairs) -> None:
        for model, found in pairs.items():
            self._there.setdefault(model, {}).update(found)
            self._here.setdefault(model, {}).update({there: here for here, there in found.items()})

    def remote_keys(self, model: type[Model], here: Collection[Key]) -> dict[Key, Key]:
        """REMOTE's keys, by LOCAL's, of those objects that have one."""
        known = self._there.get(model, {})
        return {key: known[key] for key in here if key in known}

    def local_keys(self, model: type[Model], there: Collection[Key]) -> dict[Key, Key]:
        """LOCAL's keys, by REMOTE's."""
        known = self._here.get(model, {})
        return {key: known[key] for key in there if key in known}


@dataclass(frozen=True)
class Database:
    """One of the two databases."""

    alias: str

    @property
    def connection(self) -> BaseDatabaseWrapper:
        return connections[self.alias]

    @property
    def backend(self) -> Backend:
        return backend_for(self.connection)

    def content_type_id(self, model: type[Model]) -> int:
        manager = ContentType.objects.db_manager(self.alias)
        return int(manager.get_for_model(model, for_concrete_model=True).pk)

    def model_of(self, content_type_id: int) -> type[Model] | None:
        """
        The model that a content type of this database stands for (of a proxy, the one whose rows it shows; of a
        model that has moved, the one that has its table); None where it or its app is gone.
        """
        try:
            model = ContentType.objects.db_manager(self.alias).get_for_id(content_type_id).model_class()
        except ContentType.DoesNotExist:
            model = None
        model = model or successor_of(self.alias, content_type_id)
        return model._meta.concrete_model if model else None


@dataclass
class Session:
    """LOCAL and one REMOTE, as they know each other."""

    remote: Database
    local: Database = field(default_factory=lambda: Database(LOCAL))
    #: The node id of LOCAL, and LOCAL's row about REMOTE.
    node: UUID = field(default_factory=lambda: UUID(int=0))
    peer: Peer = field(default_factory=Peer)
    #: REMOTE's row about LOCAL; None where REMOTE has no synchro tables.
    peer_there: Peer | None = None
    #: The number of the last batch that REMOTE has a receipt for.
    arrived: int = 0
    #: What to add to a time of LOCAL's clock to compare it with REMOTE's.
    offset: timedelta = timedelta(0)
    #: LOCAL's time when the run began.
    begun: datetime = datetime.min
    #: Up to which automatic key of a model LOCAL is a copy of REMOTE.
    baselines: dict[type[Model], int] = field(default_factory=dict)
    #: LOCAL was copied from REMOTE when REMOTE's log went up to this id.
    copied_log: int = 0
    #: Watched models of which LOCAL has no table: nothing of them goes to REMOTE.
    left_out: frozenset[type[Model]] = frozenset()
    #: What earlier batches of a transaction have made that is still open.
    new_references: NewReferences = field(default_factory=NewReferences)
    #: Whether REMOTE's log gets entries of what is written there (see `synchro.replay.nodes.topology`).
    forwards: bool = False
    #: `Receipt.unlogged` of LOCAL at REMOTE, when the run began.
    unlogged: int | None = None
    #: Up to which batch REMOTE had dropped its own log before this run read of LOCAL what it is about.
    pruned: int = 0
    #: Whether values were merged since REMOTE was last given all that was pending.
    merged: bool = False
    #: What is set aside towards REMOTE, once it is known who REMOTE is.
    quarantine: Quarantine = field(init=False)
    #: What the person who runs this should know.
    warnings: list[str] = field(default_factory=list)

    def warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)
