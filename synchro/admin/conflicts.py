"""Conflicts: both rows side by side, and the action that takes the other one."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from synchro.admin.base import ModelFilter, ReadOnlyAdmin
from synchro.admin.links import object_link
from synchro.models import Conflict
from synchro.resolve import NotTaken, Resolution, take_all
from synchro.views.access import may_resolve


@admin.register(Conflict)
class ConflictAdmin(ReadOnlyAdmin):
    actions = ("take_the_other_side",)
    change_form_template = "admin/synchro/conflict/change_form.html"
    list_display = ("id", "when", "decision", "model_name", "linked_object", "field_names", "peer")
    list_filter = ("decision", ModelFilter)
    list_select_related = ("peer",)
    fields = ("id", "when", "decision", "model_name", "linked_object", "peer", "batch")

    @admin.display(description=gettext_lazy("date"))
    def when(self, conflict: Conflict) -> str:
        return date_format(conflict.date, "Y-m-d H:i:s")

    @admin.display(description=gettext_lazy("object"))
    def linked_object(self, conflict: Conflict) -> str:
        return object_link(conflict.content_type_id, conflict.object_id)

    def has_resolve_permission(self, request: HttpRequest) -> bool:
        return may_resolve(request)

    @admin.action(description=gettext_lazy("Take the other side"), permissions=["resolve"])
    def take_the_other_side(self, request: HttpRequest, queryset: QuerySet[Conflict]) -> None:
        conflicts = list(queryset.select_related("peer").order_by("id"))
        taken, refused = take_all(conflicts)
        if taken:
            words = ngettext(
                "The other side was taken of %(count)d conflict. The next run brings it to every REMOTE.",
                "The other side was taken of %(count)d conflicts. The next run brings it to every REMOTE.",
                taken,
            )
            messages.success(request, words % {"count": taken})
        for text in refused:
            messages.error(request, text)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        conflict: Any = self.get_object(request, object_id)
        if conflict is None:
            return super().change_view(request, object_id, form_url, extra_context)
        if not self.has_view_permission(request, conflict):
            raise PermissionDenied
        if request.method == "POST" and "side" in request.POST:
            return self._take(request, conflict)
        resolution = Resolution(conflict)
        context = {
            **(extra_context or {}),
            "conflict": conflict,
            "resolution": resolution,
            "sides": [(side, _side_in_words(conflict, side)) for side in resolution.others],
            "may_resolve": may_resolve(request),
        }
        return super().change_view(request, object_id, form_url, context)

    def _take(self, request: HttpRequest, conflict: Conflict) -> HttpResponse:
        if not may_resolve(request):
            raise PermissionDenied
        side = request.POST.get("side", "")
        try:
            Resolution(conflict).take(side, request.POST.get("state", ""))
        except NotTaken as error:
            messages.error(request, str(error))
        else:
            words = _("LOCAL has these values now. The next run brings them to every REMOTE.")
            messages.success(request, words)
            _note(request, conflict, side)
        return redirect("admin:synchro_conflict_change", conflict.pk)


def _side_in_words(conflict: Conflict, side: str) -> str:
    if side == Conflict.LOCAL:
        return _("Take LOCAL's side")
    return _("Take the side of %(alias)s") % {"alias": conflict.peer.alias}


def _note(request: HttpRequest, conflict: Model, side: str) -> None:
    """Keep who has done it, in the admin's own history of the conflict."""
    LogEntry.objects.log_actions(
        request.user.pk or 0, type(conflict)._default_manager.filter(pk=conflict.pk), CHANGE, f"take: {side}"
    )
