"""System check: no database may compare texts without case where they are ids that differ in case only."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any, Final

from django.apps import AppConfig, apps
from django.core.checks import CheckMessage, Warning
from django.db import connections, models, router
from django.db.utils import Error as DatabaseError

from django_spicy_id.checks import spicy_fields

#: The engines whose texts are equal when they differ in case only, unless the collation of the column says otherwise.
VENDORS: Final = frozenset({"mysql"})
#: Columns with keys as text, besides those of generic foreign keys.
KEYS_AS_TEXT: Final = (("admin", "logentry", "object_id"), ("auditlog", "logentry", "object_pk"))
COLLATION: Final = """
SELECT collation_name FROM information_schema.columns
WHERE table_schema = DATABASE() AND table_name = %s AND column_name = %s
"""

if TYPE_CHECKING:
    Text = models.CharField[Any, Any] | models.TextField[Any, Any]


def check_letter_case(
    app_configs: Collection[AppConfig] | None = None,
    databases: Collection[str] | None = None,
    **_kwargs: Any,
) -> list[CheckMessage]:
    """
    Return a warning for each text column that takes ids of different rows for the same.

    The databases in `databases` are asked for the collations of their columns. Without any, what can be said
    without a connection is: a column without a collation of its own has that of the server, which mostly has no case.
    """
    aliases = [alias for alias in databases or connections if connections[alias].vendor in VENDORS]
    if not aliases:
        return []
    ours = [
        field for field in spicy_fields(apps) if field.primary_key and _differs_in_case(field.codec.alphabet)
    ]
    if not ours:
        return []
    messages: list[CheckMessage] = []
    for alias in aliases:
        for column in texts_of_keys():
            model = column.model
            is_asked_for = app_configs is None or model._meta.app_config in app_configs
            if is_asked_for and router.allow_migrate_model(alias, model):
                collation, is_known = _collation(column, alias, is_asked=bool(databases))
                if not is_known or (collation or "").endswith("_ci"):
                    messages.append(_warning(column, alias, ours, collation, is_known))
    return messages


def texts_of_keys() -> Iterator[Text]:
    """Yield each text column of the project's models that holds keys of rows of any model, once."""
    seen = set()
    for model in apps.get_models(include_auto_created=True):
        names = [
            field.fk_field  # of a generic foreign key, or of what is like one
            for field in model._meta.private_fields
            if hasattr(field, "fk_field") and hasattr(field, "ct_field")
        ]
        place = model._meta.app_label, model._meta.model_name
        names += [name for *label, name in KEYS_AS_TEXT if tuple(label) == place]
        fields = {field.name: field for field in model._meta.fields}
        for name in names:
            field = fields.get(name)
            if isinstance(field, models.CharField | models.TextField):
                column = field.model._meta.db_table, field.column
                if column not in seen:
                    seen.add(column)
                    yield field


def _differs_in_case(alphabet: str) -> bool:
    return len(set(alphabet.lower())) < len(alphabet)


def _collation(column: Text, alias: str, is_asked: bool) -> tuple[str | None, bool]:
    """Return the collation of a column, and whether it is known: a table that is not there yet gets it by default."""
    declared = getattr(column, "db_collation", None)
    if declared or not is_asked:
        return declared, bool(declared)
    connection = connections[alias]
    try:
        with connection.cursor() as cursor:
            cursor.execute(COLLATION, [column.model._meta.db_table, column.column])
            row = cursor.fetchone()
            if row is None:
                cursor.execute("SELECT @@collation_database")
                row = cursor.fetchone()
    except DatabaseError:  # it is for other checks to say that there is no connection
        return None, False
    return row[0], True


def _warning(
    column: Text, alias: str, ours: list[Any], collation: str | None, is_known: bool
) -> CheckMessage:
    label = f"{column.model._meta.label}.{column.name}"
    first = f"{ours[0].model._meta.label}.{ours[0].name}"
    ids = first if len(ours) == 1 else f"{first} and of {len(ours) - 1} more"
    digit = next(digit for digit in ours[0].codec.alphabet if digit.isupper())
    examples = [
        ours[0].codec.encode(ours[0].codec.alphabet.index(letter))
        for letter in (digit, digit.lower())
        if letter in ours[0].codec.alphabet
    ]
    compares = (
        f"compares the texts of {label} without case ({collation})"
        if is_known
        else (f"compares the texts of {label} without case, unless its collation says otherwise")
    )
    cure = (
        "Give these keys encoding=ENCODING_BASE_32 or ENCODING_HEX, which changes their ids, or that column of table "
        f"{column.model._meta.db_table} the collation utf8mb4_bin, in a migration of yours with RunSQL."
    )
    ask = f" To ask the database, run: manage.py check --database {alias}"
    return Warning(
        f"The database {alias!r} {compares}. It holds ids of {ids} that differ in case only, such as "
        f"{' and '.join(map(repr, examples))}: what is kept for one row, a permission for example, counts for another.",
        hint=cure if is_known else cure + ask,
        obj=column,
        id="spicy_id.W003" if is_known else "spicy_id.W004",
    )
