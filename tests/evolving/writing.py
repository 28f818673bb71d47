"""Random writes to whatever models there are, by the ways in which applications write."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any

from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field, Model

from synchro.keys import key_fields

LOCAL = "default"
#: So that no two values are equal, whatever becomes unique later.
_numbers = count(1)


class Writing:
    """Writes to LOCAL; with `past_django` also by ways that send no signals."""

    def __init__(self, chance: random.Random, past_django: bool) -> None:
        self.chance, self.past_django = chance, past_django

    def write(self, all_models: Sequence[type[Model]], times: int) -> None:
        for _ in range(times):
            model = self.chance.choice(all_models)
            ways = [self.add, self.add, self.change_one, self.change_one, self.delete_one, self.change_set]
            if self.past_django:
                ways += [self.update_all, self.add_several, self.change_by_sql, self.change_by_a_client]
            self.chance.choice(ways)(model)

    def some(self, model: type[Model]) -> list[Model]:
        rows = list(model._base_manager.order_by("pk"))
        return self.chance.sample(rows, self.chance.randint(0, min(3, len(rows))))

    # -- ways ------------------------------------------------------------------------------------------------------

    def add(self, model: type[Model]) -> None:
        row = self._new(model)
        if row is not None:
            row.save(force_insert=True)

    def add_several(self, model: type[Model]) -> None:
        if not _ends(model):
            rows = [row for row in (self._new(model), self._new(model)) if row is not None]
            model._base_manager.bulk_create(rows)

    def change_one(self, model: type[Model]) -> None:
        for row in self.some(model)[:1]:
            self.change(row)

    def delete_one(self, model: type[Model]) -> None:
        for row in self.some(model)[:1]:
            row.delete()

    def update_all(self, model: type[Model]) -> None:
        fields = [field for field in self._columns(model) if isinstance(field, models.IntegerField)]
        if fields:
            field = self.chance.choice(fields)
            model._base_manager.update(**{field.name: models.F(field.name) + 1})

    def change_set(self, model: type[Model]) -> None:
        sets = [f for f in model._meta.local_many_to_many if f.remote_field.through._meta.auto_created]  # type: ignore[attr-defined]
        for row in self.some(model)[:1]:
            for field in sets:
                others = self.some(field.related_model)  # type: ignore[arg-type]
                manager = getattr(row, field.name)
                way = self.chance.choice(["add", "add", "set", "remove", "clear"])
                if way == "clear":
                    manager.clear()
                elif way == "set":
                    manager.set(others)
                else:
                    getattr(manager, way)(*others)

    def change_by_sql(self, model: type[Model]) -> None:
        self._change_by(model, connections[LOCAL])

    def change_by_a_client(self, model: type[Model]) -> None:
        other = connections[LOCAL].copy()
        try:
            self._change_by(model, other)
        finally:
            other.close()

    def _change_by(self, model: type[Model], connection: BaseDatabaseWrapper) -> None:
        """Give some columns of one row other values, or delete a row that nothing points at, past Django."""
        columns = [f for f in self._columns(model) if isinstance(f, models.CharField | models.IntegerField)]
        quote = connection.ops.quote_name
        for row in self.some(model)[:1] if columns else ():
            field, key = self.chance.choice(columns), model._meta.pk
            with connection.cursor() as cursor:
                cursor.execute(
                    f"UPDATE {quote(model._meta.db_table)} SET {quote(str(field.column))} = %s "
                    f"WHERE {quote(str(key.column))} = %s",
                    [self.value(field), row.pk],
                )

    # -- rows ------------------------------------------------------------------------------------------------------

    def change(self, row: Model, relations: bool = True) -> None:
        columns = [f for f in self._columns(type(row)) if relations or f.remote_field is None]
        columns = [f for f in columns if f not in _ends(type(row))]
        if columns:
            self.set(row, self.chance.sample(columns, self.chance.randint(1, len(columns))))

    def set(self, row: Model, columns: Iterable[Field[Any, Any]]) -> None:
        values = {field.attname: self.value(field) for field in columns}
        for name, value in values.items():
            setattr(row, name, value)
        way = self.chance.choice(["save", "named", "update"] if self.past_django else ["save", "named"])
        if not values:
            return
        if way == "save":
            row.save()
        elif way == "named":
            row.save(update_fields=[field.name for field in columns])
        else:
            type(row)._base_manager.filter(pk=row.pk).update(**values)

    def _new(self, model: type[Model]) -> Model | None:
        own = [f for f in model._meta.local_concrete_fields if not isinstance(f, models.AutoField)]
        values = {field.attname: self.value(field) for field in own}
        pair = {field.attname: values[field.attname] for field in _ends(model)}
        if pair and (None in pair.values() or model._base_manager.filter(**pair).exists()):
            return None
        return model(**values)

    def _columns(self, model: type[Model]) -> list[Field[Any, Any]]:
        return [f for f in model._meta.local_concrete_fields if f not in key_fields.__wrapped__(model)]

    def value(self, field: Field[Any, Any]) -> Any:
        if field.remote_field is not None:
            keys = list(field.related_model._base_manager.order_by("pk").values_list("pk", flat=True))  # type: ignore[union-attr]
            return self.chance.choice(keys) if keys and self.chance.random() < 0.8 else None
        number = next(_numbers)
        return number if isinstance(field, models.IntegerField) else f"v{number}"


def _ends(model: type[Model]) -> list[Field[Any, Any]]:
    """The foreign keys of a model that was the table of a many-to-many field; they cannot be empty."""
    return [
        field
        for field in model._meta.local_concrete_fields
        if field.remote_field is not None and not field.null
    ]
