"""Rows of a load as values, where their servers spell them otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import Model

from synchro.backends.base import quoted
from synchro.keys import AnyField
from synchro.replay.columns import Codec, narrow_columns
from synchro.replay.session import Session


class ValueReader:
    """Reads rows of LOCAL a few at a time, each by a statement of its own, and encodes them for REMOTE."""

    def __init__(
        self,
        session: Session,
        model: type[Model],
        fields: Sequence[AnyField],
    ) -> None:
        self._local, self._model, self._fields = session.local, model, fields
        self._codec = Codec(fields, session.local.connection)
        remote = session.remote
        self._encoder = Codec(fields, remote.connection, narrow_columns(remote, model))

    def read(self, condition: str, values: Sequence[Any]) -> Sequence[Sequence[Any]]:
        """Return the rows that the condition picks, in the order of the first column, as values."""
        connection, spelled = self._local.connection, self._codec.spelled
        names = ", ".join(
            spelled.get(field.column, "{}").format(quoted(connection, field.column)) for field in self._fields
        )
        table = quoted(connection, self._model._meta.db_table)
        order = f"{table}.{quoted(connection, self._fields[0].column)}"
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {names} FROM {table} WHERE {condition} ORDER BY {order}", values)
            return self._codec.decode_all(cursor.fetchall())

    def encoded(self, rows: Sequence[Sequence[Any]]) -> Sequence[Sequence[Any]]:
        return self._encoder.encode_all(rows)
