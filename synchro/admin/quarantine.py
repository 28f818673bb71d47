"""Quarantine: what REMOTE refuses and why; to be tried again, or to be discarded."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.contrib.admin.models import DELETION, LogEntry
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from synchro import jobs
from synchro.admin.base import ModelFilter, ReadOnlyAdmin
from synchro.admin.links import object_link
from synchro.discard import discard
from synchro.exceptions import SynchroError
from synchro.models import Job, SetAside
from synchro.views.access import may_discard, may_synchronize

#: How many changes are named on the page that asks.
NAMED = 50
#: How many are sent back from there one by one.
MOST_SENT = 500


@admin.register(SetAside)
class SetAsideAdmin(ReadOnlyAdmin):
    """Which objects and why, but none of their values."""

    actions = ("retry", "discard_changes")
    list_display = ("id", "date", "model_name", "linked_object", "cause", "peer")
    list_filter = ("waits", ModelFilter)
    list_select_related = ("peer",)
    fields = ("id", "date", "model_name", "linked_object", "cause", "waits", "changed", "peer", "batch")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).filter(is_over=False)

    @admin.display(description=gettext_lazy("object"))
    def linked_object(self, row: SetAside) -> str:
        return object_link(row.content_type_id, row.object_id)

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return may_synchronize(request)

    def has_discard_permission(self, request: HttpRequest) -> bool:
        return may_discard(request)

    @admin.action(description=gettext_lazy("Retry the selected changes"), permissions=["retry"])
    def retry(self, request: HttpRequest, queryset: QuerySet[SetAside]) -> HttpResponse | None:
        chosen: dict[str, list[tuple[int, str]]] = {}
        for row in queryset.select_related("peer"):
            chosen.setdefault(row.peer.alias, []).append((row.content_type_id, row.object_id))
        started = False
        for alias, names in chosen.items():
            try:
                jobs.start(Job.RETRY, alias, by=request.user.get_username(), chosen=names)
                started = True
            except SynchroError as error:
                messages.error(request, str(error))
        return redirect("synchro:synchro") if started else None

    @admin.action(description=gettext_lazy("Discard the selected changes"), permissions=["discard"])
    def discard_changes(self, request: HttpRequest, queryset: QuerySet[SetAside]) -> HttpResponse | None:
        upto = request.POST.get("upto", "")
        if (
            upto.isdecimal()
        ):  # what has come to quarantine since the question was asked, nobody has decided about
            queryset = queryset.filter(pk__lte=int(upto))
        rows = list(queryset.select_related("peer").order_by("id"))
        if request.POST.get("confirmed") != "yes":
            return self._ask(request, rows)
        try:
            count = discard(rows, by=request.user.get_username())
        except SynchroError as error:
            messages.error(request, str(error))
            return None
        LogEntry.objects.log_actions(request.user.pk, rows, DELETION, "")  # type: ignore[arg-type]
        words = ngettext(
            "%(count)d change was discarded. A comparison will name the row that REMOTE lacks or has otherwise.",
            "%(count)d changes were discarded. A comparison will name the rows that REMOTE lacks or has otherwise.",
            count,
        )
        messages.success(request, words % {"count": count})
        return None

    def _ask(self, request: HttpRequest, rows: list[SetAside]) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": _("Discard changes in quarantine"),
            "opts": self.opts,
            "rows": rows,
            "question": _("What will not be sent to %(remotes)s any more (%(count)d):")
            % {"count": len(rows), "remotes": ", ".join(sorted({row.peer.alias for row in rows}))},
            "named": rows[:NAMED],
            "more": max(0, len(rows) - NAMED),
            "upto": rows[-1].pk if rows else 0,
            # A form may have no more fields than so many; of more rows, the list finds them again.
            "sent": rows if len(rows) <= MOST_SENT else rows[:1],
            "is_across": len(rows) > MOST_SENT,
            "checkbox": helpers.ACTION_CHECKBOX_NAME,
        }
        return TemplateResponse(request, "admin/synchro/setaside/discard.html", context)
