"""What a statement does, as far as its words say: whether it only reads, and whether a watched table is in it."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from synchro.registry import watched_tables

# Possessive: no text makes these slow.
LITERALS = re.compile(
    r"'(?:[^'\\]|''|\\.)*+'|\"(?:[^\"]|\"\")*+\"|`(?:[^`]|``)*+`|--[^\n]*+|/\*(?!!)(?:[^*]|\*(?!/))*+\*/",
    re.DOTALL,
)
#: Of the session or its transaction, or an answer and nothing more.
_HARMLESS = re.compile(
    r"[\s(]*+(?:SAVEPOINT|RELEASE|ROLLBACK|BEGIN|START|SET(?! STATEMENT\b)|SHOW|DESC|DESCRIBE|VALUES|TABLE"
    r"|PRAGMA(?![^;]*=))\b",
    re.IGNORECASE,
)
_SELECT = re.compile(r"[\s(]*+(?:SELECT|WITH|EXPLAIN)\b", re.IGNORECASE)
#: What writes within a SELECT or WITH. (A SELECT that locks says FOR UPDATE.)
_WRITES = re.compile(
    r"\b(?:INSERT|DELETE|MERGE|INTO|(?<!FOR )(?<!FOR NO KEY )UPDATE)\b(?!\s*\()", re.IGNORECASE
)


def is_read(sql: Any) -> bool:
    """Whether the statements change nothing. What is not known to be harmless counts as a write."""
    words = LITERALS.sub(lambda found: " ? " if found[0][0] in "'\"`" else " ", text_of(sql))
    words = " ".join(words.split())
    parts = [part for part in words.split(";") if part.strip()]
    return all(map(_reads, parts))


def watched_table(sql: Any) -> str | None:
    """The first watched table that is named; None where there is none."""
    return next(iter(watched_tables_in(sql)), None)


def watched_tables_in(sql: Any) -> list[str]:
    """All watched tables that are named, as they are spelled."""
    found = _names(tuple(table.name for table in watched_tables())).findall(text_of(sql))
    return list(dict.fromkeys(found))


def _reads(words: str) -> bool:
    if _SELECT.match(words):
        return not _WRITES.search(words)
    return bool(_HARMLESS.match(words))


@lru_cache(maxsize=8)
def _names(tables: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(tables, key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first)) or '(?!)'})(?!\w)", re.IGNORECASE)


def text_of(sql: Any) -> str:
    """A driver may take statements that are no text: bytes, or psycopg's own."""
    if isinstance(sql, bytes):
        return sql.decode(errors="replace")
    try:
        return str(sql.as_string(None)) if hasattr(sql, "as_string") else str(sql)
    except TypeError:  # it cannot be spelled without a connection, so nothing is known of it
        return "?"
