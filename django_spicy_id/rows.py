"""
Reading rows: Django's compiler without its detours, for the columns that hold ids.

Of every row it makes a list, goes through the columns that have converters and through the converters of each,
and makes a tuple again. For an id that takes twice as long as to spell it. Here the reader of a column is called
directly; columns with any other converter are left to Django.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from itertools import chain, islice
from typing import Any

from django.db.models import Field
from django.db.models.sql.compiler import SQLCompiler

from django_spicy_id.encoding import Codec, Reader
from django_spicy_id.lanes import LANES

Row = Iterable[Any]
#: By position: the converters of a column, and its expression.
Converters = Mapping[int, tuple[list[Callable[..., Any]], Any]]


def connect(spicy_field: type[Field[Any, Any]]) -> None:
    """
    Have all queries read the columns of `spicy_field` in the short way. Calling it again changes nothing.

    Nor does it where the compiler is somebody else's by now, who may have to see every row.
    """
    compiler: Any = SQLCompiler
    original: Callable[..., Iterable[Row]] = compiler.apply_converters
    if hasattr(original, "__wrapped__") or original.__module__ != compiler.__module__:
        return

    @wraps(original)
    def apply_converters(self: Any, rows: Iterable[Any], converters: Converters) -> Iterable[Row]:
        readers: list[tuple[int, Reader, Codec]] = []
        others = {}
        field: Any
        for position, (functions, expression) in converters.items():
            field = expression.output_field
            is_ours = isinstance(field, spicy_field)
            reader = field.column_reader(functions, self.connection) if is_ours else None
            if reader:
                readers.append((position, reader, field.codec))
            else:
                others[position] = (functions, expression)
        if readers:
            rows = chain.from_iterable(_read(iter(rows), readers))
        return original(self, rows, others) if others or not readers else rows

    compiler.apply_converters = apply_converters


def _read(rows: Iterator[Any], readers: list[tuple[int, Reader, Codec]]) -> Iterator[Iterable[Row]]:
    """Yield the rows, in pieces and still unread: how many columns they have, only the first one tells."""
    first = next(rows, None)
    if first is None:
        return
    rows = chain([first], rows)
    if len(first) > 1:
        yield _read_columns(rows, [(position, read) for position, read, _codec in readers])
        return
    _position, read, codec = readers[0]
    if read == codec.read:
        yield from _read_column(rows, codec)
    else:
        yield ((read(value),) for (value,) in rows)


def _read_column(rows: Iterator[Any], codec: Codec) -> Iterator[Iterable[Row]]:
    """Rows of one column, in loops that no Python code takes part in but the reader's."""
    while values := [value for (value,) in islice(rows, LANES)]:
        yield zip(codec.read_column(values), strict=False)


def _read_columns(rows: Iterator[Any], readers: list[tuple[int, Reader]]) -> Iterator[Row]:
    for row in map(list, rows):
        for position, read in readers:
            row[position] = read(row[position])
        yield row
