"""
PostgreSQL: the body of the one function that all capture triggers of a table call.

Statement-level triggers read transition tables, triggers for each row the rows OLD and NEW.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field

from synchro.triggers import writer as values
from synchro.triggers.base import Detail, Target, quoted
from synchro.triggers.kinds import Kind, kind_of, scale, session_zone

#: Types of which two values that are equal are the same.
PLAIN = ("smallint", "integer", "bigint", "boolean", "uuid", "date", "time", "timestamp", "bytea", "numeric(")
TEXTUAL = ("varchar", "char", "text", "citext")

#: What an UPDATE changed, in the function. Whoever has a column of such a name finds it by its table all the same.
OLD_ROW, NEW_ROW = "synchro_old_row", "synchro_new_row"
#: The transition tables.
OLD_TABLE, NEW_TABLE = "synchro_old", "synchro_new"
#: In place of the names of fields: a column has changed that came to be after the function.
UNKNOWN = "*"

_COLUMN = re.compile(rf'\b(?:OLD|NEW|{OLD_ROW}|{NEW_ROW}|[on])\."([^"]*)"')
_SEES_ABOVE = re.compile(r"attnum > ([0-9]+)")
#: How the entry of a change begins, or ends, where its fields are not known.
_KEY_ONLY = ("NULL::text AS synchro_fields", "clock_timestamp(), 2, NULL")


@lru_cache(maxsize=5_000)
def columns_known(source: str) -> tuple[frozenset[str] | None, int | None]:
    """
    Return the columns whose changes a function sees (None: of all), and the number above which it sees any other.
    """
    if any(form in source for form in _KEY_ONLY):
        return None, None
    above = _SEES_ABOVE.search(source)
    known = frozenset(name.lower() for name in _COLUMN.findall(source))
    return known, int(above[1]) if above is not None else None


def literal(text: str) -> str:
    """Return `text` as a string that means the same in every session, whatever is in it."""
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f"E'{escaped}'"


class Writer(values.Writer):
    """Writes the body of a table's function."""

    def __init__(self, connection: BaseDatabaseWrapper, target: Target, log: str) -> None:
        super().__init__(connection, target)
        self.log = log
        self.virtual = dict(target.shape.virtual)

    # -- values ----------------------------------------------------------------------------------------------

    def name(self, row: str, field: Field[Any, Any]) -> str:
        expression = self.virtual.get(str(field.column))
        if expression is None:
            return super().name(row, field)
        # The row that a trigger is given has no value there.
        return f"(SELECT {expression} FROM (SELECT {row}.*) AS synchro_stored)"

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
        # Rows of tables that inherit from it go too.
        command, _table, alias = self.deleted(f"FROM \0 AS {OLD_ROW}", OLD_ROW).partition("\0")
        return f"""IF pg_catalog.current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
            -- Rows that others have committed since would go too, and this transaction cannot see them.
            RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
                MESSAGE = pg_catalog.concat('TRUNCATE of ', TG_RELID::regclass,
                    ' cannot be captured in a transaction of the isolation level ',
                    pg_catalog.current_setting('transaction_isolation')),
                HINT = 'Use DELETE, or TRUNCATE in a READ COMMITTED transaction. (django-synchro)';
        END IF;
        IF pg_catalog.row_security_active(TG_RELID) THEN
            RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
                MESSAGE = pg_catalog.concat('TRUNCATE of ', TG_RELID::regclass, ' cannot be captured: '
                    'row-level security hides rows of it from ', current_user, ', who owns the triggers'),
                HINT = 'Use DELETE, or give that role BYPASSRLS. (django-synchro)';
        END IF;
        EXECUTE pg_catalog.concat({literal(command)}, TG_RELID::regclass, {literal(alias)});"""

    def body(self, insert: str, update: str, delete: str) -> str:
        return f"""BEGIN
    IF TG_OP = 'INSERT' THEN
        {insert};
    ELSIF TG_OP = 'UPDATE' THEN
        {update};
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
            self.added(f"FROM {NEW_TABLE} AS {NEW_ROW}", NEW_ROW),
            self.statement_update(),
            self.deleted(f"FROM {OLD_TABLE} AS {OLD_ROW}", OLD_ROW),
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
            FROM {OLD_TABLE} AS {OLD_ROW} FULL JOIN {NEW_TABLE} AS {NEW_ROW}
                ON {self.same_key(OLD_ROW, NEW_ROW)}
            {condition}
            OFFSET 0
        ) AS c{outside}"""

    def rows(self) -> str:
        return self.body(
            self.added(self.planned_anew("WHERE"), "NEW"),
            self.row_update(),
            self.deleted(self.planned_anew("WHERE"), "OLD"),
        )

    def planned_anew(self, word: str) -> str:
        """
        A condition that holds, and lets each session plan a statement anew after the table was altered.

        What plpgsql keeps of a statement that names a column of OLD or NEW fails when the column has another type. It
        is dropped when a relation is altered that the statement has a constant of. The name may change, the number not.
        """
        return f"{word} '{self.target.shape.number}'::regclass IS NOT NULL"

    def row_update(self) -> str:
        differs, changed = "OLD *<> NEW", "NULL"
        if self.target.detail is Detail.COLUMNS:
            names = f"substr({self.fields('OLD', 'NEW')}, 2)" if self.target.columns else "''"
            changed = f"CASE WHEN NOT {self.unknown()} THEN {names} END"
            known = "".join(f"{self.differs('OLD', 'NEW', field)} OR " for field in self.target.columns)
            differs = f"{known}(OLD *<> NEW AND {self.unknown()})"
        anew, also = self.planned_anew("WHERE"), self.planned_anew("AND")
        return f"""IF NOT ({self.same_key("OLD", "NEW")}) {also} THEN
            {self.deleted(anew, "OLD")};
            {self.added(anew, "NEW")};
        ELSIF ({differs}) {also} THEN
            {self.insert(with_fields=True)}
            SELECT {self.target.content_type}, {self.key("NEW")}, clock_timestamp(), 2, {changed}
            {anew};
        END IF"""
