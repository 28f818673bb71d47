"""The page “Synchronization” of any object of a watched model, linked from its page in the admin."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import NoReverseMatch, path, reverse

from synchro.registry import is_watched
from synchro.views.access import may_look
from synchro.views.objects import object_page

if TYPE_CHECKING:
    Base = admin.ModelAdmin[Any]
else:
    Base = object

TEMPLATE = "admin/synchro/object_change_form.html"


class SynchronizationMixin(Base):
    """
    A page “Synchronization” for each object: whether every REMOTE has it, since when, and under which key.

    Put it before `ModelAdmin`. A class with a `change_form_template` of its own keeps it, and includes
    ``admin/synchro/object_link.html`` in its block ``object-tools-items``.
    """

    change_form_template = TEMPLATE

    def get_urls(self) -> list[Any]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_synchronization"
        own = path(
            "<path:object_id>/synchronization/",
            self.admin_site.admin_view(self.synchronization_view),
            name=name,
        )
        return [own, *super().get_urls()]

    def render_change_form(
        self,
        request: HttpRequest,
        context: Any,
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Model | None = None,
    ) -> HttpResponse:
        if obj is not None and is_watched(type(obj)) and may_look(request):
            opts = self.opts
            name = f"{self.admin_site.name}:{opts.app_label}_{opts.model_name}_synchronization"
            # Where the site's urls were made before it had the page, there is no link.
            with suppress(NoReverseMatch):
                context["synchronization_url"] = reverse(name, args=(quote(obj.pk),))
        return super().render_change_form(request, context, add, change, form_url, obj)

    def synchronization_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Say where the object is, to whoever may see it."""
        found = self.get_object(request, unquote(object_id))
        if found is None or not is_watched(type(found)):
            raise Http404
        if not (may_look(request) and self.has_view_permission(request, found)):
            raise PermissionDenied
        return object_page(request, self, found)


def add_synchronization(site: admin.AdminSite | None = None) -> None:
    """
    Give the page to all watched models that an admin site knows by now: call it in ``urls.py``.

    A class with a `change_form_template` of its own gets the page, and no link to it.
    """
    for model, model_admin in (site or admin.site)._registry.items():
        if is_watched(model) and not isinstance(model_admin, SynchronizationMixin):
            _extend(model_admin)


def _extend(model_admin: admin.ModelAdmin[Any]) -> None:
    kind = type(model_admin)
    mixed = type(kind.__name__, (SynchronizationMixin, kind), {"__module__": kind.__module__})
    own = model_admin.change_form_template
    if own is not None:
        mixed.change_form_template = own  # type: ignore[attr-defined]
    model_admin.__class__ = mixed
