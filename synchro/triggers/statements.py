"""What a statement of SQL may do to tables, as far as its first words tell."""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Any


class Reach(IntEnum):
    """Whose columns a statement may change."""

    NOTHING = 0
    #: Those of the tables that it names.
    NAMED = 1
    #: Nobody can tell.
    EVERYTHING = 2


_QUIET = re.compile(r"'(?:[^'\\]|''|\\.)*'|--[^\n]*|/\*(?!!).*?\*/", re.DOTALL)
_BLANKS = re.compile(r"\s+")
#: Nothing else goes along.
_ALONE = r"\b(?!.*(?<!ON DELETE )(?<!ON UPDATE )\bCASCADE\b)"
_INDEX = r"(?:UNIQUE |FULLTEXT |SPATIAL )?INDEX"
#: Neither alters a table nor makes one.
_HARMLESS = re.compile(
    "(?:SELECT|INSERT|UPDATE|DELETE|REPLACE|MERGE|VALUES|WITH|TABLE|SHOW|EXPLAIN|DESCRIBE|DESC|SET|SAVEPOINT|RELEASE"
    "|ROLLBACK|BEGIN(?! NOT)|START|COMMIT|END|ABORT|PRAGMA|ANALYZE|OPTIMIZE|CHECK|VACUUM|REINDEX|CLUSTER|COMMENT|GRANT"
    "|REVOKE|COPY|LOCK|UNLOCK|LISTEN|NOTIFY|UNLISTEN|FETCH|DECLARE|MOVE|CLOSE|DEALLOCATE|DISCARD|RESET|REFRESH|USE"
    "|ATTACH|DETACH|TRUNCATE|FLUSH|KILL|LOAD|HANDLER"
    rf"|(?:CREATE|ALTER|DROP) {_INDEX}"
    "|CREATE (?:OR REPLACE )?(?:DEFINER ?= ?\\S+ )?(?:VIEW|MATERIALIZED VIEW|RECURSIVE VIEW|FUNCTION|PROCEDURE|TRIGGER"
    "|EXTENSION|SEQUENCE|TYPE|DOMAIN|SCHEMA|COLLATION|ROLE|USER|POLICY|STATISTICS|PUBLICATION|SUBSCRIPTION|AGGREGATE"
    "|OPERATOR|CAST|EVENT|DATABASE|RULE|SERVER)"
    "|(?:ALTER|DROP) (?:VIEW|SEQUENCE|ROLE|USER|POLICY|STATISTICS|PUBLICATION|SUBSCRIPTION|DATABASE|SYSTEM|FUNCTION"
    "|PROCEDURE|EVENT|EXTENSION|TYPE|DOMAIN|AGGREGATE|RULE|OPERATOR|CAST|COLLATION|TRIGGER)"
    + _ALONE
    + ")\\b",
    re.IGNORECASE,
)
_NAMED = re.compile(
    r"(?:ALTER (?:ONLINE |OFFLINE |IGNORE |FOREIGN )?TABLE|RENAME TABLES?|CREATE (?:\w+ ){0,3}TABLE"
    r"|DROP (?:\w+ )?TABLE)" + _ALONE,
    re.IGNORECASE,
)


def reach_of(sql: Any) -> Reach:
    """Return whose columns `sql`, which may hold several statements, can change."""
    parts = _QUIET.sub(" ", str(sql)).split(";")
    return max(map(_reach, parts))


def _reach(part: str) -> Reach:
    text = _BLANKS.sub(" ", part).strip(" (")
    if not text or _HARMLESS.match(text):
        return Reach.NOTHING
    return Reach.NAMED if _NAMED.match(text) else Reach.EVERYTHING


def is_single(sql: Any) -> bool:
    """Whether no further statement follows."""
    return ";" not in _QUIET.sub(" ", str(sql)).strip().rstrip(";")
