"""The log: what was changed, where each change is by now, and the way to its object."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.formats import localize
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from synchro.admin.base import ModelFilter, ReadOnlyAdmin
from synchro.admin.links import object_link
from synchro.arrivals import Arrivals, Standing, batch_of, deliveries
from synchro.conf import conf
from synchro.models import ChangeLog

ARRIVED, PENDING = "arrived", "pending"


class StateFilter(admin.SimpleListFilter):
    """By whether a REMOTE has the entry."""

    title = gettext_lazy("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, str]]:
        words = {PENDING: _("pending for %(alias)s"), ARRIVED: _("arrived at %(alias)s")}
        return [
            (f"{state}:{alias}", text % {"alias": alias})
            for alias in conf.remotes
            for state, text in words.items()
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        state, _colon, alias = (self.value() or "").partition(":")
        if alias not in conf.remotes or state not in (ARRIVED, PENDING):
            return queryset
        arrivals = Arrivals((alias,))
        return queryset.filter(arrivals.pending() if state == PENDING else arrivals.arrived())


class EntryList(ChangeList):
    """The list, which looks once at what is pending for all entries of a page."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        arrivals = Arrivals()
        self.result_list: Any = list(self.result_list)
        for entry in self.result_list:
            entry.arrivals = arrivals


@admin.register(ChangeLog)
class ChangeLogAdmin(ReadOnlyAdmin):
    list_display = ("id", "date", "action", "model_name", "linked_object", "field_names", "state")
    list_filter: ClassVar[tuple[Any, ...]] = (
        "action",
        ModelFilter,
        StateFilter,
        ("date", admin.DateFieldListFilter),
    )
    fields = (
        "id", "date", "action", "model_name", "linked_object", "field_names", "member_keys", "natural_key", "state",
        "in_batch", "origin", "made",
    )  # fmt: skip

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return EntryList

    @admin.display(description=gettext_lazy("object"))
    def linked_object(self, entry: ChangeLog) -> str:
        return object_link(entry.content_type_id, entry.object_id)

    @admin.display(description=gettext_lazy("members"), empty_value="-")
    def member_keys(self, entry: ChangeLog) -> str | None:
        return None if entry.members is None else ", ".join(map(str, json.loads(entry.members)))

    @admin.display(description=gettext_lazy("state"), empty_value="")
    def state(self, entry: ChangeLog) -> SafeString:
        arrivals: Arrivals = getattr(entry, "arrivals", None) or Arrivals()
        return standings_in_words(arrivals.of(entry))

    @admin.display(description=gettext_lazy("batch"))
    def in_batch(self, entry: ChangeLog) -> SafeString | str:
        batch = batch_of(entry.pk)
        if batch is None:
            return _("in none yet, or not known any more")
        lines = [_("%(number)d, formed %(date)s") % {"number": batch.number, "date": localize(batch.formed)}]
        for delivery in deliveries(batch, Arrivals().of(entry)):
            if delivery.by is not None:
                lines.append(
                    _("arrived at %(alias)s by %(date)s")
                    % {"alias": delivery.alias, "date": localize(delivery.by)}
                )
        return format_html_join("", "<p>{}</p>", ((line,) for line in lines))


def standings_in_words(standings: list[Standing]) -> SafeString:
    """Return where an entry is, a line for each REMOTE; their names are left out where there is one."""
    return format_html_join(
        "", '<span class="synchro-state synchro-{}">{}{}</span>',
        ((_kind(one), f"{one.alias}: " if len(standings) > 1 else "", in_words(one)) for one in standings),
    )  # fmt: skip


def _kind(standing: Standing) -> str:
    return "refused" if standing.is_quarantined else "arrived" if standing.has_arrived else "pending"


def in_words(standing: Standing) -> str:
    """Return where an entry is towards one REMOTE."""
    if standing.is_quarantined:
        return _("in quarantine")
    if standing.has_arrived:
        return _("arrived")
    if standing.batch is not None:
        return _("pending in batch %(number)d") % {"number": standing.batch}
    return _("pending")
