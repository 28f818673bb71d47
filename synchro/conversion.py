"""Conversion of the identity of a model's rows towards a REMOTE, where no row can be doubled or overwritten by it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import F, Max, Model, Sum
from django.utils.translation import gettext as _

from synchro.conf import LOCAL
from synchro.exceptions import NotReady
from synchro.keys import key_fields, normalize
from synchro.models import Baseline, ModelIdentity, Reference
from synchro.pending import all_pending
from synchro.replay.handshake import handshake
from synchro.replay.identity.references import references
from synchro.replay.identity.setting import Difference, differences
from synchro.replay.session import Database, Databases, Session, reachable, run_lock

#: How many keys one statement names.
AT_ONCE = 1000


def convert_identities(alias: str) -> list[Difference]:
    """
    Convert what differs between the settings and the rows of the REMOTE `alias`; return what was converted.

    Raises `NotReady`, before anything is converted, where changes are still pending towards it, and where a model's
    rows cannot be converted.
    """
    databases = Databases(Database(alias))
    ContentType.objects.clear_cache()  # either database may have been replaced by a copy
    with reachable(databases), run_lock(databases):
        session = handshake(databases)
        found = list(differences([session.peer]))
        if found and (pending := next((one for one in all_pending() if one.alias == alias and one), None)):
            raise NotReady(
                _(
                    "Changes are pending (%(pending)s). Set SYNCHRO_IDENTITY back, run “manage.py synchronize”, "
                    "and convert while nobody writes."
                )
                % {"pending": pending}
            )
        with transaction.atomic(using=LOCAL):
            for difference in found:
                {"reference": _to_references, "pk": _to_same_keys}[difference.now](session, difference.model)
                ModelIdentity.objects.using(LOCAL).filter(
                    peer_id=session.peer.pk, content_type_id=session.local.content_type_id(difference.model)
                ).update(identity=difference.now)
    return found


def _to_references(session: Session, model: type[Model]) -> None:
    """
    Note that the rows which both databases have now are the same under the same keys.

    Of keys beyond the lower of both highest ones, only one database can have a row.
    """
    if session.peer.uuid is None:
        raise NotReady(
            _(
                "The database “%(alias)s” has no synchro tables, so it cannot be noted that %(model)s has the same "
                "keys there. Add synchro to its INSTALLED_APPS and migrate it, or keep “pk”."
            )
            % {"alias": session.remote.alias, "model": model._meta.label}
        )
    highest = min(_highest(database, model) for database in session.both())
    Baseline.objects.using(LOCAL).update_or_create(
        node=session.peer.uuid,
        content_type_id=session.local.content_type_id(model),
        defaults={"highest": highest},
    )


def _highest(database: Database, model: type[Model]) -> int:
    return int(model._base_manager.using(database.alias).aggregate(highest=Max("pk"))["highest"] or 0)


def _to_same_keys(session: Session, model: type[Model]) -> None:
    """Refuse where a row has another key on REMOTE, or where REMOTE has another row under a key of LOCAL."""
    rows = Reference.objects.using(LOCAL).filter(
        peer_id=session.peer.pk, content_type_id=session.local.content_type_id(model)
    )
    differ = rows.exclude(local_object_id=F("remote_object_id"))
    moved = differ.aggregate(moved=Sum("length"))["moved"] or 0
    others = sum(
        model._base_manager.using(session.remote.alias).filter(pk__in=part).count()
        for part in _unknown_keys(session, model)
    )
    if moved or others:
        raise NotReady(
            _(
                "%(model)s keeps “reference”: %(moved)d of its rows have other keys in the database “%(alias)s”, and "
                "%(others)d keys of LOCAL belong to rows there that are not known to be the same. With “pk” these "
                "would be overwritten."
            )
            % {
                "model": model._meta.label,
                "moved": moved,
                "others": others,
                "alias": session.remote.alias,
            }
        )


def _unknown_keys(session: Session, model: type[Model]) -> Iterator[list[Any]]:
    """Yield, some at a time, LOCAL's keys of rows that neither a reference nor the baseline knows on REMOTE."""
    known = references(session.local, session.peer.pk, model)
    rows = model._base_manager.using(LOCAL).filter(pk__gt=session.baselines.get(model, 0)).order_by("pk")
    for part in _parts(rows.values_list("pk", flat=True).iterator(chunk_size=AT_ONCE)):
        keys = [normalize(key_fields(model)[0], key) for key in part]
        found = known.find(keys)
        yield [key for key in keys if key not in found]


def _parts(keys: Iterator[Any]) -> Iterator[list[Any]]:
    while part := list(islice(keys, AT_ONCE)):
        yield part
