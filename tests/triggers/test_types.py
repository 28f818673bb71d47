"""Columns of types that Django has no field for: every change of them is seen, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection, models
from django.test.utils import isolate_apps

from synchro.models import CHANGE, ChangeLog
from synchro.triggers import triggers_for
from synchro.triggers.base import Target
from tests.capture.models import Unique
from tests.triggers.conftest import brief, entries

pytestmark = pytest.mark.usefixtures("triggers")

#: Values of each type as SQL has them, no two of them the same.
TYPES: dict[str, dict[str, tuple[str, ...]]] = {
    "postgresql": {
        "int[]": ("'{1,2}'", "'{1,3}'", "'{}'"),
        "varchar(5)[]": ("'{a,b}'", "'{a,B}'", "'{\"a,b\"}'"),
        "point": ("'(1,2)'", "'(1,3)'"),
        "path": ("'((1,2),(3,4))'", "'[(1,2),(3,4)]'"),
        "xml": ("'<a/>'", "'<b/>'"),
        "json": ("'{\"a\":1}'", "'{\"a\": 1}'"),
        "jsonb": ("'1'", "'1.0'"),
        "money": ("1", "2"),
        '"char"': ("'a'", "'b'"),
        "bit(3)": ("B'101'", "B'100'"),
        "interval": ("'1 day'", "'24 hours'"),
        "tsvector": ("'a b'", "'a c'"),
        "inet": ("'10.0.0.1'", "'10.0.0.1/24'"),
        "numeric": ("1.0", "1.00", "'NaN'"),
        "char(5)": ("'a'", "'A'"),
        "real": ("1234567", "1234568", "'-0'", "'0'", "'NaN'"),
        "daterange": ("'[2020-01-01,2020-01-05)'", "'empty'"),
        "timestamptz": ("'infinity'", "'-infinity'"),
        "captured_mood": ("'sad'", "'Sad'"),
        "captured_pair": ("ROW(1, 'a')", "ROW(1, 'A')"),
    },
    "mysql": {
        "float": ("1234567", "1234568"),
        "bit(3)": ("b'101'", "b'100'"),
        "enum('a','A b','b')": ("'a'", "'A b'"),
        "set('x','y')": ("'x'", "'x,y'", "''"),
        "year": ("2020", "2021"),
        "point": ("ST_GeomFromText('POINT(1 2)')", "ST_GeomFromText('POINT(1 3)')"),
        "char(5)": ("'a'", "'A'"),
        "varchar(20) character set latin1": ("'a'", "'A'", "'a '", "_latin1 x'e9'"),
        "varchar(20) character set utf16": ("'a'", "'A'", "'a '"),
        "varchar(20) collate utf8mb4_bin": ("'a'", "'a '"),
        "varbinary(20)": ("'a'", "'a\\0'", "'A'"),
        "bigint unsigned": ("18446744073709551615", "0"),
        "timestamp(6) null": ("'2020-01-01 00:00:00'", "'2020-01-01 00:00:00.000001'"),
        "time(6)": ("'-10:00:00'", "'10:00:00.000001'"),
    },
    "sqlite": {
        "integer": ("1", "'1x'", "1.5"),
        "text": ("'a'", "'A'", "'a '", "x'61'"),
        "varchar(5) collate nocase": ("'a'", "'A'"),
        "varchar(5) collate rtrim": ("'a'", "'a '"),
        "real": ("1", "1.5"),
        "blob": ("x'00'", "x'0000'", "'a'"),
        "decimal": ("'1.0'", "'1.1'", "'abc'"),
    },
}
MADE_FIRST = (
    "CREATE TYPE captured_mood AS ENUM ('sad', 'Sad')",
    "CREATE TYPE captured_pair AS (number integer, name text)",
)


class Raw(models.Field):  # type: ignore[type-arg]
    """A column of any type."""

    def __init__(self, sql: str = "", **options: Any) -> None:
        self.sql = sql
        super().__init__(**options)

    def db_type(self, connection: Any) -> str:
        return self.sql


@pytest.fixture
def columns() -> Iterator[dict[str, tuple[str, ...]]]:
    """The values of each column of a table with triggers, which has one row."""
    types = TYPES[connection.vendor]
    with isolate_apps("tests.capture"), connection.cursor() as cursor:
        fields = {f"column{number}": Raw(sql, null=True) for number, sql in enumerate(types)}
        meta = type("Meta", (), {"app_label": "capture", "db_table": "captured_types"})
        model: Any = type("Types", (models.Model,), {"__module__": __name__, "Meta": meta, **fields})
        before = MADE_FIRST if connection.vendor == "postgresql" else ()
        for statement in (*before, _definition(fields)):
            cursor.execute(statement, None)
        try:
            _install(model)
            cursor.execute("INSERT INTO captured_types (id) VALUES (1)")
            entries()
            yield dict(zip(fields, types.values(), strict=True))
        finally:
            cursor.execute("DROP TABLE captured_types")
            _remove_function(model)
            for statement in before:
                cursor.execute(f"DROP {' '.join(statement.split()[1:3])}")


def _definition(fields: dict[str, Raw]) -> str:
    columns = ", ".join(f"{name} {field.sql}" for name, field in fields.items())
    return f"CREATE TABLE captured_types (id integer PRIMARY KEY, {columns})"


def _install(model: type[models.Model]) -> None:
    backend, table = triggers_for(connection), model._meta.db_table
    target = Target(
        label=model._meta.label,
        table=table,
        content_type=ContentType.objects.get_for_model(Unique).pk,
        key=tuple(model._meta.pk_fields),
        columns=tuple(field for field in model._meta.concrete_fields if not field.primary_key),
        shape=backend.shapes([table])[table],
    )
    backend.exchange(backend.compile(target), (), 5)


def _remove_function(model: type[models.Model]) -> None:
    """PostgreSQL's, which a table leaves behind."""
    backend = triggers_for(connection)
    stem = Target("", model._meta.db_table, None, ()).stem
    backend.exchange((), [one for one in backend.installed() if one.stem.startswith(stem)], 5)


def test_every_change_is_seen(columns: dict[str, tuple[str, ...]]) -> None:
    wrong = []
    with connection.cursor() as cursor:
        for column, values in columns.items():
            for value in (*values, "NULL", values[0]):
                for expected in ([("1", CHANGE, column)], []):
                    cursor.execute(f"UPDATE captured_types SET {column} = {value}", None)
                    found = brief()
                    if found != expected:
                        wrong.append((column, value, found))
    assert wrong == []
    assert not ChangeLog.objects.exists()
