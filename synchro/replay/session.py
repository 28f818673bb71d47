"""The two databases of a run, what the handshake found out about them, and what the run learns."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeAlias
from uuid import UUID

from django.contrib.contenttypes.models import ContentType
from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model
from django.utils.translation import gettext as _

from synchro.backends import Backend, backend_for
from synchro.conf import LOCAL
from synchro.exceptions import Busy, NotReady
from synchro.keys import Key
from synchro.models import Peer
from synchro.moved import successor_of
from synchro.shared_tables import stands_for
from synchro.triggers.by_hand import ByHand

#: LOCAL's keys to REMOTE's.
Pairs: TypeAlias = Mapping[type[Model], Mapping[Key, Key]]


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
        """Return the number by which this database knows a model, or the one that stands for it."""
        manager = ContentType.objects.db_manager(self.alias)
        return int(manager.get_for_model(stands_for(model), for_concrete_model=True).pk)

    def model_of(self, content_type_id: int) -> type[Model] | None:
        """
        Return the model that a content type of this database stands for.

        Of a proxy, that is the model whose rows it shows; of a model that has moved, the one that has its table now; of
        watched models with one table, the one that stands for them.
        Return None where the model or its app is gone.
        """
        try:
            model = ContentType.objects.db_manager(self.alias).get_for_id(content_type_id).model_class()
        except ContentType.DoesNotExist:
            model = None
        model = model or successor_of(self.alias, content_type_id)
        concrete = model._meta.concrete_model if model else None
        return stands_for(concrete) if concrete else None


@dataclass(frozen=True)
class Databases:
    """The two databases of a run."""

    remote: Database
    local: Database = Database(LOCAL)

    def both(self) -> tuple[Database, Database]:
        return self.local, self.remote


class NewReferences:
    """References of batches that are written to REMOTE, in a transaction that is still open there."""

    def __init__(self) -> None:
        self._remote: dict[type[Model], dict[Key, Key]] = {}
        self._local: dict[type[Model], dict[Key, Key]] = {}

    def add(self, pairs: Pairs) -> None:
        for model, found in pairs.items():
            self._remote.setdefault(model, {}).update(found)
            self._local.setdefault(model, {}).update({remote: local for local, remote in found.items()})

    def remote_keys(self, model: type[Model], keys: Collection[Key]) -> dict[Key, Key]:
        """Return REMOTE's keys, by LOCAL's, of those of these objects that have one."""
        return _known(self._remote.get(model, {}), keys)

    def local_keys(self, model: type[Model], keys: Collection[Key]) -> dict[Key, Key]:
        """Return LOCAL's keys, by REMOTE's, of those of these rows that have one."""
        return _known(self._local.get(model, {}), keys)


def _known(found: Mapping[Key, Key], keys: Collection[Key]) -> dict[Key, Key]:
    return {key: found[key] for key in keys if key in found}


@dataclass
class RunState:
    """What a run learns while it goes on."""

    #: The number of the last batch that REMOTE has a receipt for.
    arrived: int = 0
    #: Up to which batch REMOTE had dropped its own log before LOCAL's rows were read.
    pruned: int = 0
    #: Whether values were merged since REMOTE was last given all that was pending.
    merged: bool = False
    #: Foreign keys of REMOTE that Django does not know; None until they are asked for.
    made_by_hand: list[ByHand] | None = None
    new_references: NewReferences = field(default_factory=NewReferences)
    #: What the person who runs this should know.
    warnings: list[str] = field(default_factory=list)

    def warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)


@dataclass(frozen=True, kw_only=True)
class Session(Databases):
    """LOCAL and one REMOTE, as the handshake found them."""

    #: The node id of LOCAL.
    node: UUID
    #: LOCAL's row about REMOTE.
    peer: Peer
    #: REMOTE's row about LOCAL; None where REMOTE has no synchro tables.
    peer_on_remote: Peer | None = None
    #: LOCAL's time when the run began.
    begun: datetime
    #: What to add to a time of LOCAL's clock to compare it with REMOTE's.
    offset: timedelta = timedelta(0)
    #: Up to which automatic key of a model LOCAL is a copy of REMOTE.
    baselines: Mapping[type[Model], int] = field(default_factory=dict)
    #: LOCAL was copied from REMOTE when REMOTE's log went up to this id.
    copied_log: int = 0
    #: REMOTE was copied from LOCAL, and has what LOCAL's batches up to this one brought.
    copied_batches: int = 0
    #: Whether REMOTE's log gets entries of what is written there (see `synchro.replay.nodes.topology`).
    forwards: bool = False
    #: `Receipt.unlogged` of LOCAL at REMOTE, when the run began.
    unlogged: int | None = None
    #: Watched models of which LOCAL has no table, as `synchro.replay.preflight` found: nothing of them goes to REMOTE.
    left_out: frozenset[type[Model]] = frozenset()
    state: RunState = field(default_factory=RunState)

    def warn(self, text: str) -> None:
        """Tell the person who runs this, once."""
        self.state.warn(text)

    def as_if_arrived(self) -> Session:
        """Return a session whose batches count as arrived within a transaction; this one does not learn of them."""
        return replace(self, state=replace(self.state, new_references=NewReferences()))


@contextmanager
def reachable(databases: Databases) -> Iterator[None]:
    """Raise `NotReady` where a database cannot be reached, or is inside a transaction that would hold the run."""
    for database in databases.both():
        try:
            database.connection.ensure_connection()
        except DatabaseError as error:
            raise NotReady(
                _(
                    "The database “%(alias)s” cannot be reached (%(cause)s). What was captured waits: synchronize "
                    "again when it can be."
                )
                % {"alias": database.alias, "cause": type(error).__name__}
            ) from error
        if _is_in_transaction(database.connection):
            raise NotReady(
                _(
                    "synchronize cannot run inside a transaction of the database “%(alias)s”: its rollback would take "
                    "back what the other database was told. Call it outside of “atomic” blocks, with autocommit on."
                )
                % {"alias": database.alias}
            )
    yield


def _is_in_transaction(connection: BaseDatabaseWrapper) -> bool:
    if connection.in_atomic_block:
        # As with atomic(durable=True): the transaction of a test case does not count.
        return not connection.atomic_blocks or not connection.atomic_blocks[0]._from_testcase  # type: ignore[attr-defined]
    return not connection.get_autocommit()


@contextmanager
def own_settings(databases: Databases) -> Iterator[None]:
    """Inside, both connections have the settings that a run needs, whatever the project has set them to."""
    with ExitStack() as stack:
        for database in databases.both():
            stack.enter_context(database.backend.own_session())
        yield


@contextmanager
def run_lock(databases: Databases) -> Iterator[None]:
    """Inside, no other process runs from LOCAL to this REMOTE; raise `Busy` where one does."""
    # Some servers share lock names between their databases.
    name = f"{databases.local.connection.settings_dict['NAME']} to {databases.remote.alias}"
    with databases.local.backend.lock(name) as taken:
        if not taken:
            raise Busy(
                _("Another process is synchronizing to the database “%(alias)s”.")
                % {"alias": databases.remote.alias}
            )
        yield
