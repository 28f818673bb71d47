"""
Triggers on watched tables that are not ours: they fire for what is replayed too, unless they ask our switch.

What is written here reads their source. It is made to err on one side: what it does not understand is in the way.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

#: Statements and expressions that do more than look.
_ACTS = re.compile(
    r"\b(?:insert|update|delete|merge|replace|perform|execute|call|copy|truncate|notify|into|do|set|load|create|alter|drop"
    r"|listen|lock|nextval|setval|set_config)\b",
    re.IGNORECASE,
)
#: Anything else that is called may act.
_CALLED = re.compile(r"([a-z_][a-z0-9_.]*)\s*\(", re.IGNORECASE)
_HARMLESS = frozenset((
    "if", "and", "or", "not", "in", "exists", "when", "then", "else", "elsif", "elseif", "case", "where", "on", "over",
    "values", "raise", "any", "all", "select", "return", "begin", "end", "abs", "coalesce", "concat", "count",
    "current_setting", "format", "length", "char_length", "lower", "upper", "max", "min", "sum", "now", "nullif",
    "round", "substr", "substring", "trim",
))  # fmt: skip
#: Of a trigger before the write: another value, or no write.
_ASSIGNS = re.compile(
    r"\bnew\s*(?:\.\s*[^\s:=]+\s*)?:=|(?:;|\b(?:begin|then|else|loop)\b)\s*new\b", re.IGNORECASE
)
_RETURNS = re.compile(r"\breturn\b\s*([^;]*)", re.IGNORECASE)
_STRINGS = re.compile(r"'(?:[^'\\]|''|\\.)*'")
_COMMENTS = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
#: Quoted names, and what would be taken for a comment in one.
_NAMES = re.compile(r'"(?:[^"]|"")*"|`(?:[^`]|``)*`')
_MARKS = re.compile(r"--|/\*|\*/")
#: MySQL's way to raise an error.
_SIGNALS = re.compile(r"\bsignal\b[^;]*", re.IGNORECASE)
_HASH_COMMENTS = re.compile(r"#[^\n]*")


@dataclass(frozen=True)
class ForeignTrigger:
    """A trigger, or a rule, of somebody else's on a watched table."""

    table: str
    name: str
    #: All that it says: where it fires, and what it does.
    text: str
    #: What it does, where that is known apart from the rest.
    body: str
    #: Whether it fires before the write, and can change it or undo it.
    is_before: bool = False
    #: Whether it fires for deletions only.
    on_deletion: bool = False

    def __str__(self) -> str:
        return f"{self.table}.{self.name}"

    def asks(self, switch: re.Pattern[str]) -> bool:
        """Whether it looks at the switch of ours that is on while a run writes."""
        return _asks(self.text, switch)

    @property
    def only_refuses(self) -> bool:
        """Whether all that it can do is to raise an error."""
        body = _HASH_COMMENTS.sub(" ", _STRINGS.sub("''", _COMMENTS.sub(" ", self.body)))
        body = _SIGNALS.sub("", body)
        if not self.body.strip() or _ACTS.search(body):
            return False
        if any(name.lower() not in _HARMLESS for name in _CALLED.findall(body)):
            return False
        return not self.is_before or not (_ASSIGNS.search(body) or self._suppresses(body))

    def _suppresses(self, body: str) -> bool:
        """Whether it may return no row, or the old one in place of the new."""
        allowed = {"new", "coalesce(new, old)", *(["old"] if self.on_deletion else [])}
        return any(what.strip().lower() not in allowed for what in _RETURNS.findall(body))


@lru_cache(maxsize=5_000)
def _asks(text: str, switch: re.Pattern[str]) -> bool:
    """Remembered, since a process that synchronizes again and again sees the same triggers each time."""
    text = _NAMES.sub(lambda name: _MARKS.sub(" ", name[0]), text)
    return bool(switch.search(_COMMENTS.sub(" ", text)))
