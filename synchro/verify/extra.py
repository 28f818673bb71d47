"""Rows that REMOTE alone has."""

from __future__ import annotations

from collections.abc import Collection

from django.db.models import Model

from synchro.keys import Key, key_fields
from synchro.replay.identity.identities import Identities, existing_keys
from synchro.replay.identity.models import is_known_by_nature, keeps_references
from synchro.replay.identity.natural_keys import has_natural_key
from synchro.replay.identity.owners import owners_by_parts
from synchro.replay.identity.references import local_keys_by_remote
from synchro.replay.rows import Rows
from synchro.replay.session import Session
from synchro.verify.results import EXTRA, Difference


def extra_rows(session: Session, model: type[Model], remote_keys: Collection[Key]) -> list[Difference]:
    """Return those of these rows of REMOTE that are no object which LOCAL has."""
    local = Rows(session.local)
    owners = _owners(session, model, remote_keys, Identities(session, local, {}))
    present = local.load(model, list(owners.values()))
    return [
        Difference(EXTRA, owners.get(remote), remote, logged_key=remote)
        for remote in remote_keys
        if owners.get(remote) not in present
    ]


def still_there(
    session: Session, model: type[Model], differences: Collection[Difference]
) -> list[Difference]:
    """Return those of these rows of REMOTE that it still has."""
    keys = [d.remote_key for d in differences if d.remote_key is not None]
    existing = existing_keys(session.remote, model, keys)
    return [difference for difference in differences if difference.remote_key in existing]


def _owners(
    session: Session, model: type[Model], remote_keys: Collection[Key], identities: Identities
) -> dict[Key, Key]:
    """Return LOCAL's keys of these rows of REMOTE: by references, by parts of the key, or by natural keys."""
    if not keeps_references(model) and not is_known_by_nature(model):
        return owners_by_parts(session, identities, key_fields(model), remote_keys, {})
    found = identities.owners(model, remote_keys)
    if keeps_references(model):
        # Where a batch has arrived and LOCAL does not know it yet, REMOTE alone has the references.
        found = local_keys_by_remote(session, model, remote_keys) | found
    unknown = [key for key in remote_keys if key not in found]
    if unknown and has_natural_key(model):
        found |= identities.natural_owners(model, unknown)
    return found
