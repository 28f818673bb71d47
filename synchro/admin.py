"""Lists of the log, the references and the conflicts, to be read only, however long they are."""

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
from synchro.models import ChangeLog, Conflict, Reference, Reset, Run, SetAside, content_type_name
from synchro.references import containing
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

    actions = None
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


@admin.register(ChangeLog)
class ChangeLogAdmin(ReadOnlyAdmin):
    list_display = ("id", "date", "action", "model_name", "object_id", "field_names")
    list_filter = ("action", ModelFilter)
    fields = ("id", "date", "action", "model_name", "object_id", "field_names", "natural_key")


@admin.register(Reference)
class ReferenceAdmin(ReadOnlyAdmin):
    list_display = ("id", "model_name", "local_object_id", "peer", "remote_object_id", "length", "batch")
    list_select_related = ("peer",)
    fields = ("id", "model_name", "local_object_id", "peer", "remote_object_id", "length", "batch")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find the ranges that have the key, too."""
        term = search_term.strip()
        if not term:
            return queryset, False
        is_key = term.removeprefix("-").isdecimal() and len(term) < 19
        return (queryset.filter(containing(int(term))) if is_key else queryset.none()), False


@admin.register(Conflict)
class ConflictAdmin(ReadOnlyAdmin):
    list_display = ("id", "date", "decision", "model_name", "object_id", "field_names", "peer")
    list_filter = ("decision", ModelFilter)
    list_select_related = ("peer",)
    fields = (
        "id", "date", "decision", "model_name", "object_id", "field_names", "peer", "batch",
        "local_date", "local_values", "remote_date", "remote_values",
    )  # fmt: skip


@admin.register(SetAside)
class SetAsideAdmin(ReadOnlyAdmin):
    """Which objects and why, but none of their values."""

    list_display = ("id", "date", "model_name", "object_id", "cause", "peer")
    list_filter = ("waits", ModelFilter)
    list_select_related = ("peer",)
    fields = ("id", "date", "model_name", "object_id", "cause", "waits", "changed", "peer", "batch")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).filter(is_over=False)


@admin.register(Reset)
class ResetAdmin(ReadOnlyAdmin):
    searched = ("by",)
    search_help_text = _("The name of a person")
    list_display = ("id", "date", "by", "forgotten")
    list_filter = ()
    fields = ("id", "date", "by", "forgotten", "former", "current")


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    searched = ("by",)
    search_help_text = _("The name of a person")
    list_display = ("id", "begun", "alias", "outcome", "entries", "batches", "conflicts", "quarantined", "by")
    list_filter = ("outcome",)
    fields = (
        "id", "alias", "by", "begun", "ended", "outcome", "entries", "batches", "conflicts", "quarantined", "rows",
        "message",
    )  # fmt: skip
