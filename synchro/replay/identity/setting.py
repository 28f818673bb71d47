"""
The setting ``SYNCHRO_IDENTITY``, which is remembered for each model and REMOTE.

After a change from "pk" to "reference", REMOTE's rows would not be recognized and would be doubled. After one from
"reference" to "pk", a row of LOCAL would overwrite another one that has its key on REMOTE. `synchro.conversion`
converts what can be converted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from django.contrib.contenttypes.models import ContentType
from django.db.models import F, Model
from django.utils.translation import gettext as _

from synchro.conf import LOCAL
from synchro.exceptions import NotReady
from synchro.keys import is_automatic, key_fields
from synchro.models import ModelIdentity, Peer, Reference
from synchro.registry import watched_models
from synchro.replay.identity.models import keeps_references, uses_same_key
from synchro.replay.session import Session


@dataclass(frozen=True)
class Difference:
    """A model whose rows on a REMOTE were identified in another way than the setting says now."""

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

    Return None for a model whose key the database does not hand out, or whose natural key always counts.
    """
    if keeps_references(model):
        return "reference"
    fields = key_fields(model)
    return "pk" if len(fields) == 1 and is_automatic(fields[0]) and uses_same_key(model) else None


def differences(peers: Iterable[Peer] | None = None) -> Iterator[Difference]:
    """Yield the differences towards these peers, or all peers, by one statement to LOCAL."""
    rows = ModelIdentity.objects.using(LOCAL).select_related("peer").order_by("id")
    if peers is not None:
        rows = rows.filter(peer__in=peers)
    identities = _identities()
    for row in rows.annotate(
        synchro_app=F("content_type__app_label"), synchro_model=F("content_type__model")
    ):
        model, now = identities.get((row.synchro_app, row.synchro_model), (None, None))
        if model is not None and now is not None and now != row.identity:
            yield Difference(model, row.peer, row.identity, now)


def _identities() -> dict[tuple[str, str], tuple[type[Model], str]]:
    """Return the watched models whose identity the setting decides, by the names of their content types."""
    return {
        (model._meta.app_label, str(model._meta.model_name)): (model, identity)
        for model in watched_models()
        if (identity := identity_of(model)) is not None
    }


def remember_identities(session: Session) -> None:
    """
    Note how each model's rows are identified towards this REMOTE, at its first run.

    Raises `NotReady` where another identity was noted before.
    """
    wanted = _identities()
    noted = ModelIdentity.objects.using(LOCAL).filter(peer_id=session.peer.pk)
    known = {
        (app, name): identity
        for app, name, identity in noted.values_list(
            "content_type__app_label", "content_type__model", "identity"
        )
    }
    new = {name: found for name, found in wanted.items() if name not in known}
    if new:
        types = ContentType.objects.db_manager(LOCAL).get_for_models(*(model for model, _now in new.values()))
        _note(session, {types[model].pk: identity for model, identity in new.values()})
    if new or any(identity != wanted[name][1] for name, identity in known.items() if name in wanted):
        for difference in differences([session.peer]):
            raise NotReady(str(difference))


def _note(session: Session, new: dict[int, str]) -> None:
    """Write these down; where an earlier version made references, rows were identified by them."""
    referenced = set(
        Reference.objects.using(LOCAL)
        .filter(peer_id=session.peer.pk, content_type_id__in=new)
        .order_by()
        .values_list("content_type_id", flat=True)
        .distinct()
    )
    ModelIdentity.objects.using(LOCAL).bulk_create(
        [
            ModelIdentity(
                peer_id=session.peer.pk,
                content_type_id=content_type,
                identity="reference" if content_type in referenced else identity,
            )
            for content_type, identity in new.items()
        ],
        batch_size=500,
        ignore_conflicts=True,
    )
