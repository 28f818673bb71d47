"""Delete rows that REMOTE alone has, where a person has asked for it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import IO

from django.contrib.contenttypes.models import ContentType
from django.db import IntegrityError
from django.db.models import Model

from synchro import stopping
from synchro.backends.base import quoted
from synchro.keys import AnyField, Key, from_text, key_fields, to_text
from synchro.relations import parents_first
from synchro.replay.handshake import look_at
from synchro.replay.identity.identities import existing_keys
from synchro.replay.rows import as_key, as_values, encode_keys, key_columns, select
from synchro.replay.session import Database, Databases, Session, own_settings, reachable
from synchro.verify.explained import in_quarantine, pending_on_local, unsent_on_remote
from synchro.verify.extra import extra_rows
from synchro.verify.results import EXTRA, Difference

#: How many rows are deleted by one transaction.
PART = 1_000


class Collected:
    """REMOTE's keys of rows that it alone has, in temporary files, so that memory does not grow with their number."""

    def __init__(self) -> None:
        self._files: dict[type[Model], IO[str]] = {}

    def __call__(self, model: type[Model], differences: Sequence[Difference]) -> None:
        """Take the rows that REMOTE alone has out of those that differ."""
        for difference in differences:
            if difference.kind == EXTRA and difference.remote_key is not None:
                if model not in self._files:
                    self._files[model] = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115
                self._files[model].write(json.dumps(to_text(model, difference.remote_key)) + "\n")

    def __enter__(self) -> Collected:
        return self

    def __exit__(self, *_error: object) -> None:
        """Remove the files."""
        for file in self._files.values():
            file.close()

    def models(self) -> list[type[Model]]:
        """Return the models of which REMOTE alone has rows."""
        return list(self._files)

    def parts(self, model: type[Model]) -> Iterator[list[Key]]:
        """Yield the keys of a model's rows, some at a time."""
        file = self._files[model]
        file.seek(0)
        while lines := list(islice(file, PART)):
            yield [from_text(model, json.loads(line)) for line in lines]


@dataclass
class Deleted:
    """What became of the rows of a model that REMOTE alone had."""

    model: type[Model]
    deleted: int = 0
    #: How many rows were left: others point at them, or they changed meanwhile.
    left: int = 0
    #: The first of these.
    keys: list[Key] = field(default_factory=list)

    def followed_by(self, other: Deleted) -> Deleted:
        """Return what was done in both goes."""
        return Deleted(self.model, self.deleted + other.deleted, other.left, other.keys)

    def leave(self, keys: Sequence[Key], named: int) -> None:
        """Count rows that were left."""
        self.left += len(keys)
        self.keys += keys[: max(0, named - len(self.keys))]


def delete_extra(alias: str, found: Collected, *, named: int = 10) -> list[Deleted]:
    """
    Delete the rows that the database `alias` alone has; return what was done, and `named` keys that are left.

    Of each row it is asked once more whether LOCAL lacks it, and whether a change that is on its way explains that. A
    row that another row points at is left alone, so that no other row goes with it or loses its value.
    """
    databases, done = Databases(Database(alias)), []
    ContentType.objects.clear_cache()
    with reachable(databases), own_settings(databases):
        for model in reversed(parents_first(found.models())):
            result = Deleted(model)
            while _deleted(databases, model, found, result):
                pass  # what pointed at others of these rows has gone
            for keys in found.parts(model):
                result.leave(sorted(existing_keys(databases.remote, model, keys), key=str), named)
            done.append(result)
    return done


def _deleted(databases: Databases, model: type[Model], found: Collected, result: Deleted) -> bool:
    """Delete the rows that nothing points at, and return whether there were any."""
    before = result.deleted
    for keys in found.parts(model):
        if stopping.is_asked():
            return False
        result.deleted += _delete(databases, model, keys)
    return result.deleted > before


def _delete(databases: Databases, model: type[Model], keys: Collection[Key]) -> int:
    session, remote = look_at(databases), databases.remote
    try:
        with remote.backend.atomic_write():
            # Locked, they get no row that points at them.
            there = existing_keys(remote, model, keys, lock=True)
            extra = _still_extra(session, model, there)
            free = [key for key in extra if key not in _pointed_at(remote, model, extra)]
            return remote.backend.delete(
                model._meta.db_table, key_columns(model), encode_keys(model, free, remote)
            )
    except IntegrityError:
        if len(keys) == 1:
            return 0  # a foreign key that Django does not know
        return sum(_delete(databases, model, [key]) for key in keys)


def _still_extra(session: Session, model: type[Model], keys: Collection[Key]) -> list[Key]:
    """Return REMOTE's keys of the rows that it alone has, and that no change explains."""
    found = extra_rows(session, model, keys)
    local_keys = [d.key for d in found if d.key is not None]
    explained = pending_on_local(session, model, local_keys) | in_quarantine(session, model, local_keys)
    unsent = unsent_on_remote(session, model, keys)
    return [
        d.remote_key
        for d in found
        if d.remote_key is not None and d.remote_key not in unsent and d.key not in explained
    ]


def _pointed_at(remote: Database, model: type[Model], keys: Collection[Key]) -> set[Key]:
    """Return those of these rows of REMOTE that other rows point at, by foreign keys of Django or of the server."""
    own = key_fields(model)
    found: set[Key] = set()
    for relation in model._meta.get_fields(include_hidden=True):
        source: AnyField = getattr(relation, "field", None)
        if not relation.auto_created or relation.concrete or not getattr(source, "column", None):
            continue
        if source.model._meta.proxy or not source.model._meta.managed:
            continue
        target = source.target_field
        rows = select(remote, model, [*own, target], own, [as_values(key) for key in keys])
        by_value = {row[-1]: as_key(row[:-1]) for row in rows}
        pointing = select(remote, source.model, [source], [source], [(value,) for value in by_value])
        found |= {by_value[value] for (value,) in pointing if value in by_value}
    return found | set(_by_the_server(remote, model, keys))


def _by_the_server(remote: Database, model: type[Model], keys: Collection[Key]) -> Iterator[Key]:
    """Yield the keys of rows with which the server itself would delete, or change, others."""
    connection, own = remote.connection, key_fields(model)
    table, names = model._meta.db_table, key_columns(model)
    for cascade in remote.backend.server_cascades():
        if cascade.parent.lower() != table.lower() or not cascade.acts_on_deletion:
            continue
        targets = cascade.targets or tuple(names)
        same = " AND ".join(
            f"child.{quoted(connection, column)} = parent.{quoted(connection, target)}"
            for column, target in zip(cascade.columns, targets, strict=True)
        )
        for key in keys:
            where = " AND ".join(f"parent.{quoted(connection, name)} = %s" for name in names)
            with connection.cursor() as cursor:
                cursor.execute(
                    f"SELECT 1 FROM {quoted(connection, table)} AS parent "
                    f"JOIN {quoted(connection, cascade.child)} AS child ON {same} WHERE {where} LIMIT 1",
                    list(encode_keys(model, [key], remote)[0]),
                )
                if cursor.fetchone() is not None:
                    yield key if len(own) > 1 else as_values(key)[0]


__all__ = ["Collected", "Deleted", "delete_extra"]
