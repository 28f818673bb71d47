"""Statements of others: whether they write, into which tables, and which rows, found by a SELECT with their WHERE."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from django.db.models import Model, UniqueConstraint

from synchro.keys import key_fields
from synchro.registry import watched_tables


def may_meet_by_value(query: Any, model: type[Model]) -> bool:
    """Return whether an upsert can update a row by another unique value than the key; `query` is Django's."""
    # MySQL names no fields.
    if query.unique_fields:
        return set(query.unique_fields) != set(key_fields(model))
    return (
        any(field.unique and not field.primary_key for field in model._meta.local_concrete_fields)
        or bool(model._meta.unique_together)
        or any(isinstance(each, UniqueConstraint) for each in model._meta.constraints)
        or key_fields(model) != (model._meta.pk,)
    )


# Possessive: no text makes these slow.
LITERALS = re.compile(
    r"'(?:[^'\\]|''|\\.)*+'|\"(?:[^\"]|\"\")*+\"|`(?:[^`]|``)*+`|--[^\n]*+|/\*(?!!)(?:[^*]|\*(?!/))*+\*/",
    re.DOTALL,
)
#: Statements about the session or its transaction, or that only read.
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
    """Return whether the statements change nothing. What is not known to be harmless counts as a write."""
    words = LITERALS.sub(lambda found: " ? " if found[0][0] in "'\"`" else " ", text_of(sql))
    words = " ".join(words.split())
    parts = [part for part in words.split(";") if part.strip()]
    return all(map(_reads, parts))


def watched_table(sql: Any) -> str | None:
    """Return the first watched table that is named; None where there is none."""
    return next(iter(watched_tables_in(sql)), None)


def watched_tables_in(sql: Any) -> list[str]:
    """Return all watched tables that are named, as they are spelled."""
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
    """Return a statement as text; a driver may take bytes, or psycopg's own objects."""
    if isinstance(sql, bytes):
        return sql.decode(errors="replace")
    try:
        return str(sql.as_string(None)) if hasattr(sql, "as_string") else str(sql)
    except TypeError:  # it cannot be spelled without a connection, so nothing is known of it
        return "?"


_NAME: Final = r"(\"(?:[^\"]|\"\")+\"|`(?:[^`]|``)+`|\w+)"
_UPDATE: Final = re.compile(rf"\s*UPDATE\s+{_NAME}\s+SET\b", re.IGNORECASE)
_DELETE: Final = re.compile(rf"\s*DELETE\s+FROM\s+{_NAME}(?=\s+WHERE\b|\s*\Z)", re.IGNORECASE)
#: How Django deletes by what other tables hold on MySQL.
_DELETE_JOINED: Final = re.compile(rf"\s*DELETE\s+{_NAME}\s+FROM\s+(?=\1\s)", re.IGNORECASE)
_WORDS: Final = re.compile(
    r"\b(?:WHERE|FROM|USING|ORDER|LIMIT|RETURNING|WITH|CURRENT)\b|[();]", re.IGNORECASE
)
#: Not told apart from the rest: comments of MySQL, texts of PostgreSQL, and what may end a text or not.
_DOUBTFUL: Final = re.compile(r"#|\$\w*\$|\\")
#: Functions that give the SELECT another answer than the statement.
_CHANGING: Final = re.compile(
    r"\b(?:RAND|RANDOM\w*|GEN_RANDOM_UUID|UUID\w*|NEXTVAL|SETVAL|CLOCK_TIMESTAMP)\s*\(|\bTABLESAMPLE\b|:=",
    re.IGNORECASE,
)
#: As Django has it in each LIKE for SQLite.
_ESCAPE: Final = "ESCAPE '\\'"


@dataclass(frozen=True)
class Aim:
    """The rows that an UPDATE or a DELETE is about."""

    #: As the statement spells it.
    table: str
    #: What comes behind FROM in the SELECT that finds them.
    rest: str
    #: How many of the statement's parameters come before those in `rest`, and after them.
    before: int
    after: int
    #: How many the statement has in all.
    count: int
    #: Whether they are deleted.
    deletes: bool

    @property
    def name(self) -> str:
        quote = self.table[0]
        return self.table[1:-1].replace(quote * 2, quote) if quote in '"`' else self.table

    def parameters(self, given: Any) -> Any:
        """Return those of the statement's parameters that the SELECT takes."""
        if given is None or isinstance(given, Mapping):
            return given
        return list(given)[self.before : len(given) - self.after]


def aim_of(sql: Any, parameters: Any) -> Aim | None:
    """Return which rows an UPDATE or a DELETE is about; None where its words do not tell."""
    if parameters is not None and not isinstance(parameters, Mapping | Sequence):
        return None
    aim = _aim(text_of(sql).rstrip().removesuffix(";"))
    if aim is None or parameters is None or isinstance(parameters, Mapping):
        return aim
    # Else the driver has placeholders of another kind, or in other positions.
    return aim if len(parameters) == aim.count else None


@lru_cache(maxsize=64)
def _aim(text: str) -> Aim | None:
    # What is masked keeps its length, so that positions in `plain` are positions in `text`.
    plain = text.replace(_ESCAPE, " " * len(_ESCAPE))
    if _DOUBTFUL.search(plain):
        return None
    plain = LITERALS.sub(lambda found: ("x" if found[0][0] in '"`' else " ") * len(found[0]), plain)
    if (match := _DELETE_JOINED.match(text)) is not None:
        start, end = match.end(), len(text)
        if ";" in plain:
            return None
    elif (match := _UPDATE.match(text) or _DELETE.match(text)) is not None:
        found = _where(plain, match.end())
        if found is None:
            return None
        start, end = found
    else:
        return None
    if _CHANGING.search(plain, start, end):
        return None
    table = match[1]
    joined = match.re is _DELETE_JOINED
    return Aim(
        table,
        text[start:end] if joined else f"{table} {text[start:end]}",
        _placeholders(plain[:start]),
        _placeholders(plain[end:]),
        _placeholders(plain),
        match.re is not _UPDATE,
    )


def _where(plain: str, start: int) -> tuple[int, int] | None:
    """Return where the WHERE clause begins and ends; None where something else decides which rows are written."""
    depth, begin = 0, None
    for word in _WORDS.finditer(plain, start):
        match word[0].upper():
            case "(":
                depth += 1
            case ")":
                depth -= 1
            case _ if depth:
                continue
            case "WHERE" if begin is None:
                begin = word.start()
            case "ORDER" | "RETURNING" if "LIMIT" not in plain[word.start() :].upper():
                return (word.start() if begin is None else begin), word.start()
            case _:
                return None
    return (len(plain) if begin is None else begin), len(plain)


def _placeholders(plain: str) -> int:
    return plain.replace("%%", "").count("%s")
