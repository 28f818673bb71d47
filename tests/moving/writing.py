"""What the data migrations of this app write, and how each of its migrations is made."""

from __future__ import annotations

from typing import Any

from django.db import migrations

#: What was written, by each step of a migration: (table of which model, key, action).
written: list[tuple[str, str, int]] = []


def write(apps: Any, schema_editor: Any, relations: bool = True) -> None:
    alias = schema_editor.connection.alias
    models = {model.__name__: model for model in apps.get_app_config("moving").get_models()}
    item, thing = models.get("Item") or models["Product"], models["Thing"]
    rows, things = item.objects.using(alias), thing.objects.using(alias)
    number = 1 + (rows.order_by("-pk").values_list("pk", flat=True).first() or 0)
    made = rows.create(name=f"name {number}")
    note("item", made.pk, 1)
    rows.filter(pk=made.pk).update(name=f"changed {number}")
    note("item", made.pk, 2)
    code = f"t{number}"
    new = things.create(pk=code)
    note("thing", code, 1)
    things.filter(pk=code).update(name="x")
    note("thing", code, 2)
    if relations:
        gone = rows.create(name="gone")
        note("item", gone.pk, 1)
        note("item", gone.pk, 3)
        gone.delete()
        label = models["Label"].objects.using(alias).create(name="x")
        marks = made.labels if hasattr(made, "labels") else made.marks
        marks.add(label)
        note("item_labels", f"[{made.pk},{label.pk}]", 1)
        marks.remove(label)
        note("item_labels", f"[{made.pk},{label.pk}]", 3)
        part = models["Part"].objects.using(alias).create(thing=new)
        note("part", part.pk, 1)


def write_before(apps: Any, schema_editor: Any) -> None:
    """Without rows that have foreign keys: PostgreSQL alters no table with constraints yet to check."""
    write(apps, schema_editor, relations=False)


def note(table: str, key: Any, action: int) -> None:
    written.append((table, str(key), action))


def between(*operations: Any) -> list[Any]:
    before, after = (migrations.RunPython(code, migrations.RunPython.noop) for code in (write_before, write))
    return [before, *operations, after]
