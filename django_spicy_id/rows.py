"""
Reading rows: Django's compiler without its detours, for the columns that hold ids.

Of every row it makes a list, goes through the columns that have converters and through the converters of each,
and makes a tuple again. For an id that takes twice as long as to spell it. Here the reader of a column is called
directly; columns with any other converter are left to Django.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from operator import itemgetter
from typing import Any

from django.db.models import Field
from django.db.models.sql.compiler import SQLCompiler

Row = Iterable[Any]
Reader = Callable[[Any], Any]
#: By position: the converters of a column, and its expression.
Converters = Mapping[int, tuple[list[Callable[..., Any]], Any]]


def connect(spicy_field: type[Field[Any, Any]]) -> None:
    """Have all queries read the columns of `spicy_field` in the short way. Calling it again changes nothing."""
    compiler: Any = SQLCompiler
    original: Callable[..., Iterable[Row]] = compiler.apply_converters
    if hasattr(original, "knows_spicy_ids"):
        return

    @wraps(original)
    def apply_converters(self: Any, rows: Iterable[Any], converters: Converters) -> Iterable[Row]:
        readers: dict[int, Reader] = {}
        others = {}
        for position, (functions, expression) in converters.items():
            field = expression.output_field
            if isinstance(field, spicy_field) and functions == [field.codec.read]:  # type: ignore[attr-defined]
                readers[position] = functions[0]
            else:
                others[position] = (functions, expression)
        if readers:
            alone = self.select is not None and len(self.select) == 1
            rows = _read_column(rows, readers[0]) if alone else _read(rows, list(readers.items()))
        return original(self, rows, others) if others or not readers else rows

    apply_converters.knows_spicy_ids = True  # type: ignore[attr-defined]
    compiler.apply_converters = apply_converters


def _read_column(rows: Iterable[Any], read: Reader) -> Iterable[Row]:
    """Rows of one column, in a loop that no Python code takes part in but `read`."""
    return zip(map(read, map(itemgetter(0), rows)), strict=False)


def _read(rows: Iterable[Any], readers: list[tuple[int, Reader]]) -> Iterator[Row]:
    for row in map(list, rows):
        for position, read in readers:
            row[position] = read(row[position])
        yield row
