"""Whether both databases hold the same: every row, with all its columns, whatever its key is on each side."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.db.models import Model

from desk.models import Branch, Note
from world.models import Country, Currency, Language, Subdivision

#: What identifies the row, and those that it points at, in both databases.
COLUMNS: dict[type[Model], tuple[str, ...]] = {
    Currency: ("code", "numeric", "name"),
    Language: ("code", "name", "scope", "kind"),
    Country: ("code", "alpha_3", "numeric", "name", "flag"),
    Country.currencies.through: ("country__code", "currency__code"),
    Subdivision: ("code", "name", "kind", "country__code", "parent__code"),
    Branch: ("name", "staff", "place__code"),
    Branch.languages.through: ("branch__name", "language__code"),
}


def differences() -> tuple[int, list[str]]:
    """How many rows were compared, and in words which of them only one side has."""
    count, lines = 0, []
    for model in (*COLUMNS, Note):
        local, remote = rows(model, "default"), rows(model, "remote")
        count += local.total()
        lines += [f"only in this database: {model.__name__} {row}" for row in (local - remote).elements()]
        lines += [f"only in the other one: {model.__name__} {row}" for row in (remote - local).elements()]
    return count, lines


def rows(model: type[Model], alias: str) -> Counter[tuple[Any, ...]]:
    if model is Note:
        notes = Note.objects.using(alias).prefetch_related("target")
        return Counter(
            (note.text, note.written, type(note.target).__name__, str(note.target)) for note in notes
        )
    return Counter(model._default_manager.using(alias).values_list(*COLUMNS[model]))
