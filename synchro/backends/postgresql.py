"""PostgreSQL."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from hashlib import blake2b

from django.db import Error, OperationalError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from synchro.backends.base import PREPARED, Backend
from synchro.backends.capture import TransactionSwitch
from synchro.backends.foreign import ForeignTrigger
from synchro.backends.named import by_place
from synchro.backends.postgresql_raw import PostgreSQLRawRows
from synchro.backends.postgresql_rows import OWN_SETTINGS, SEQUENCE
from synchro.backends.rows import quoted

#: Serialization failure, deadlock, a lock that was not granted, too many connections, and a server that is shut down,
#: has crashed, or is starting. (All of class 08 are lost connections.)
PASSING = {"40001", "40P01", "55P03", "53300", "57P01", "57P02", "57P03"}

#: No room on the disk.
DISK_FULL = "53100"

#: What no row is the reason of, by class: a connection, a transaction that is in no state for it or was rolled back, an
#: account, a database, a server without room or memory, that was interrupted or has failed.
OF_THE_SERVER = {"08", "25", "26", "28", "34", "3B", "3D", "40", "53", "55", "57", "58", "72", "F0"}

#: The same, by number: a right that is lacking, data and indexes that are damaged.
NOT_OF_A_ROW = {"42501", "XX001", "XX002"}

#: Of tables, and of the sequences that hand out their keys.
RIGHTS_LACKING = """
    SELECT name, act FROM unnest(%s::text[]) AS name, unnest(ARRAY['INSERT', 'UPDATE', 'DELETE']) AS act
    WHERE NOT CASE act WHEN 'DELETE' THEN has_table_privilege(to_regclass(name), act)
        ELSE has_any_column_privilege(to_regclass(name), act) END
    UNION ALL
    SELECT sequence.oid::regclass::text, act FROM unnest(%s::text[]) AS name
    JOIN pg_depend ON refobjid = to_regclass(name) AND classid = 'pg_class'::regclass AND deptype IN ('a', 'i')
    JOIN pg_class AS sequence ON sequence.oid = objid AND relkind = 'S'
    CROSS JOIN unnest(ARRAY['USAGE', 'SELECT', 'UPDATE']) AS act
    WHERE NOT has_sequence_privilege(sequence.oid, act)
"""

#: On these tables and on their partitions, where they fire in this session; what a function does, only where the
#: trigger itself does not ask our switch, as each of ours does. (A foreign key's own triggers are internal;
#: 28 is the sum of the bits for INSERT, DELETE and UPDATE.)
TRIGGERS_ON = r"""
    WITH asked AS (SELECT to_regclass(name)::oid AS root FROM unnest(%(tables)s::text[]) AS name),
    part AS (
        SELECT root, root AS id FROM asked
        UNION SELECT root, relid::oid FROM asked, pg_partition_tree(root::regclass)
    ),
    firing AS (
        SELECT CASE current_setting('session_replication_role') WHEN 'replica' THEN 'RA' ELSE 'OA' END AS modes
    )
    SELECT DISTINCT relname::text, tgname::text, declared || ' ' || body, body,
        (tgtype & 66) <> 0, (tgtype & 28) = 8
    FROM part JOIN pg_trigger ON tgrelid = id JOIN pg_proc ON pg_proc.oid = tgfoid
    JOIN pg_class ON pg_class.oid = root CROSS JOIN firing
    CROSS JOIN LATERAL (SELECT pg_get_triggerdef(pg_trigger.oid) AS declared) AS said
    CROSS JOIN LATERAL (
        SELECT CASE WHEN declared ~ 'synchro\.capture\M' AND declared !~ '--|/\*' THEN '' ELSE coalesce(prosrc, '') END
        AS body
    ) AS does
    WHERE NOT tgisinternal AND (tgtype & 28) <> 0 AND strpos(modes, tgenabled::text) > 0
    UNION SELECT relname::text, rulename::text, pg_get_ruledef(pg_rewrite.oid), '', true, false
    FROM part JOIN pg_rewrite ON ev_class = id JOIN pg_class ON pg_class.oid = root CROSS JOIN firing
    WHERE ev_type <> '1' AND strpos(modes, ev_enabled::text) > 0
    ORDER BY 1, 2
"""

#: Some servers end transactions that wait for long.
NEVER_TIMED_OUT = """
    SELECT set_config(name, '0', true) FROM pg_settings
    WHERE name IN ('idle_in_transaction_session_timeout', 'transaction_timeout')
"""


class PostgreSQL(PostgreSQLRawRows, Backend):
    @contextmanager
    def capture_off(self) -> Iterator[None]:
        with TransactionSwitch.off(self.connection):
            yield

    def begin_writing(self) -> None:
        if self.connection.savepoint_ids:
            return  # not the outermost block
        driver = self.connection.connection
        is_new = (
            driver.info.transaction_status == TransactionSwitch.IDLE
        )  # it begins with the first statement
        with self.connection.cursor() as cursor:
            cursor.execute(f"{OWN_SETTINGS}, current_setting('transaction_isolation')")
            if cursor.fetchone()[-1] == "read committed":
                return
            # The level can be set before the first question only.
            if is_new:
                driver.rollback()
            cursor.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
            cursor.execute(OWN_SETTINGS)

    def begin_snapshot(self) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            cursor.execute(OWN_SETTINGS)  # the moment is that of the first question

    def sees_commits(self) -> bool:
        with self.connection.cursor() as cursor:
            cursor.execute("SHOW transaction_isolation")
            return bool(cursor.fetchone()[0] == "read committed")

    def is_transient(self, error: BaseException) -> bool:
        import psycopg  # here, since who has no PostgreSQL need not have it

        cause = error.__cause__ if isinstance(error, Error) else error
        if not isinstance(cause, psycopg.Error):
            return False
        if cause.sqlstate is None:  # not said by the server: the connection is gone
            return isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError)
        return cause.sqlstate[:2] == "08" or cause.sqlstate in PASSING

    def is_about_the_server(self, error: BaseException) -> bool:
        state = getattr(error.__cause__, "sqlstate", None)
        if state is None:  # not said by the server
            return isinstance(error, OperationalError)
        return state[:2] in OF_THE_SERVER or state in NOT_OF_A_ROW

    def is_full(self, error: BaseException) -> bool:
        return getattr(error.__cause__, "sqlstate", None) == DISK_FULL

    def lacking_rights(self, tables: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
        names = {quoted(self.connection, table): table for table in tables}
        with self.connection.cursor() as cursor:
            cursor.execute(RIGHTS_LACKING, [list(names), list(names)])
            return [(names.get(name, name), act) for name, act in cursor.fetchall()]

    def filtered(self, tables: Sequence[str]) -> list[str]:
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT relname FROM pg_class WHERE relrowsecurity AND row_security_active(oid) "
                "AND oid IN (SELECT to_regclass(name) FROM unnest(%s::text[]) AS name) ORDER BY relname",
                [[self.connection.ops.quote_name(table) for table in tables]],
            )
            return [name for (name,) in cursor.fetchall()]

    switch = re.compile(r"synchro\.capture\b")

    def triggers_on(self, tables: Sequence[str]) -> list[ForeignTrigger]:
        with self.connection.cursor() as cursor:
            names = [self.connection.ops.quote_name(table) for table in tables]
            cursor.execute(*by_place(TRIGGERS_ON, tables=names))
            return [ForeignTrigger(*row) for row in cursor.fetchall()]

    def place(self) -> str:
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT 'postgresql ' || system_identifier || '/' || "
                "(SELECT oid FROM pg_database WHERE datname = current_database()) || '/' || current_schema() "
                "FROM pg_control_system()"
            )
            return str(cursor.fetchone()[0])[:255]

    def is_same(self, other: BaseDatabaseWrapper, table: str) -> bool:
        # A server that was copied says the same of itself; but it does not see the other's locks.
        number = secrets.randbits(62)
        with transaction.atomic(using=self.connection.alias), self.connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s), %s::regclass::oid::bigint", [number, table])
            _, here = cursor.fetchone()
            with transaction.atomic(using=other.alias), other.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_try_advisory_xact_lock(%s), %s::regclass::oid::bigint", [number, table]
                )
                is_free, there = cursor.fetchone()
        return not is_free and here == there

    def now(self) -> datetime:
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT extract(epoch FROM clock_timestamp())")
            return datetime.fromtimestamp(float(cursor.fetchone()[0]), UTC)

    @contextmanager
    def lock(self, name: str) -> Iterator[bool]:
        # Held by a transaction that stays open, on a connection of its own. A lock of a session would stay behind in a
        # pooler, which gives each transaction to whichever session is free.
        number = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), signed=True)
        own = self.connection.copy()
        own.settings_dict["OPTIONS"].pop("pool", None)  # that may be empty
        try:
            with own.cursor() as cursor:
                cursor.execute("BEGIN")
                cursor.execute(NEVER_TIMED_OUT)
                cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [number])
                taken: bool = cursor.fetchone()[0]
            yield taken
        finally:
            with suppress(Error), own.wrap_database_errors:  # a connection that is lost has lost its lock too
                if own.connection is not None:
                    own.connection.execute("ROLLBACK")
            own.close()

    def reserves_ids(self, table: str, column: str) -> bool:
        with self.connection.cursor() as cursor:
            sql = (
                f"SELECT 1 FROM pg_sequence WHERE seqrelid = ({SEQUENCE})::regclass "
                "AND (seqcache > 1 OR seqincrement < 0)"
            )
            cursor.execute(*by_place(sql, table=self.connection.ops.quote_name(table), column=column))
            return cursor.fetchone() is not None

    def gives_ids_again(self, table: str, column: str, highest: int) -> bool:
        with self.connection.cursor() as cursor:
            # Of a sequence that was never asked the last value is NULL; where there is none, there is no row.
            sql = (
                f"SELECT coalesce(pg_sequence_last_value(sequence) < %(highest)s, true) "
                f"FROM (SELECT ({SEQUENCE})::regclass AS sequence) AS one WHERE sequence IS NOT NULL"
            )
            name = self.connection.ops.quote_name(table)
            cursor.execute(*by_place(sql, table=name, column=column, highest=highest))
            found = cursor.fetchone()
            return found is not None and bool(found[0])

    def writers(self, table: str) -> frozenset[str] | None:
        # Whoever inserts locks the table before it takes an id, and until it ends; every role may look.
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT CASE WHEN pid IS NULL THEN %s ELSE '' END || virtualtransaction FROM pg_locks "
                "WHERE locktype = 'relation' AND relation = %s::regclass AND mode = 'RowExclusiveLock' "
                "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
                "AND pid IS DISTINCT FROM pg_backend_pid()",
                [PREPARED, self.connection.ops.quote_name(table)],
            )
            return frozenset(name for (name,) in cursor.fetchall())
