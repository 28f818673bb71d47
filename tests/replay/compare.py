"""
Whether LOCAL and REMOTE hold the same rows.

Every row of LOCAL's watched tables is found on REMOTE by what says that two rows are one (the key, a
reference, the natural key), and then compared column by column.

It asks the databases only through Django, and shares no code with the replayer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import connections, models
from django.db.models import AutoField, BooleanField, ExpressionWrapper, Field, JSONField, Model, Q

from synchro.keys import from_text
from synchro.models import Baseline, Node, Reference
from synchro.registry import watched_models
from tests.flush import filled_tables
from tests.replay.pairs import pairs_of

LOCAL, REMOTE = "default", "remote"
JSON_NULL = "JSON null"

Row = dict[str, Any]


def assert_same_rows(*model_classes: type[Model]) -> None:
    """LOCAL's and REMOTE's rows of these models (of all watched ones where none is named) are the same."""
    found = differences(model_classes or watched_models())
    assert not found, "\n" + "\n".join(found)


def differences(model_classes: Iterable[type[Model]]) -> list[str]:
    """In words, each difference between LOCAL and REMOTE."""
    comparison = Comparison()
    return [line for model in model_classes for line in comparison.of(model)]


def rows_of(model: type[Model], alias: str) -> dict[Any, Row]:
    """All rows of the table of `model` by key, as they are in the database."""
    flags = {
        f"{field.attname}_is_null": ExpressionWrapper(Q(**{f"{field.attname}__isnull": True}), BooleanField())
        for field in model._meta.local_concrete_fields
        if isinstance(field, JSONField)
    }
    names = [field.attname for field in model._meta.local_concrete_fields]
    found: dict[Any, Row] = {}
    rows = model._base_manager.using(alias).order_by("pk").annotate(**flags)
    for row in rows.values(*names, *flags):
        plain = {name: _plain(row[name]) for name in names}
        for flag in flags:
            name = flag.removesuffix("_is_null")
            if plain[name] is None and not row[flag]:
                plain[name] = JSON_NULL
        found[key_of(model, plain)] = plain
    return found


def key_of(model: type[Model], row: Row) -> Any:
    values = tuple(row[field.attname] for field in key_fields(model))
    return values[0] if len(values) == 1 else values


def key_fields(model: type[Model]) -> Sequence[Field[Any, Any]]:
    if model._meta.auto_created:
        return [field for field in model._meta.local_fields if field.remote_field is not None]
    return list(model._meta.pk_fields)


def _plain(value: Any) -> Any:
    if isinstance(value, memoryview):
        return bytes(value)
    # so that -0.0 is not 0.0
    return (value, math.copysign(1, value)) if isinstance(value, float) else value


class Comparison:
    """Both sides at one moment; each table that has rows is read once."""

    def __init__(self) -> None:
        self.rows: dict[tuple[type[Model], str], dict[Any, Row]] = {}
        tables = {model._meta.db_table for model in apps.get_models(include_auto_created=True)}
        self.filled = {alias: filled_tables(alias, tables) for alias in (LOCAL, REMOTE)}
        self.pairs: dict[type[Model], dict[Any, Any]] = {}
        self.peer = (
            Node.objects.using(REMOTE).values_list("uuid", flat=True).first() if self._has_nodes() else None
        )

    def _has_nodes(self) -> bool:
        return Node._meta.db_table in connections[REMOTE].introspection.table_names()

    def read(self, model: type[Model], alias: str) -> dict[Any, Row]:
        if (model, alias) not in self.rows:
            has_rows = model._meta.db_table in self.filled[alias]
            self.rows[model, alias] = rows_of(model, alias) if has_rows else {}
        return self.rows[model, alias]

    # -- which rows belong together -------------------------------------------------------------------------

    def remote_keys(self, model: type[Model]) -> dict[Any, Any]:
        """LOCAL's key to REMOTE's, for every row of LOCAL that has a counterpart."""
        model = model._meta.concrete_model or model
        if model not in self.pairs:
            self.pairs[model] = {}  # for rows of a natural key that leads back here
            self.pairs[model] = self._pair(model)
        return self.pairs[model]

    def _pair(self, model: type[Model]) -> dict[Any, Any]:
        local, remote = self.read(model, LOCAL), self.read(model, REMOTE)
        fields = key_fields(model)
        if not isinstance(fields[0], AutoField) or fields[0].has_default():
            translated = {key: self._translated_key(model, row) for key, row in local.items()}
            return {key: other for key, other in translated.items() if other in remote}
        if model is not Permission and self._identity(model) == "pk":
            return {key: key for key in local if key in remote}
        pairs = {
            key: other for key, other in self._references(model).items() if key in local and other in remote
        }
        if hasattr(model, "natural_key"):
            by_name = {name: key for key, name in self._natural_keys(model, REMOTE).items()}
            for key, name in self._natural_keys(model, LOCAL).items():
                if key not in pairs and name in by_name:
                    pairs[key] = by_name[name]
        named = self._natural_names(model)
        if named:
            fields_named = [model._meta.get_field(name) for name in named]
            by_values = {tuple(row[f.attname] for f in fields_named): key for key, row in remote.items()}
            for key, row in local.items():
                values = tuple(self.translate(f, row[f.attname]) for f in fields_named)
                if key not in pairs and values in by_values:
                    pairs[key] = by_values[values]
        highest = self._baseline(model)
        if highest:
            pairs |= {key: key for key in local if key not in pairs and key <= highest and key in remote}
        return pairs

    def _identity(self, model: type[Model]) -> str | None:
        """As the settings say; permissions are known by their names whatever these say."""
        return getattr(model, "SYNCHRO_IDENTITY", getattr(settings, "SYNCHRO_IDENTITY", None))

    def _natural_names(self, model: type[Model]) -> Sequence[str]:
        """As the settings give it to a model that has no methods for it."""
        options = getattr(settings, "SYNCHRO_MODEL_OPTIONS", {})
        return options.get(model._meta.label, {}).get("NATURAL_KEY", ())  # type: ignore[no-any-return]

    def _translated_key(self, model: type[Model], row: Row) -> Any:
        values = tuple(self.translate(field, row[field.attname]) for field in key_fields(model))
        return values[0] if len(values) == 1 else values

    def _references(self, model: type[Model]) -> dict[Any, Any]:
        content_type = ContentType.objects.db_manager(LOCAL).get_for_model(model)
        found = Reference.objects.using(LOCAL).filter(content_type=content_type)
        if self.peer is not None:
            found = found.filter(Q(peer__uuid=self.peer) | Q(peer=None))
        shown: Any = model._meta.pk.to_python  # type: ignore[union-attr]  # a spicy key is read as its id
        return {
            shown(from_text(model, str(own))): shown(from_text(model, str(other)))
            for own, other in pairs_of(found)
        }

    def _natural_keys(self, model: type[Model], alias: str) -> dict[Any, Any]:
        rows = model._base_manager.using(alias).all()
        if model is Permission:
            rows = rows.select_related("content_type")  # of the hundreds that there are each asks for its own
        return {row.pk: row.natural_key() for row in rows}  # type: ignore[attr-defined]

    def _baseline(self, model: type[Model]) -> int:
        content_type = ContentType.objects.db_manager(LOCAL).get_for_model(model)
        found = Baseline.objects.using(LOCAL).filter(content_type=content_type, node=self.peer)
        return found.values_list("highest", flat=True).first() or 0

    # -- what a value of LOCAL means on REMOTE --------------------------------------------------------------

    def translate(self, field: Field[Any, Any], value: Any) -> Any:
        """A value of `field` as REMOTE must hold it; a text that says why where it cannot."""
        if value is None or field.remote_field is None:
            return value
        target: Field[Any, Any] = field.target_field
        if target.model is ContentType:
            return self._content_type(value)
        model = target.model
        if target.primary_key:
            return self.remote_keys(model).get(value, f"the counterpart of {model._meta.label} {value}")
        keys = [key for key, row in self.read(model, LOCAL).items() if row[target.attname] == value]
        (key,) = keys or [None]
        other = self.remote_keys(model).get(key)
        if other is None:
            return f"the counterpart of {model._meta.label} with {target.attname} {value}"
        return self.read(model, REMOTE)[other][target.attname]

    def _content_type(self, key: int) -> int:
        known = ContentType.objects.db_manager(LOCAL).get_for_id(key)
        return ContentType.objects.db_manager(REMOTE).get_by_natural_key(*known.natural_key()).pk

    def _generic(self, relation: GenericForeignKey, row: Row, there: Any) -> Any:
        """The value that the object id of a generic foreign key must have on REMOTE."""
        model_meta = relation.model._meta
        kind_name = model_meta.get_field(relation.ct_field).attname  # type: ignore[union-attr]
        kind, value = row[kind_name], row[relation.fk_field]
        if kind is None or value is None:
            return value
        model = ContentType.objects.db_manager(LOCAL).get_for_id(kind).model_class()
        assert model is not None
        key = model._meta.pk.to_python(value)  # type: ignore[union-attr]
        if key not in self.read(model, LOCAL):  # points nowhere: it may do so by another key
            leads_somewhere = model._meta.pk.to_python(there) in self.read(model, REMOTE)  # type: ignore[union-attr]
            return "nowhere" if leads_somewhere else there
        missing = f"the counterpart of {model._meta.label} {key}"
        other = self.remote_keys(model).get(key, missing)
        return type(value)(other) if other is not missing else other

    # -- the comparison itself ------------------------------------------------------------------------------

    def of(self, model: type[Model]) -> list[str]:
        local, remote = self.read(model, LOCAL), self.read(model, REMOTE)
        if not local and not remote:
            return []
        pairs = self.remote_keys(model)
        label = model._meta.label
        lines = [f"{label} {key!r}: is not on REMOTE: {local[key]}" for key in local if key not in pairs]
        taken: dict[Any, Any] = {}
        for key, other in pairs.items():
            if other in taken:
                lines.append(f"{label} {key!r} and {taken[other]!r}: are one row, {other!r}, on REMOTE")
            taken[other] = key
            lines += self._columns(model, key, local[key], remote[other])
        lines += [
            f"{label}: only REMOTE has {other!r}: {remote[other]}" for other in remote if other not in taken
        ]
        return lines

    def _columns(self, model: type[Model], key: Any, local: Row, remote: Row) -> list[str]:
        expected = {field.attname: self.translate(field, local[field.attname]) for field in _compared(model)}
        for relation in model._meta.private_fields:
            if isinstance(relation, GenericForeignKey) and relation.fk_field in expected:
                expected[relation.fk_field] = self._generic(relation, local, remote[relation.fk_field])
        return [
            f"{model._meta.label} {key!r}: {name} should be {value!r:.200} and is {remote[name]!r:.200}"
            for name, value in expected.items()
            if not _equal(value, remote[name])
        ]


def _compared(model: type[Model]) -> list[Field[Any, Any]]:
    """All columns but automatic keys, which differ, and those that are not to be synchronized."""
    skipped = getattr(model, "SYNCHRO_SKIP", ())
    return [
        field
        for field in model._meta.local_concrete_fields
        if field.name not in skipped and not (isinstance(field, models.AutoField) and field.primary_key)
    ]


def _equal(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)
