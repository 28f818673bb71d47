"""
``SYNCHRO_IDENTITY`` of a model towards a REMOTE is remembered: another one means other rows.

From "pk" to "reference" REMOTE's rows would not be recognized, and be doubled; from "reference" to "pk" a row of LOCAL
would overwrite another one that has its key on REMOTE. `synchro.replay.identity_change` converts what can be converted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from django.db.models import Model
from django.utils.translation import gettext as _

from synchro.conf import LOCAL
from synchro.exceptions import NotReady
from synchro.keys import is_automatic, key_fields
from synchro.models import ModelIdentity, Peer, Reference
from synchro.registry import watched_models
from synchro.replay.identify import keeps_references, uses_same_key
from synchro.replay.link import Link, Side


@dataclass(frozen=True)
class Difference:
    """A model whose setting is another one than its rows at a REMOTE were identified by."""

    model: type[Model]
    peer: Peer
    was: str
    now: str

    def __str__(self) -> str:
        return _(
            "SYNCHRO_IDENTITY of %(model)s is “%(now)s” now, but its rows in the database “%(alias)s” were identified "
            "by “%(was)s”. With another identity they would be doubled or overwritten. Set it back to “%(was)s”, or "
            "run “manage.py synchro_identity”, which converts them where that is possible."
        ) % {"model": self.model._meta.label, "now": self.now, "was": self.was, "alias": self.peer}


def identity_of(model: type[Model]) -> str | None:
    """
    Return how rows of `model` are identified where the setting decides it: "pk" or "reference".

    None for a model whose key the database does not hand out, or whose natural key always counts.
    """
    if keeps_references(model):
        return "reference"
    fields = key_fields(model)
    return "pk" if len(fields) == 1 and is_automatic(fields[0]) and uses_same_key(model) else None


def differences(peers: Iterable[Peer] | None = None) -> Iterator[Difference]:
    """Return what differs towards these peers, or all; only LOCAL is asked."""
    local = Side(LOCAL)
    rows = ModelIdentity.objects.using(LOCAL).select_related("peer").order_by("id")
    if peers is not None:
        rows = rows.filter(peer__in=peers)
    watched = set(watched_models())
    for row in rows:
        model = local.model_of(row.content_type_id)
        now = identity_of(model) if model in watched and model is not None else None
        if model is not None and now is not None and now != row.identity:
            yield Difference(model, row.peer, row.identity, now)


def remember_identities(link: Link) -> None:
    """
    Note how each model's rows are identified towards this REMOTE, at its first run.

    Raises `NotReady` where another identity was noted before.
    """
    known = set(
        ModelIdentity.objects.using(LOCAL)
        .filter(peer_id=link.peer.pk)
        .values_list("content_type_id", flat=True)
    )
    new = {
        link.local.content_type_id(model): identity
        for model in watched_models()
        if (identity := identity_of(model)) is not None and link.local.content_type_id(model) not in known
    }
    if new:
        _note(link, new)
    for difference in differences([link.peer]) if known or new else ():
        raise NotReady(str(difference))


def _note(link: Link, new: dict[int, str]) -> None:
    """References that an earlier version made say how rows were identified, whatever the setting is now."""
    referenced = set(
        Reference.objects.using(LOCAL)
        .filter(peer_id=link.peer.pk, content_type_id__in=new)
        .order_by()
        .values_list("content_type_id", flat=True)
        .distinct()
    )
    ModelIdentity.objects.using(LOCAL).bulk_create(
        [
            ModelIdentity(
                peer_id=link.peer.pk,
                content_type_id=content_type,
                identity="reference" if content_type in referenced else identity,
            )
            for content_type, identity in new.items()
        ],
        batch_size=500,
        ignore_conflicts=True,
    )
