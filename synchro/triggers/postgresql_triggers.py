"""PostgreSQL: looking at capture triggers, making and removing them. They are declared in `triggers.postgresql`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from django.db import DatabaseError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from synchro.exceptions import NotReady
from synchro.triggers import postgresql_catalog as catalog
from synchro.triggers.base import LOG, Detail, Installed, Shape, Target, Trigger, Triggers
from synchro.triggers.pgtrigger_package import lacking

#: Any number that others are unlikely to use for an advisory lock.
LOCK = 0x73796E6368726F


class PostgreSQL(Triggers):
    replaces = True
    blind_spot = (
        "PostgreSQL fires no triggers where one partition alone is truncated, attached, detached or dropped: that is "
        "not captured."
    )

    # -- looking ---------------------------------------------------------------------------------------------

    def shapes(self, tables: Iterable[str]) -> dict[str, Shape]:
        return catalog.shapes(self.connection, tables)

    def installed(self) -> list[Installed]:
        return catalog.installed(self.connection)

    def stems(self) -> set[str]:
        return catalog.stems(self.connection)

    def unseen(self, tables: Iterable[str]) -> Iterable[str]:
        return catalog.unseen(self.connection, tables)

    def blind_spots(self) -> Iterator[str]:
        yield from super().blind_spots()
        found = catalog.not_always(self.connection)
        if found:
            yield (
                f"Triggers of {', '.join(table for table, _ in found)} do not fire in sessions with "
                "session_replication_role = replica: what these write there is not captured. Let the owner of the "
                f"tables run: {'; '.join(sql for _, sql in found)}"
            )

    def shown(self, table: str) -> str:
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT COALESCE(to_regclass(%s)::text, '')", [self.connection.ops.quote_name(table)]
            )
            return str(cursor.fetchone()[0])

    # -- saying ----------------------------------------------------------------------------------------------

    def write(self, target: Target) -> Iterator[Trigger]:
        if reason := lacking():
            raise NotReady(reason)
        from synchro.triggers.postgresql import capture_triggers

        if target.shape.is_partitioned and target.shape.is_part:
            # Which of the tables above a partition it is, and so which columns are new, its function cannot tell.
            target = replace(target, detail=Detail.KEY)
        model = target.key[0].model
        triggers = capture_triggers(self.connection, target)
        function = triggers[0].statements(model)
        yield Trigger(target.stem, target.stem, triggers[0].function.version, function.function)
        for trigger in triggers:
            name = trigger.get_pgid(model)
            sql = trigger.statements(model).declaration
            yield Trigger(f"{target.stem}:{name}", name, trigger.declared, sql)

    def drop_sql(self, found: Installed) -> str:
        if found.table:
            return f'DROP TRIGGER IF EXISTS "{found.name}" ON {found.table}'
        return f"DROP FUNCTION IF EXISTS {found.name}() CASCADE"

    # -- doing -----------------------------------------------------------------------------------------------

    def exchange(
        self,
        create: Sequence[Trigger],
        drop: Sequence[Installed],
        seconds: int,
    ) -> None:
        with self.alone(seconds), self.connection.cursor() as cursor:
            self._refuse_strangers(create)
            for trigger in create:
                cursor.execute(trigger.sql, None)
            for found in sorted(drop, key=lambda one: not one.table):
                cursor.execute(self.drop_sql(found), None)
            self._refuse_powerless(create)

    def _refuse_strangers(self, create: Sequence[Trigger]) -> None:
        """Functions and triggers of the project's own that have the names of ours are not to be replaced."""
        functions = _functions(create)
        triggers = [trigger.name for trigger in create if trigger.name not in functions]
        for name in catalog.strangers(self.connection, functions, triggers):
            raise NotReady(
                f"The {name} has the name that one of synchro's needs, and is not synchro's. Nothing was changed. "
                "Rename it (ALTER FUNCTION, or ALTER TRIGGER, ... RENAME TO), and install the triggers again."
            )

    def _refuse_powerless(self, create: Sequence[Trigger]) -> None:
        """See to it that the functions just made can do what they do, with the rights of those who own them."""
        names = _functions(create)
        for function, is_own in catalog.powerless(self.connection, names):
            if not is_own:
                with self.connection.cursor() as cursor:
                    cursor.execute(f"ALTER FUNCTION {function}() OWNER TO CURRENT_USER", None)
        for _ in catalog.powerless(self.connection, names):
            raise NotReady(_rights(self.connection))

    def hold(self) -> None:
        if self.connection.in_atomic_block:
            with self.connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])

    @contextmanager
    def alone(self, seconds: int) -> Iterator[None]:
        with transaction.atomic(using=self.connection.alias), self.connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('lock_timeout')")
            before = cursor.fetchone()[0]
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{seconds}s"])
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
            yield
            # Where this is part of a longer transaction, what comes after waits as it did before.
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [before])

    def explained(self, error: DatabaseError) -> Exception:
        state = getattr(error.__cause__, "sqlstate", None)
        user = self.connection.settings_dict["USER"]
        if state == "55P03":
            return NotReady(
                "Another transaction holds a lock on the table, or makes triggers itself as 'migrate' does, and did "
                "not end in time; nothing was changed. pg_stat_activity and pg_locks tell whose it is. Then try "
                "again; 'manage.py synchro_install_triggers --lock-timeout 60' waits longer."
            )
        if state == "42501":
            return NotReady(
                f"The role {user!r} may not do this: {str(error).strip()}. Triggers are made by the owner of "
                "the table, "
                f'or by a role that has these rights: GRANT USAGE, CREATE ON SCHEMA ... TO "{user}" (the schema of '
                f'the log); GRANT INSERT ON {LOG} TO "{user}"; '
                f'GRANT TRIGGER, SELECT ON ... TO "{user}" (each watched table). Or let an administrator run what '
                "'manage.py synchro_install_triggers --sql' prints."
            )
        return error


def _functions(create: Sequence[Trigger]) -> list[str]:
    """The names of the functions among what is made."""
    return [trigger.name for trigger in create if trigger.name == trigger.stem]


def _rights(connection: BaseDatabaseWrapper) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT quote_ident(current_user)")
        role = cursor.fetchone()[0]
    return (
        f"Triggers run with the rights of the role that makes them, and {role} may not write to the log: every "
        "write to the table would fail. Nothing was changed. Let the owner of the log run: GRANT USAGE ON SCHEMA ... "
        f"TO {role} (the schema of the log); GRANT INSERT ON {LOG} TO {role}; and where its id is a serial, GRANT "
        f"USAGE ON SEQUENCE {LOG}_id_seq TO {role}. Or install with a role that has these rights."
    )
