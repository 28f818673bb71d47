"""Read rows as they are now, in bulk."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from django.contrib.contenttypes.fields import GenericForeignKey
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.utils.translation import gettext as _

from synchro.conf import LOCAL
from synchro.keys import AnyField, Key, column_field, is_text, key_fields, normalize
from synchro.registry import Table
from synchro.replay.columns import Codec, spelt_alike
from synchro.replay.session import Database, Session
from synchro.replay.unreadable import (
    CannotRead,
    Faults,
    is_about_the_server,
    refuse_unreadable,
    refuse_unreadable_on_remote,
    unreadable_columns,
)


def encode_keys(model: type[Model], keys: Iterable[Key], database: Database) -> Sequence[Sequence[Any]]:
    """Keys as the driver of `database` takes them, one list of values each."""
    fields = key_fields(model)
    return Codec(fields, database.connection).encode_all(
        [(key,) if len(fields) == 1 else key for key in keys]
    )


def key_columns(model: type[Model]) -> list[str]:
    return [field.column for field in key_fields(model)]


def as_key(values: Sequence[Any]) -> Key:
    return values[0] if len(values) == 1 else tuple(values)


def as_values(key: Key) -> tuple[Any, ...]:
    return key if isinstance(key, tuple) else (key,)


def select(
    database: Database,
    model: type[Model],
    fields: Sequence[AnyField],
    by: Sequence[AnyField],
    values: Sequence[Sequence[Any]],
    lock: bool = False,
) -> list[Sequence[Any]]:
    """
    The `fields` of the rows of `model` on `database` in which the columns of `by` have one of these `values`.

    Raises `CannotRead` where a value is none that can be read as it is.
    """
    if not values:
        return []
    codec = Codec(fields, database.connection)
    try:
        rows = database.backend.select(
            model._meta.db_table,
            [field.column for field in fields],
            [field.column for field in by],
            _that_can_be(database, by, values),
            lock,
            spelled=codec.spelled,
        )
        return codec.decode_all(rows)
    except Exception as error:
        if is_about_the_server(database.backend, error):
            raise
        raise CannotRead(model, database.alias, error) from error


def _that_can_be(
    database: Database, fields: Sequence[AnyField], values: Sequence[Sequence[Any]]
) -> Sequence[Sequence[Any]]:
    """Values as the driver of `database` takes them, without those that its columns cannot hold: no row has them."""
    codec = Codec(fields, database.connection)
    try:
        rows = codec.encode_all(values)
    except (ValueError, TypeError, ArithmeticError):
        rows = [row for value in values for row in _encoded(codec, value)]
    return database.backend.findable(rows)


def _encoded(codec: Codec, value: Sequence[Any]) -> Sequence[Sequence[Any]]:
    try:
        return codec.encode_all([value])
    except (ValueError, TypeError, ArithmeticError):
        return ()


def real_spellings(
    database: Database, model: type[Model], field: AnyField, values: Collection[Any]
) -> dict[Any, str]:
    """
    How these texts are spelled in the unique column `field` of `model`, for those that it spells otherwise.

    One statement, as long as there are none.
    """
    if not values or not is_text(field) or not database.backend.equates_texts(column_field(field)):
        return {}

    def stored(texts: Collection[Any]) -> set[str]:
        return {text for (text,) in select(database, model, [field], [field], [(text,) for text in texts])}

    return spellings(values, stored)


class Rows:
    """LOCAL's rows that the batch has to do with."""

    def __init__(
        self, database: Database, in_bulk: Collection[type[Model]] = (), *, refuses: bool = True
    ) -> None:
        self._database = database
        #: Whether a row of REMOTE that cannot be read ends the run.
        self._refuses = refuses
        #: Models whose rows go to REMOTE in bulk, so that no more of them is read here than is asked for.
        self._in_bulk = in_bulk
        #: Rows of which some values cannot be read, and are None in what is found. Such rows of LOCAL go nowhere.
        self.unreadable: dict[type[Model], dict[Key, Faults]] = {}
        self._found: dict[type[Model], dict[Key, Sequence[Any]]] = {}
        self._asked: dict[type[Model], set[Key]] = {}

    def present(self, model: type[Model], keys: Collection[Key]) -> Collection[Key]:
        """Return which of these rows LOCAL has."""
        found = self.peek(model, keys, ())
        return self.load(model, keys) if found is None else found

    def peek(
        self, model: type[Model], keys: Collection[Key], fields: Sequence[AnyField]
    ) -> dict[Key, tuple[Any, ...]] | None:
        """
        Return these columns of the rows of a model that goes in bulk, by key; None where the rows are to be loaded: of
        other models, of rows that are loaded already, and where a value cannot be read or names a row.
        """
        is_loaded = not self._asked.get(model, set()).isdisjoint(keys)
        if model not in self._in_bulk or is_loaded or any(field.remote_field is not None for field in fields):
            return None
        own = key_fields(model)
        try:
            rows = select(self._database, model, [*own, *fields], own, list(map(as_values, keys)))
        except CannotRead:
            return None
        return {as_key(row[: len(own)]): tuple(row[len(own) :]) for row in rows}

    def load(self, model: type[Model], keys: Collection[Key]) -> dict[Key, Sequence[Any]]:
        """The rows of `model` by key, in the order of its table's fields; keys that LOCAL lacks are left out."""
        asked = self._asked.setdefault(model, set())
        found = self._found.setdefault(model, {})
        new = [key for key in keys if key not in asked]
        if new:
            asked.update(new)
            fields, key = Table(model).fields, key_fields(model)
            places = [fields.index(field) for field in key]
            rows: Sequence[Sequence[Any]]
            try:
                rows = select(self._database, model, fields, key, list(map(as_values, new)))
            except CannotRead:
                rows = self._what_can_be_read(model, new)
            rows = self._spelled_as_targets(model, fields, rows)
            if len(places) == 1:
                (place,) = places
                found.update({row[place]: row for row in rows})
            else:
                found.update({tuple([row[place] for place in places]): row for row in rows})
        return {key: found[key] for key in keys if key in found}

    def _what_can_be_read(self, model: type[Model], keys: Sequence[Key]) -> list[Sequence[Any]]:
        """The rows with these keys, and None for each value that cannot be read; `unreadable` says which they are."""
        database, fields, own = self._database, Table(model).fields, key_fields(model)

        def read(names: Sequence[AnyField], some: Sequence[Key]) -> list[Sequence[Any]]:
            return select(database, model, names, own, list(map(as_values, some)))

        faults = unreadable_columns(read, fields, keys)
        if database.alias != LOCAL and self._refuses:
            refuse_unreadable_on_remote(model, database.alias, faults)
        rows = read(fields, [key for key in keys if key not in faults])
        for key, several in faults.items():
            bad = {field for field, _cause in several}
            if not bad.isdisjoint(own):
                refuse_unreadable(model, faults, [key])
            names = [field for field in fields if field not in bad]
            for row in read(names, [key]):
                values = dict(zip(names, row, strict=True))
                rows.append([values.get(field) for field in fields])
        self.unreadable.setdefault(model, {}).update(faults)
        return rows

    def _spelled_as_targets(
        self, model: type[Model], fields: Sequence[AnyField], rows: Sequence[Sequence[Any]]
    ) -> Sequence[Sequence[Any]]:
        """The rows of LOCAL, in which foreign keys are spelled as what they point at."""
        own = key_fields(model)
        for place, field in enumerate(fields):
            if field.remote_field is None or field in own or self._database.alias != LOCAL or not rows:
                continue
            target, column = field.related_model._meta.concrete_model, field.target_field
            if column.remote_field is None:
                values = {row[place] for row in rows} - {None}
                if pairs := real_spellings(self._database, target, column, values):
                    rows = [
                        [*row[:place], pairs.get(row[place], row[place]), *row[place + 1 :]] for row in rows
                    ]
        return rows

    def unreadable_fields(self, model: type[Model], key: Key) -> set[AnyField]:
        """The columns of a row that was loaded whose values are not known."""
        return {field for field, _cause in self.unreadable.get(model, {}).get(key, ())}

    def forget(self, model: type[Model], keys: Iterable[Key]) -> None:
        for key in keys:
            self._found.get(model, {}).pop(key, None)

    def empty(self, model: type[Model], key: Key, field: AnyField) -> None:
        """Have a row, which is known as values, point nowhere by this foreign key."""
        row = list(self._found[model][key])
        row[Table(model).fields.index(field)] = None
        self._found[model][key] = row


def spellings(values: Collection[Any], stored: Callable[[Collection[Any]], set[str]]) -> dict[Any, str]:
    """How a column spells these texts, where it does so otherwise; `stored` asks it for those that equal some texts."""
    equal = stored(values)
    missing = [value for value in values if value not in equal]
    if not equal or not missing:
        return {}
    strays = equal.difference(values)
    folded = {fold(text) for text in equal}
    found: dict[Any, str] = {}
    # Only the server knows which texts it takes for equal; first those that most collations do.
    for value in sorted(missing, key=lambda value: fold(value) not in folded):
        if fold(value) in folded or strays.difference(found.values()):
            for text in stored([value]):
                found[value] = text
    return found


def fold(text: str) -> str:
    """The text without case, accents and blanks at its end, as most collations compare it."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in letters if not unicodedata.combining(letter)).rstrip()


def generic_targets(
    session: Session, model: type[Model], generic: GenericForeignKey, loaded: Iterable[Sequence[Any]]
) -> dict[type[Model], dict[Any, Key]]:
    """The keys, by model, that the rows' generic foreign key names, each under the value that it has in the row."""
    places = generic_places(model, generic)
    if places is None:
        return {}
    found: dict[type[Model], dict[Any, Key]] = {}
    for row in loaded:
        type_id, value = row[places[0]], row[places[1]]
        target = session.local.model_of(type_id) if type_id is not None and value is not None else None
        if target is None:
            continue
        model_key = key_fields(target)
        if len(model_key) == 1:
            try:
                found.setdefault(target, {})[value] = normalize(model_key[0], value)
            except (ValidationError, ValueError, TypeError, ArithmeticError):
                session.warn(
                    _(
                        "%(model)s.%(field)s names a key that %(target)s cannot have. Correct such rows on LOCAL."
                    )
                    % {
                        "model": model._meta.label,
                        "field": generic.name,
                        "target": target._meta.label,
                    }
                )
    return found


def generic_places(model: type[Model], generic: GenericForeignKey) -> tuple[int, int] | None:
    """Where the two columns of a generic foreign key stand in the rows; None where one is not synchronized."""
    fields = Table(model).fields
    type_field, key_field = model._meta.get_field(generic.ct_field), model._meta.get_field(generic.fk_field)
    if type_field not in fields or key_field not in fields:
        return None
    return fields.index(type_field), fields.index(key_field)


def generic_value(field: AnyField, target: type[Model], key: Key, local_value: Any, session: Session) -> Any:
    """REMOTE's `key` as the column of a generic foreign key holds it, spelt as LOCAL spells its own (`local_value`)."""
    return spelt_alike(field, target, key, local_value, session.remote.connection)


__all__ = [
    "Rows",
    "as_key",
    "as_values",
    "encode_keys",
    "generic_places",
    "generic_targets",
    "generic_value",
    "key_columns",
    "real_spellings",
    "select",
    "spellings",
]
