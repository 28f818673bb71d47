"""What PostgreSQL's catalogs say of tables, of triggers of ours, and of what these do not see."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from synchro.backends.named import by_place
from synchro.triggers.base import (
    LOG,
    MADE_BY,
    OPEN,
    POWERLESS,
    PREFIX,
    Installed,
    Shape,
    read_header,
    stem_of,
)
from synchro.triggers.postgresql_body import columns_known

#: What `synchro.backends.postgresql` sets to 'off' for a transaction.
SETTING = "synchro.capture"
ENABLED = f"pg_catalog.current_setting('{SETTING}', true) IS DISTINCT FROM 'off'"
#: The condition of a trigger as the database tells it.
_TOLD = f"WHEN ((current_setting('{SETTING}'::text, true) IS DISTINCT FROM 'off'::text))"

#: Whether a subscription writes to the table `c`, to one that it is part of, or to a part of it.
IS_SUBSCRIBED = """EXISTS (
    SELECT 1 FROM pg_subscription_rel WHERE srrelid = c.oid
    OR srrelid IN (SELECT relid FROM pg_partition_tree(c.oid))
    OR srrelid IN (SELECT relid FROM pg_partition_ancestors(c.oid) AS up (relid))
)"""

#: Whether this role may do what the owner of the table `c`, and of all its partitions, may.
IS_OWNED = """(pg_has_role(c.relowner, 'USAGE') AND NOT EXISTS (
    SELECT 1 FROM pg_partition_tree(c.oid) JOIN pg_class part ON part.oid = relid
    WHERE NOT pg_has_role(part.relowner, 'USAGE')
))"""

SHAPES = f"""
    SELECT t.name, array_agg(lower(a.attname)), array_agg(a.attnum), c.oid::regclass::text, c.relkind::text,
        COALESCE((SELECT relnamespace::regnamespace::name FROM pg_class WHERE oid = to_regclass(%(log)s)), ''),
        c.relispartition,
        EXISTS (SELECT 1 FROM pg_inherits WHERE inhrelid = c.oid),
        {IS_SUBSCRIBED},
        {IS_OWNED},
        c.oid, array_agg(a.attname::text),
        array_agg(CASE WHEN a.attgenerated = 'v' THEN pg_get_expr(d.adbin, d.adrelid) END)
    FROM unnest(%(names)s::text[], %(quoted)s::text[]) AS t (name, quoted)
    JOIN pg_class c ON c.oid = to_regclass(t.quoted)
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    GROUP BY t.name, c.oid, c.relkind, c.relispartition, c.relowner
"""

#: Functions of ours, which say themselves that they are: somebody else's may have such a name.
FUNCTIONS = f"""
    FROM pg_proc p JOIN pg_class l ON l.oid = to_regclass(%(log)s) AND l.relnamespace = p.pronamespace
    WHERE starts_with(p.proname, '{PREFIX}') AND p.prorettype = 'trigger'::regtype
        AND strpos(p.prosrc, '{MADE_BY}') > 0
"""

#: Whether the owner of a function may do what it does.
MAY_WRITE = """(
    has_schema_privilege(p.proowner, l.relnamespace, 'USAGE')
    AND (
        SELECT bool_and(
            CASE WHEN a.attname <> 'id' THEN has_column_privilege(p.proowner, l.oid, a.attnum, 'INSERT')
            ELSE a.attidentity <> ''
                OR has_sequence_privilege(p.proowner, pg_get_serial_sequence(l.oid::regclass::text, 'id'), 'USAGE') END
        )
        FROM pg_attribute a WHERE a.attrelid = l.oid
        AND a.attname IN ('id', 'content_type_id', 'object_id', 'date', 'action', 'fields', 'natural_key')
    )
)"""

#: Each of ours once, with the partition on which a copy of it is disabled, if there is one.
INSTALLED = f"""
    SELECT p.proname, format('%%I.%%I', l.relnamespace::regnamespace::name, p.proname), p.prosrc,
        has_function_privilege('public', p.oid, 'EXECUTE'), COALESCE({MAY_WRITE}, true),
        ARRAY(
            SELECT ARRAY[
                t.tgname::text, t.tgrelid::regclass::text, t.tgenabled::text,
                pg_get_triggerdef(t.oid),
                format('CREATE TRIGGER %%I ', t.tgname),
                format(' ON %%I.%%I ', c.relnamespace::regnamespace::name, c.relname),
                CASE WHEN c.relkind = 'p' THEN (
                    SELECT min(copy.tgrelid::regclass::text) FROM pg_partition_tree(c.oid)
                    JOIN pg_trigger copy ON copy.tgrelid = relid
                    WHERE copy.tgname = t.tgname AND copy.tgparentid <> 0 AND copy.tgenabled NOT IN ('O', 'A')
                ) END,
                CASE WHEN {IS_SUBSCRIBED} THEN 'A' ELSE 'OA' END
            ]
            FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
            WHERE t.tgfoid = p.oid AND t.tgparentid = 0
                AND (%(table)s::text IS NULL OR t.tgrelid = to_regclass(%(table)s))
        )
    {FUNCTIONS}
"""

#: Of these names, functions beside the log that are not ours, and triggers that call none of ours.
STRANGERS = f"""
    SELECT 'function ' || p.oid::regprocedure::text
    FROM pg_proc p JOIN pg_class l ON l.oid = to_regclass(%(log)s) AND l.relnamespace = p.pronamespace
    WHERE p.proname = ANY(%(functions)s) AND p.pronargs = 0 AND strpos(p.prosrc, '{MADE_BY}') = 0
    UNION ALL
    SELECT format('trigger %%I on %%s', t.tgname, t.tgrelid::regclass)
    FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE t.tgname = ANY(%(triggers)s) AND t.tgparentid = 0 AND strpos(p.prosrc, '{MADE_BY}') = 0
"""

#: Of these names, functions of ours whose owner may not write to the log, and whether that is the present role.
POWERLESS_FUNCTIONS = f"""
    SELECT p.oid::regproc::text, p.proowner = current_user::regrole
    {FUNCTIONS} AND p.proname = ANY(%(names)s) AND NOT {MAY_WRITE}
"""

#: Roles and databases for which the setting that switches capture off stands for good.
SWITCHED_OFF = f"""
    SELECT COALESCE(r.rolname, ''), COALESCE(d.datname, '')
    FROM pg_db_role_setting s
    LEFT JOIN pg_roles r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase
    WHERE (s.setdatabase = 0 OR d.datname = current_database())
        AND EXISTS (SELECT 1 FROM unnest(s.setconfig) AS one WHERE lower(one) = '{SETTING}=off')
    ORDER BY 1, 2
"""

#: Tables that inherit from one of these, where what is written directly to them fires no trigger of ours.
HEIRS = """
    SELECT parent.oid::regclass::text, heir.oid::regclass::text
    FROM unnest(%(tables)s::text[]) AS t (quoted)
    JOIN pg_class parent ON parent.oid = to_regclass(t.quoted) AND parent.relkind = 'r'
    JOIN pg_inherits i ON i.inhparent = parent.oid JOIN pg_class heir ON heir.oid = i.inhrelid
    WHERE NOT EXISTS (
        SELECT 1 FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid
        WHERE g.tgrelid = heir.oid AND strpos(p.prosrc, %(made_by)s) > 0
    )
    ORDER BY 1, 2
"""


#: Tables with triggers of ours that do not fire in every session, and what has them do so.
NOT_ALWAYS = f"""
    SELECT c.oid::regclass::text, format('ALTER TABLE %%s %%s', c.oid::regclass,
        string_agg(format('ENABLE ALWAYS TRIGGER %%I', t.tgname), ', ' ORDER BY t.tgname))
    {FUNCTIONS.replace("WHERE", "JOIN pg_trigger t ON t.tgfoid = p.oid JOIN pg_class c ON c.oid = t.tgrelid WHERE", 1)}
        AND t.tgparentid = 0 AND t.tgenabled = 'O'
    GROUP BY c.oid ORDER BY 1
"""


def declared_as(words: str) -> str:
    """What `Installed.version` is of a trigger that is declared so and asks our switch."""
    return " ".join([*words.split(), _TOLD])


def shapes(connection: BaseDatabaseWrapper, tables: Iterable[str]) -> dict[str, Shape]:
    names, quote = list(tables), connection.ops.quote_name
    quoted = [quote(name) for name in names]
    with connection.cursor() as cursor:
        cursor.execute(*by_place(SHAPES, log=quote(LOG), names=names, quoted=quoted))
        return {row[0]: _shape(*row[1:]) for row in cursor.fetchall()}


def _shape(
    columns: list[str],
    numbers: list[int],
    shown: str,
    kind: str,
    schema: str,
    is_part: bool,
    inherits: bool,
    is_subscribed: bool,
    is_owned: bool,
    number: int,
    names: list[str],
    expressions: list[str | None],
) -> Shape:
    by_row = kind == "p" or inherits or is_subscribed
    return Shape(
        columns=frozenset(columns),
        shown=shown,
        is_table=kind in ("r", "p"),
        is_partitioned=kind == "p",
        is_part=is_part,
        by_row=by_row,
        is_subscribed=is_subscribed,
        is_owned=is_owned,
        schema=schema,
        numbers=frozenset(zip(columns, numbers, strict=True)),
        number=number if by_row else 0,
        virtual=frozenset(
            (name, text) for name, text in zip(names, expressions, strict=True) if text is not None
        ),
    )


def installed(connection: BaseDatabaseWrapper, table: str | None = None) -> list[Installed]:
    """
    The triggers of ours, of all tables or of the one of this quoted name, and all functions.

    Ours are those that call a function of ours that stands beside the log. Copies on partitions are not listed.
    """
    with connection.cursor() as cursor:
        cursor.execute(*by_place(INSTALLED, log=connection.ops.quote_name(LOG), table=table))
        rows = cursor.fetchall()
    return [one for row in rows for one in _found(*row)]


def _found(
    name: str, function: str, source: str, is_open: bool, may_write: bool, triggers: list[list[str | None]]
) -> Iterator[Installed]:
    stem = stem_of(name)
    if stem is None:
        return
    version, content_type = read_header(source)
    known, above = columns_known(source)
    flaw = POWERLESS if not may_write else OPEN if is_open else ""
    yield Installed(stem, function, version, content_type, "", knows=known, sees_above=above, flaw=flaw)
    for trigger in triggers:
        yield _trigger(stem, content_type, *trigger)


def _trigger(stem: str, content_type: int | None, *message: Any) -> Installed:
    name, table, mode, definition, beginning, place, partition, modes = message
    words = definition.removeprefix(beginning).replace(place, " ", 1).rpartition(" EXECUTE ")[0]
    return Installed(
        f"{stem}:{name}",
        name,
        words.replace("pg_catalog.", ""),
        content_type,
        table,
        mode in modes and partition is None,
        place=partition or "",
    )


def stems(connection: BaseDatabaseWrapper) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(*by_place(f"SELECT p.proname {FUNCTIONS}", log=connection.ops.quote_name(LOG)))
        return {stem for (name,) in cursor.fetchall() if (stem := stem_of(name))}


def strangers(
    connection: BaseDatabaseWrapper, functions: Iterable[str], triggers: Iterable[str]
) -> list[str]:
    """Functions and triggers of somebody else's that have one of these names."""
    log = connection.ops.quote_name(LOG)
    with connection.cursor() as cursor:
        cursor.execute(*by_place(STRANGERS, log=log, functions=list(functions), triggers=list(triggers)))
        return [name for (name,) in cursor.fetchall()]


def powerless(connection: BaseDatabaseWrapper, names: Iterable[str]) -> list[tuple[str, bool]]:
    """Functions of ours of these names whose owner may not write to the log; whether that is the present role."""
    with connection.cursor() as cursor:
        cursor.execute(*by_place(POWERLESS_FUNCTIONS, log=connection.ops.quote_name(LOG), names=list(names)))
        return [(name, is_own) for name, is_own in cursor.fetchall()]


def unseen(connection: BaseDatabaseWrapper, tables: Iterable[str]) -> Iterator[str]:
    """What keeps changes of these tables out of the log although all triggers are there, each as a sentence."""
    with connection.cursor() as cursor:
        yield from _switched_off(cursor, connection.alias)
        yield from _heirs(cursor, [connection.ops.quote_name(table) for table in tables])


def not_always(connection: BaseDatabaseWrapper) -> list[tuple[str, str]]:
    """Tables with triggers of ours that do not fire in every session; each with the statement that makes them fire."""
    with connection.cursor() as cursor:
        cursor.execute(*by_place(NOT_ALWAYS, log=connection.ops.quote_name(LOG)))
        return [(table, sql) for table, sql in cursor.fetchall()]


def _switched_off(cursor: Any, alias: str) -> Iterator[str]:
    cursor.execute("SELECT current_setting(%s, true) = 'off'", [SETTING])
    (is_off,) = cursor.fetchone()
    cursor.execute(SWITCHED_OFF)
    found = cursor.fetchall()
    if is_off and not found:
        yield (
            f"Capture is switched off from the start of each session: {SETTING} = off stands in the configuration of "
            f"the server, or in the OPTIONS of the database {alias!r}. Take it out there."
        )
    for role, database in found:
        whose = f'ROLE "{role}"' if role else "ROLE ALL" if not database else f'DATABASE "{database}"'
        where = f' IN DATABASE "{database}"' if role and database else ""
        yield (
            f"Capture is switched off for good where {SETTING} = off is a setting of {whose}{where}: nothing that "
            f"its sessions write is in the log. Run: ALTER {whose}{where} RESET {SETTING}"
        )


def _heirs(cursor: Any, tables: list[str]) -> Iterator[str]:
    cursor.execute(*by_place(HEIRS, tables=tables, made_by=MADE_BY))
    for parent, heir in cursor.fetchall():
        yield (
            f"{heir} inherits from {parent} and has no triggers of its own: what is written to {heir} itself is "
            "not in the log, though it is read with the other rows. Watch a model of that table too, or write to "
            f"{parent}."
        )
