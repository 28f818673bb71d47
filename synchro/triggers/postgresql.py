"""
PostgreSQL: statement-level triggers that read transition tables, and one function for each table.

A partitioned table has row-level triggers instead: PostgreSQL gives those to every partition, present and
future, so that writes made directly to a partition are seen too.

Names of triggers and functions stay the same from version to version, because replacing the body of a
function takes no lock on the table at all. The version stands in the function's body.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from django.db import DatabaseError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field

from synchro.exceptions import NotReady
from synchro.triggers import writer as values
from synchro.triggers.base import (
    LOG,
    PREFIX,
    Backend,
    Detail,
    Installed,
    Shape,
    Target,
    Trigger,
    header,
    quoted,
    read_header,
    stem_of,
    version_of,
)
from synchro.triggers.kinds import Kind, kind_of, scale, session_zone

#: What `synchro.backends.postgresql` sets to 'off' for a transaction.
SETTING = "synchro.capture"
ENABLED = f"pg_catalog.current_setting('{SETTING}', true) IS DISTINCT FROM 'off'"
#: Any number that others are unlikely to use for an advisory lock.
LOCK = 0x73796E6368726F

#: Types of which two values that are equal are the same.
PLAIN = ("smallint", "integer", "bigint", "boolean", "uuid", "date", "time", "timestamp", "bytea", "numeric(")
TEXTUAL = ("varchar", "char", "text", "citext")

#: What an UPDATE changed, in the function. Whoever has a column of such a name finds it by its table all the same.
OLD_ROW, NEW_ROW = "synchro_old_row", "synchro_new_row"
#: In place of the names of fields: a column has changed that came to be after the function.
UNKNOWN = "*"

_COLUMN = re.compile(rf'\b(?:OLD|NEW|{OLD_ROW}|{NEW_ROW}|[on])\."([^"]*)"')
_SEES_ABOVE = re.compile(r"attnum > ([0-9]+)")
#: How the entry of a change begins, or ends, where its fields are not known.
_KEY_ONLY = ("NULL::text AS synchro_fields", "clock_timestamp(), 2, NULL;")

#: Those of ours, given the name of the log and what theirs begin with.
FUNCTIONS = (
    "FROM pg_proc p JOIN pg_class l ON l.oid = to_regclass(%s) AND l.relnamespace = p.pronamespace "
    "WHERE starts_with(p.proname, %s) AND p.prorettype = 'trigger'::regtype"
)

STATEMENT = {
    "insert": "AFTER INSERT ON {table} REFERENCING NEW TABLE AS synchro_new FOR EACH STATEMENT",
    "update": "AFTER UPDATE ON {table} REFERENCING OLD TABLE AS synchro_old NEW TABLE AS synchro_new "
    "FOR EACH STATEMENT",
    "delete": "AFTER DELETE ON {table} REFERENCING OLD TABLE AS synchro_old FOR EACH STATEMENT",
}
ROW = {
    "insert": "AFTER INSERT ON {table} FOR EACH ROW",
    "update": "AFTER UPDATE ON {table} FOR EACH ROW",
    "delete": "AFTER DELETE ON {table} FOR EACH ROW",
}
TRUNCATE = {"truncate": "BEFORE TRUNCATE ON {table} FOR EACH STATEMENT"}


class PostgreSQL(Backend):
    replaces = True
    blind_spot = (
        "PostgreSQL fires no triggers in sessions with session_replication_role = replica: "
        "what they write is not captured."
    )

    def shapes(self, connection: BaseDatabaseWrapper, tables: Iterable[str]) -> dict[str, Shape]:
        names, quote = list(tables), connection.ops.quote_name
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT t.name, array_agg(lower(a.attname)), array_agg(a.attnum), c.oid::regclass::text, c.relkind, "
                "COALESCE((SELECT relnamespace::regnamespace::name FROM pg_class WHERE oid = to_regclass(%s)), '') "
                "FROM unnest(%s::text[], %s::text[]) AS t (name, quoted) "
                "JOIN pg_class c ON c.oid = to_regclass(t.quoted) "
                "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
                "GROUP BY t.name, c.oid, c.relkind",
                [quote(LOG), names, [quote(name) for name in names]],
            )
            return {
                name: Shape(
                    columns=frozenset(columns),
                    shown=shown,
                    is_table=kind in ("r", "p"),
                    is_partitioned=kind == "p",
                    schema=schema,
                    numbers=frozenset(zip(columns, numbers, strict=True)),
                )
                for name, columns, numbers, shown, kind, schema in cursor.fetchall()
            }

    def installed(self, connection: BaseDatabaseWrapper) -> list[Installed]:
        # Ours are those that call a function of ours that stands beside the log. Clones on partitions are not
        # listed.
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT p.proname, format('%%I.%%I', l.relnamespace::regnamespace::name, p.proname), p.prosrc, "
                "ARRAY(SELECT ARRAY[t.tgname, t.tgrelid::regclass::text, t.tgenabled::text] FROM pg_trigger t "
                f"WHERE t.tgfoid = p.oid AND t.tgparentid = 0) {FUNCTIONS}",
                [connection.ops.quote_name(LOG), PREFIX],
            )
            rows = cursor.fetchall()
        found = []
        for name, function, source, triggers in rows:
            stem = stem_of(name)
            if stem is None:
                continue
            version, content_type = read_header(source)
            known, above = _columns_known(source)
            found.append(Installed(stem, function, version, content_type, "", knows=known, sees_above=above))
            found += [
                Installed(f"{stem}:{trigger}", trigger, "", content_type, table, enabled in ("O", "A"))
                for trigger, table, enabled in triggers
            ]
        return found

    def stems(self, connection: BaseDatabaseWrapper) -> set[str]:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT p.proname {FUNCTIONS}", [connection.ops.quote_name(LOG), PREFIX])
            return {stem for (name,) in cursor.fetchall() if (stem := stem_of(name))}

    def shown(self, connection: BaseDatabaseWrapper, table: str) -> str:
        with connection.cursor() as cursor:
            cursor.execute("SELECT COALESCE(to_regclass(%s)::text, '')", [connection.ops.quote_name(table)])
            return str(cursor.fetchone()[0])

    def write(self, connection: BaseDatabaseWrapper, target: Target) -> Iterator[Trigger]:
        schema, partitioned = target.shape.schema, target.shape.is_partitioned
        log = f"{connection.ops.quote_name(schema)}.{connection.ops.quote_name(LOG)}"
        writer = Writer(connection, target, log)
        body = writer.rows() if partitioned else writer.statements()
        version = version_of([body, schema])
        function = f"{connection.ops.quote_name(schema)}.{connection.ops.quote_name(target.stem)}"
        table = connection.ops.quote_name(target.table)
        yield Trigger(target.stem, target.stem, version, _function(function, body, target, version))
        kinds = ROW if partitioned else STATEMENT
        for event, declaration in {**kinds, **TRUNCATE}.items():
            name = f"{PREFIX}capture_{'row_' if partitioned and event in ROW else ''}{event}"
            yield Trigger(
                stem=f"{target.stem}:{name}",
                name=name,
                version="",
                sql=f"CREATE OR REPLACE TRIGGER {connection.ops.quote_name(name)}\n"
                f"    {declaration.replace('{table}', table)}\n"
                f"    WHEN ({ENABLED})\n"
                f"    EXECUTE FUNCTION {function}()",
            )

    def drop_sql(self, found: Installed) -> str:
        if found.table:
            return f'DROP TRIGGER IF EXISTS "{found.name}" ON {found.table}'
        return f"DROP FUNCTION IF EXISTS {found.name}() CASCADE"

    def exchange(
        self,
        connection: BaseDatabaseWrapper,
        create: Sequence[Trigger],
        drop: Sequence[Installed],
        seconds: int,
    ) -> None:
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{seconds}s"])
            for trigger in create:
                cursor.execute(trigger.sql, None)
            for found in sorted(drop, key=lambda one: not one.table):
                cursor.execute(self.drop_sql(found), None)

    def explained(self, error: DatabaseError, connection: BaseDatabaseWrapper) -> Exception:
        state = getattr(error.__cause__, "sqlstate", None)
        user = connection.settings_dict["USER"]
        if state == "55P03":
            return NotReady(
                "Another transaction holds a lock on the table and did not end in time; nothing was changed. "
                "Try again, or allow more time with --lock-timeout. pg_stat_activity and pg_locks tell whose "
                "it is."
            )
        if state == "42501":
            return NotReady(
                f"The role {user!r} may not do this: {str(error).strip()}. Triggers are made by the owner of "
                "the table, "
                f'or by a role that has these rights: GRANT CREATE ON SCHEMA ... TO "{user}" (the schema of '
                "the log); "
                f'GRANT TRIGGER ON ... TO "{user}" (each watched table). Or let an administrator run what '
                "'manage.py synchro_install_triggers --sql' prints."
            )
        return error

    @contextmanager
    def alone(self, connection: BaseDatabaseWrapper, seconds: int) -> Iterator[None]:
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{seconds}s"])
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
            yield


@lru_cache(maxsize=5_000)
def _columns_known(source: str) -> tuple[frozenset[str] | None, int | None]:
    """
    Return the columns whose changes a function sees (None: of all), and the number above which it sees any other.
    """
    if any(form in source for form in _KEY_ONLY):
        return None, None
    above = _SEES_ABOVE.search(source)
    known = frozenset(name.lower() for name in _COLUMN.findall(source))
    return known, int(above[1]) if above is not None else None


def _function(name: str, body: str, target: Target, version: str) -> str:
    delimiter = "$synchro$"
    while delimiter in body:
        delimiter = delimiter.replace("synchro", "synchro_")
    first, second = header(target, version)
    return (
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger\n"
        "    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp\n"
        f"AS {delimiter}\n-- {first}\n-- {second}\n{body}{delimiter};\n"
        # Else anybody could make a trigger of their own with it, and so write to the log.
        f"REVOKE ALL ON FUNCTION {name}() FROM PUBLIC"
    )


class Writer(values.Writer):
    """Writes the body of a table's function."""

    def __init__(self, connection: BaseDatabaseWrapper, target: Target, log: str) -> None:
        super().__init__(connection, target)
        self.log = log

    # -- values ----------------------------------------------------------------------------------------------

    def text(self, row: str, field: Field[Any, Any]) -> str:
        """The one spelling of a value, as `synchro.keys.value_to_text` has it."""
        value = self.name(row, field)
        match kind_of(field, self.connection):
            case Kind.BOOLEAN:
                return f"CASE WHEN {value} THEN '1' ELSE '0' END"
            case Kind.DECIMAL:
                return f"round({value}, {scale(field)})::text"
            case Kind.DATE:
                return f"to_char({value}, 'YYYY-MM-DD')"
            case Kind.TIME:
                return f"to_char({value}, 'HH24:MI:SS.US')"
            case Kind.DATETIME:
                zone = session_zone(self.connection).replace("'", "''")
                return f"to_char({value} AT TIME ZONE '{zone}', 'YYYY-MM-DD\"T\"HH24:MI:SS.US')"
            case Kind.DURATION:
                return f"(extract(epoch FROM {value}) * 1000000)::bigint::text"
            case Kind.BINARY:
                return f"encode({value}, 'hex')"
            case Kind.ADDRESS:
                return f"host({value})"
            case Kind.UUID_TEXT:
                return f"{value}::uuid::text"
        return f"{value}::text"

    def json_text(self, text: str) -> str:
        return f"to_json({text})::text"

    def same_key(self, old: str, new: str) -> str:
        """
        A condition that PostgreSQL can hash. Equal texts may differ under a collation, so their bytes count.
        """
        parts = []
        for field in self.target.key:
            one, other = self.name(old, field), self.name(new, field)
            match kind_of(field, self.connection):
                case Kind.TEXT | Kind.UUID_TEXT:
                    one, other = (f'({value}::text COLLATE "C")' for value in (one, other))
                case Kind.DECIMAL | Kind.DURATION | Kind.ADDRESS:
                    one, other = (f"({self.text(row, field)})" for row in (old, new))
            parts.append(f"{one} = {other}")
        return " AND ".join(parts)

    def differs(self, old: str, new: str, field: Field[Any, Any]) -> str:
        one, other = self.name(old, field), self.name(new, field)
        kind = field.db_type(self.connection) or ""
        if kind.startswith(TEXTUAL):
            # Case and accents count, whatever the column's collation; citext compares without them.
            return f'{one}::text COLLATE "C" IS DISTINCT FROM {other}::text COLLATE "C"'
        if kind.startswith(PLAIN) and not kind.endswith("]"):
            return f"{one} IS DISTINCT FROM {other}"
        # The image of a record sees every difference, and there is one for types without equality, as json.
        return f"ROW({one})::record *<> ROW({other})::record"

    def fields(self, old: str, new: str) -> str:
        """Names of the changed fields, each after a comma."""
        parts = [
            f"CASE WHEN {self.differs(old, new, field)} THEN ',{field.name}' ELSE '' END"
            for field in self.target.columns
        ]
        return "\n                    || ".join(parts)

    # -- entries ---------------------------------------------------------------------------------------------

    def insert(self, with_natural: bool = False, with_fields: bool = False) -> str:
        more = (', "fields"' if with_fields else "") + (', "natural_key"' if with_natural else "")
        return f'INSERT INTO {self.log} ("content_type_id", "object_id", "date", "action"{more})'

    def added(self, source: str, row: str) -> str:
        values = f"{self.target.content_type}, {self.key(row)}, clock_timestamp(), 1"
        return f"{self.insert()}\n        SELECT {values} {source}"

    def deleted(self, source: str, row: str) -> str:
        natural = bool(self.target.natural)
        more = f", {self.natural(row)}" if natural else ""
        return (
            f"{self.insert(natural)}\n        "
            f"SELECT {self.target.content_type}, {self.key(row)}, clock_timestamp(), 3{more} {source}"
        )

    def truncated(self) -> str:
        # The trigger itself names the table, since that may be renamed.
        # Rows of tables that inherit from it go too. E'' means the same in every session, whatever is in names.
        command = self.deleted("FROM \0", OLD_ROW).replace("\\", "\\\\").replace("'", "''").replace("%", "%%")
        command = command.replace("\0", f"%s AS {OLD_ROW}")
        return f"""IF pg_catalog.current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
            -- Rows that others have committed since would go too, and this transaction cannot see them.
            RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
                MESSAGE = pg_catalog.concat('TRUNCATE of ', TG_RELID::regclass,
                    ' cannot be captured in a transaction of the isolation level ',
                    pg_catalog.current_setting('transaction_isolation')),
                HINT = 'Use DELETE, or TRUNCATE in a READ COMMITTED transaction. (django-synchro)';
        END IF;
        EXECUTE format(E'{command}', TG_RELID::regclass);"""

    def body(self, insert: str, update: str, delete: str) -> str:
        return f"""BEGIN
    IF TG_OP = 'INSERT' THEN
        {insert};
    ELSIF TG_OP = 'UPDATE' THEN
        {update}
    ELSIF TG_OP = 'DELETE' THEN
        {delete};
    ELSE
        {self.truncated()}
    END IF;
    RETURN NULL;
END
"""

    def statements(self) -> str:
        return self.body(
            self.added(f"FROM synchro_new AS {NEW_ROW}", NEW_ROW),
            self.statement_update(),
            self.deleted(f"FROM synchro_old AS {OLD_ROW}", OLD_ROW),
        )

    def unknown(self) -> str:
        """
        A condition: the table has columns that it did not have when the function was made.

        Numbers of columns only grow. Of a statement it is computed once, and not for each row.
        """
        highest = max((number for _, number in self.target.shape.numbers), default=0)
        table = "pg_partition_root(TG_RELID)" if self.target.shape.is_partitioned else "TG_RELID"
        return (
            f"EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = {table} "
            f"AND attnum > {highest} AND NOT attisdropped)"
        )

    def statement_update(self) -> str:
        """
        One pass over old and new rows, matched by key: what has no match was deleted or added.

        A FULL JOIN is never a nested loop, so the plan that a session keeps after a small statement also
        serves a large one. OFFSET 0 makes PostgreSQL compute each row's names once.
        """
        first = quoted(self.connection, self.target.key[0])
        natural = bool(self.target.natural)
        # With the star a row is a row, also where the table has a column of its alias' name.
        same = f"NOT {OLD_ROW}.* *<> {NEW_ROW}.*"
        if self.target.detail is Detail.KEY:
            changed = "NULL::text"
            condition = f"WHERE {NEW_ROW}.{first} IS NULL OR {OLD_ROW}.{first} IS NULL OR NOT ({same})"
            names, outside = "NULL", ""
        else:
            changed = "\n                    || ".join(
                [
                    *([self.fields(OLD_ROW, NEW_ROW)] if self.target.columns else []),
                    f"CASE WHEN {self.unknown()} THEN CASE WHEN {same} THEN '' ELSE ',{UNKNOWN}' END ELSE '' END",
                ]
            )
            condition, outside = "", "\n        WHERE c.synchro_action <> 2 OR c.synchro_fields <> ''"
            names = (
                f"CASE WHEN c.synchro_action = 2 AND right(c.synchro_fields, 1) <> '{UNKNOWN}' "
                "THEN substr(c.synchro_fields, 2) END"
            )
        is_gone, is_new = f"{NEW_ROW}.{first} IS NULL", f"{OLD_ROW}.{first} IS NULL"
        more = (
            f",\n                CASE WHEN {is_gone} THEN {self.natural(OLD_ROW)} END AS synchro_natural"
            if natural
            else ""
        )
        return f"""{self.insert(natural, with_fields=True)}
        SELECT {self.target.content_type}, c.synchro_key, clock_timestamp(), c.synchro_action,
            {names}{", c.synchro_natural" if natural else ""}
        FROM (
            SELECT CASE WHEN {is_gone} THEN 3 WHEN {is_new} THEN 1 ELSE 2 END AS synchro_action,
                CASE WHEN {is_gone} THEN {self.key(OLD_ROW)} ELSE {self.key(NEW_ROW)} END AS synchro_key,
                {changed} AS synchro_fields{more}
            FROM synchro_old AS {OLD_ROW} FULL JOIN synchro_new AS {NEW_ROW}
                ON {self.same_key(OLD_ROW, NEW_ROW)}
            {condition}
            OFFSET 0
        ) AS c{outside};"""

    def rows(self) -> str:
        return self.body(self.added("", "NEW"), self.row_update(), self.deleted("", "OLD"))

    def row_update(self) -> str:
        differs, changed = "OLD *<> NEW", "NULL"
        if self.target.detail is Detail.COLUMNS:
            names = f"substr({self.fields('OLD', 'NEW')}, 2)" if self.target.columns else "''"
            changed = f"CASE WHEN NOT {self.unknown()} THEN {names} END"
            known = "".join(f"{self.differs('OLD', 'NEW', field)} OR " for field in self.target.columns)
            differs = f"{known}(OLD *<> NEW AND {self.unknown()})"
        return f"""IF NOT ({self.same_key("OLD", "NEW")}) THEN
            {self.deleted("", "OLD")};
            {self.added("", "NEW")};
        ELSIF {differs} THEN
            {self.insert(with_fields=True)}
            SELECT {self.target.content_type}, {self.key("NEW")}, clock_timestamp(), 2, {changed};
        END IF;"""
