"""
Lookups that differ from Django's.

Text lookups: what is searched for is an id, not the digits of the column.

Django's own would compare with the decimal digits of the integer, so the admin's search for ``usr_8M0kX``
would find nothing and one for ``12`` the wrong rows. Here each of them finds the row whose id is exactly the
text, and no row for any other text: what is typed into a search box is no error.
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db.models import Field, lookups
from django.db.models.sql.compiler import SQLCompiler

from django_spicy_id.errors import MalformedSpicyIdError, SpicyIdQueryError

NAMES = (
    *("iexact", "contains", "icontains", "startswith", "istartswith", "endswith", "iendswith"),
    *("regex", "iregex"),
)


class TextLookup(lookups.Exact):
    """`exact` that takes whatever is no id for an id that no row has."""

    def get_prep_lookup(self) -> Any:
        try:
            return super().get_prep_lookup()
        except MalformedSpicyIdError:
            return ""  # not an integer, which tells `as_sql`

    def as_sql(self, compiler: SQLCompiler, _connection: Any) -> Any:
        if isinstance(self.rhs, str):
            raise EmptyResultSet
        # A lookup that has the name of a text lookup would have its column cast to text on PostgreSQL.
        return compiler.compile(lookups.Exact(self.lhs, self.rhs))


class IdRange(lookups.Range):
    """Django's, but a range without two ends is refused where the others are, and not while SQL is made."""

    def get_prep_lookup(self) -> Any:
        ends: Any = super().get_prep_lookup()
        if not hasattr(ends, "resolve_expression") and len(ends) != 2:
            raise SpicyIdQueryError(f"a range of ids has two ends, not {len(ends)}")
        return ends


def register(field_class: type[Field[Any, Any]]) -> None:
    """Give `field_class` the lookups."""
    field_class.register_lookup(IdRange)
    for name in NAMES:
        field_class.register_lookup(type(f"Spicy{name.title()}", (TextLookup,), {"lookup_name": name}))
