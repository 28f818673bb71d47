"""Where one object is: whether each REMOTE has it, since when, under which key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.db import DatabaseError
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from synchro.arrivals import Arrivals, Delivery, Standing, batch_of, deliveries
from synchro.conf import LOCAL, conf
from synchro.describe import text_of
from synchro.exceptions import SynchroError
from synchro.keys import Key, from_text
from synchro.models import ChangeLog, Checkpoint, Conflict, SetAside
from synchro.pending import checkpoints_by_alias
from synchro.registry import same_key_children
from synchro.replay.handshake import look_at
from synchro.replay.identity.models import keeps_references
from synchro.replay.identity.references import references
from synchro.replay.log.quarantined import quarantined_for
from synchro.replay.rows import Rows
from synchro.replay.session import Database, Databases, own_settings, reachable
from synchro.verify.expected import compare_rows

#: How many of the newest entries of the log are looked through, which has no index by object; how many are shown.
LOOKED_THROUGH, SHOWN = 1_000_000, 20


@dataclass(frozen=True)
class Place:
    """What is known of an object towards one REMOTE."""

    alias: str
    #: `arrived`, `pending`, `refused`, or `unknown` where no entry of it is left and nothing else tells.
    state: str
    #: Why REMOTE refuses it.
    cause: str
    #: The key that its row has there, as text; None where that is not known.
    key: str | None
    delivery: Delivery | None
    #: What a comparison said that was asked for: `equal`, `different`, `missing`, or a sentence.
    compared: str = ""


def object_page(request: HttpRequest, model_admin: admin.ModelAdmin[Any], found: Model) -> HttpResponse:
    """Return the page about an object; a POST compares its row with every REMOTE's at this moment."""
    model: type[Model] = type(found)._meta.concrete_model or type(found)
    text = text_of(model, found) or ""
    entries, is_limited = entries_of(model, text)
    arrivals = Arrivals()
    for entry in entries:
        entry.standings = arrivals.of(entry)  # type: ignore[attr-defined]
    opts = model_admin.opts
    context = {
        **model_admin.admin_site.each_context(request),
        "title": _("Synchronization"),
        "subtitle": str(found),
        "opts": opts,
        "object": found,
        "places": list(_places(model, text, entries, compares=request.method == "POST")),
        "entries": entries,
        "is_limited": is_limited,
        "several": len(conf.remotes) > 1,
        "looked_through": LOOKED_THROUGH,
        "conflicts": _conflicts(model, text),
    }
    return TemplateResponse(request, "admin/synchro/object.html", context)


def entries_of(model: type[Model], text: str) -> tuple[list[ChangeLog], bool]:
    """Return the newest entries of an object, and whether older ones were not looked for."""
    local = Database(LOCAL)
    types = [local.content_type_id(each) for each in (model, *same_key_children(model))]
    log = ChangeLog.objects.using(LOCAL)
    newest = log.order_by("-id").values_list("id", flat=True).first() or 0
    first = max(0, newest - LOOKED_THROUGH)
    found = log.filter(id__gt=first, content_type_id__in=types, object_id=text).order_by("-id")[:SHOWN]
    return list(found), log.filter(id__lte=first).exists()


def _places(model: type[Model], text: str, entries: list[ChangeLog], *, compares: bool) -> Iterator[Place]:
    checkpoints = checkpoints_by_alias()
    newest = entries[0] if entries else None
    standings: dict[str, Standing] = {one.alias: one for one in getattr(newest, "standings", ())}
    batch = batch_of(newest.pk) if newest is not None else None
    for alias in conf.remotes:
        checkpoint, standing = checkpoints.get(alias), standings.get(alias)
        refused = _refused(checkpoint, model, text)
        came = next(deliveries(batch, [standing]), None) if batch and standing else None
        yield Place(
            alias=alias,
            state=_state(refused, standing),
            cause=refused.cause if refused else "",
            key=_key_there(checkpoint, model, text),
            delivery=came if came and came.by else None,
            compared=_compared(alias, model, text) if compares else "",
        )


def _state(refused: SetAside | None, standing: Standing | None) -> str:
    if refused is not None:
        return "refused"
    if standing is None:
        return "unknown"
    return "arrived" if standing.has_arrived else "pending"


def _refused(checkpoint: Checkpoint | None, model: type[Model], text: str) -> SetAside | None:
    if checkpoint is None:
        return None
    kind = Database(LOCAL).content_type_id(model)
    return quarantined_for(checkpoint).filter(content_type_id=kind, object_id=text).order_by("-id").first()


def _key_there(checkpoint: Checkpoint | None, model: type[Model], text: str) -> str | None:
    if not keeps_references(model):
        return text
    if checkpoint is None:
        return None
    if not text.removeprefix("-").isdecimal():
        return None  # no key of this model
    known = references(Database(LOCAL), checkpoint.peer_id, model).find([int(text)])
    return next(map(str, known.values()), None)


def _conflicts(model: type[Model], text: str) -> list[Conflict]:
    kind = Database(LOCAL).content_type_id(model)
    found = Conflict.objects.using(LOCAL).filter(content_type_id=kind, object_id=text).order_by("-id")
    return list(found.select_related("peer")[:SHOWN])


def _compared(alias: str, model: type[Model], text: str) -> str:
    """Return what a look at both rows says, at this moment."""
    databases = Databases(Database(alias))
    key: Key = from_text(model, text)
    try:
        with reachable(databases), own_settings(databases):
            session = look_at(databases)
            _rows, found = compare_rows(session, model, [key], Rows(session.local), Rows(session.remote))
    except SynchroError as error:
        return str(error)
    except DatabaseError as error:
        return type(error).__name__
    if not found:
        return _("Both rows are equal at this moment.")
    difference = found[0]
    if difference.remote_key is None:
        return _("REMOTE does not have the row at this moment.")
    return _("The rows differ at this moment, in: %(names)s.") % {
        "names": ", ".join(difference.fields) or "-"
    }
