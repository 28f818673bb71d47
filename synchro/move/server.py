"""What a preflight asks of the two servers: rights, triggers, room, and how changes are captured."""

from __future__ import annotations

from collections.abc import Iterator

from synchro.backends.inspection import Inspection
from synchro.conf import conf
from synchro.move.findings import Finding
from synchro.registry import watched_tables
from synchro.replay.session import Databases
from synchro.triggers.install import survey
from synchro.triggers.remote import foreign_triggers

#: How much more room a load takes than the rows themselves: logs of the server, and indexes that are half full.
ROOM = 2


def server_findings(databases: Databases, local: Inspection, remote: Inspection) -> Iterator[Finding]:
    yield from _capture(databases)
    yield from _rights(databases)
    for trigger in foreign_triggers(databases.remote.connection):
        yield Finding(
            f"REMOTE has a trigger of its own, {trigger}, which would do once more what it did on LOCAL: let it ask "
            "whether a run writes (docs/triggers.md), or name it in SYNCHRO_REMOTE_TRIGGERS"
        )
    yield from _room(local, remote)


def _capture(databases: Databases) -> Iterator[Finding]:
    if conf.capture != "triggers":
        yield Finding(
            "changes are captured by signals: what QuerySet.update, bulk_create, raw SQL and other programs write "
            "during the move is not seen. Set SYNCHRO_CAPTURE = 'triggers', or let nothing of that kind write",
            is_serious=False,
        )
        return
    for label, why in survey(databases.local.connection).impossible.items():
        yield Finding(f"it cannot have triggers: {why}", label)


def _rights(databases: Databases) -> Iterator[Finding]:
    tables = {table.name: [field.column for field in table.fields] for table in watched_tables()}
    for database in databases.both():
        for name in database.backend.filtered([*tables]):
            yield Finding(
                f"the database “{database.alias}” hides rows of {name} from this account, by row-level security"
            )
    backend = databases.remote.backend
    present = set(databases.remote.connection.introspection.table_names())
    lacking: dict[str, list[str]] = {}
    for name, act in backend.lacking_rights({name: tables[name] for name in tables if name in present}):
        lacking.setdefault(act, []).append(name)
    for act, names in lacking.items():
        yield Finding(f"REMOTE's account lacks a right: grant {act} ON {', '.join(names)}")


def _room(local: Inspection, remote: Inspection) -> Iterator[Finding]:
    size = local.size([table.name for table in watched_tables()])
    if size is None:
        return
    free, needed = remote.free(), size * ROOM
    if free is None:
        yield Finding(
            f"how much room REMOTE's disk has cannot be asked from here: about {_in_words(needed)} are needed",
            is_serious=False,
        )
    elif free < needed:
        yield Finding(
            f"REMOTE's disk has {_in_words(free)} of room, and about {_in_words(needed)} are needed"
        )


def _in_words(octets: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if octets < 1024 or unit == "GiB":
            return f"{octets:.0f} {unit}"
        octets /= 1024
    raise AssertionError
