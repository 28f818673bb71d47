"""The references, the runs, the resets and the jobs."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from synchro.admin.base import AnyModelAdmin, ReadOnlyAdmin
from synchro.models import Dashboard, Job, Reference, Reset, Run
from synchro.references import containing
from synchro.views.access import may_see


@admin.register(Dashboard)
class DashboardAdmin(AnyModelAdmin):
    """On the admin's index, a link to the dashboard."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return may_see(request) and _has_page()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        return redirect("synchro:synchro")

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseRedirect:
        return redirect("synchro:synchro")


def _has_page() -> bool:
    """Return whether the project's urls have synchro's."""
    try:
        reverse("synchro:synchro")
    except NoReverseMatch:
        return False
    return True


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
        "id", "alias", "by", "begun", "ended", "outcome", "entries", "batches", "conflicts", "quarantined", "lag",
        "per_model", "message",
    )  # fmt: skip

    @admin.display(description=_("rows"))
    def per_model(self, run: Run) -> SafeString:
        return format_html_join("\n", "<p>{}</p>", ((line,) for line in rows_in_words(run)))


def rows_in_words(run: Run) -> list[str]:
    """Return what a run wrote of each model, a line each."""
    words = _(
        "%(model)s: %(added)s added, %(changed)s changed, %(deleted)s deleted, %(kept)s kept as REMOTE has them"
    )
    names = ("added", "changed", "deleted", "kept")
    return [
        str(words) % {"model": model, **dict(zip(names, numbers, strict=True))}
        for model, numbers in json.loads(run.rows).items()
    ]


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    """The jobs; each has its page on the dashboard."""

    searched = ("by",)
    search_help_text = _("The name of a person")
    list_display = ("id", "asked", "kind", "alias", "state", "by")
    list_filter = ("kind", "state")
    fields = ("id", "kind", "alias", "by", "asked", "begun", "ended", "state", "message")

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if request.method == "GET" and may_see(request) and _has_page() and object_id.isdecimal():
            return redirect("synchro:job", object_id)
        return super().change_view(request, object_id, form_url, extra_context)
