"""Lists that are to be read only, however long they are."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, cast

from django.contrib import admin
from django.contrib.contenttypes.models import ContentType
from django.core.paginator import Paginator
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from synchro.conf import LOCAL
from synchro.models import content_type_name
from synchro.registry import watched_models

if TYPE_CHECKING:
    AnyPaginator = Paginator[Any]
    AnyModelAdmin = admin.ModelAdmin[Any]
else:  # these are generic for the type checker only
    AnyPaginator = Paginator
    AnyModelAdmin = admin.ModelAdmin


class CappedPaginator(AnyPaginator):
    """
    Counts no further than the newest rows that a person would page through.

    To count the rows of a log takes as long as reading it, and so does the way to its last page.
    """

    cap = 10_000

    @cached_property
    def count(self) -> int:
        return min(self._found, self.cap)

    @property
    def is_capped(self) -> bool:
        return self._found > self.cap

    @cached_property
    def _found(self) -> int:
        rows = cast("QuerySet[Any]", self.object_list)
        return rows.order_by()[: self.cap + 1].count()


class ModelFilter(admin.SimpleListFilter):
    """By model, offering the watched ones only."""

    title = _("model")
    parameter_name = "model"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, str]]:
        types = ContentType.objects.db_manager(LOCAL).get_for_models(*watched_models())
        return sorted(
            ((str(found.pk), str(found)) for found in types.values()), key=lambda choice: choice[1].casefold()
        )

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return queryset.filter(content_type_id=value) if value and value.isdecimal() else queryset


class ReadOnlyAdmin(AnyModelAdmin):
    #: What is looked for, as it is: there are no indexes for anything but equality, and not for that either.
    searched: ClassVar[tuple[str, ...]] = ("object_id",)

    actions: Any = None
    list_filter: ClassVar[tuple[Any, ...]] = (ModelFilter,)
    ordering = ("-id",)
    paginator = CappedPaginator
    search_fields = ("id",)
    search_help_text = _("The whole key of an object")
    show_facets = admin.ShowFacets.NEVER
    show_full_result_count = False
    sortable_by = ()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        return queryset.filter(Q(*((name, term) for name in self.searched), _connector=Q.OR)), False

    @admin.display(description=_("model"))
    def model_name(self, obj: Any) -> str:
        return content_type_name(obj.content_type_id)

    @admin.display(description=_("fields"), empty_value="")
    def field_names(self, obj: Any) -> str | None:
        return None if obj.fields is None else ", ".join(obj.fields)
