"""
Find what REMOTE's server would delete or empty along with a row, by a foreign key that was made by hand.

Django knows nothing of it, so nothing has decided about those rows. What LOCAL has lost too may go along. What LOCAL
still has, or has never seen, would be gone without a word: then the deletion is refused by name.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from django.db.models import Model
from django.utils.translation import gettext as _

from synchro.exceptions import Culprit, Refused
from synchro.keys import Key, key_fields, to_text
from synchro.replay.identity.identities import Identities, existing_keys
from synchro.replay.identity.owners import known_owners
from synchro.replay.plan import Plan, Prerequisites
from synchro.replay.rows import as_key, as_values, select
from synchro.replay.session import Session
from synchro.triggers.by_hand import ByHand, made_on_remote


def made_by_hand(session: Session, model: type[Model]) -> list[ByHand]:
    """Foreign keys of REMOTE's to `model` of this kind. It is asked for them once in a run."""
    if session.state.made_by_hand is None:
        session.state.made_by_hand = made_on_remote(session.remote.connection)
    return [one for one in session.state.made_by_hand if one.parent is model and one.columns and one.targets]


def refuse_server_cascades(
    session: Session, plan: Plan, identities: Identities, model: type[Model], going: Mapping[Key, Key | None]
) -> None:
    """
    Raise `Refused` where such a foreign key would touch rows with these, which are `going` and given with LOCAL's keys;
    `Prerequisites` where LOCAL has moved them in a later batch. What else the batch writes has been written.
    """
    for one in made_by_hand(session, model):
        own = key_fields(model)
        values = [as_values(key) for key in going]
        rows = select(session.remote, model, [*own, *one.targets], own, values)
        remote_keys = {tuple(row[len(own) :]): as_key(row[: len(own)]) for row in rows}
        keys = key_fields(one.child)
        touched = {
            as_key(row[: len(keys)]): remote_keys[tuple(row[len(keys) :])]
            for row in select(
                session.remote, one.child, [*keys, *one.columns], one.columns, list(remote_keys)
            )
            if tuple(row[len(keys) :]) in remote_keys
        }
        lost = _lost(
            session, plan, identities, one.child, touched.keys() - plan.deletions.get(one.child, {}).keys()
        )
        if lost:
            raise _refused(model, one, {key: touched[key] for key in sorted(lost, key=repr)}, going)


def _lost(
    session: Session, plan: Plan, identities: Identities, child: type[Model], keys: Collection[Key]
) -> set[Key]:
    """Those of these rows of REMOTE that LOCAL has, or has never seen."""
    known = known_owners(session, identities, child, keys)
    present = existing_keys(session.local, child, known.values()) if known else set()
    later = {(child, local_key) for local_key in known.values() if local_key in present} - {
        (child, key) for key in plan.objects(child)
    }
    if later:
        raise Prerequisites(later)
    return {key for key in keys if key not in known or known[key] in present}


def _refused(
    model: type[Model], one: ByHand, touched: Mapping[Key, Key], going: Mapping[Key, Key | None]
) -> Refused:
    (key, parent), *_others = touched.items()
    local = going[parent]
    names = {
        "model": model._meta.label,
        "key": to_text(model, parent if local is None else local),
        "child": one.child._meta.label,
        "other": to_text(one.child, key),
        "constraint": str(one),
    }
    text = _(
        "%(model)s %(key)s was deleted on LOCAL. On REMOTE a foreign key made by hand, %(constraint)s, would have the "
        "server touch %(child)s %(other)s with it, which LOCAL has not deleted. The batch was rolled back. Delete that "
        "row on LOCAL or let it point at another one, or drop that rule on REMOTE, and synchronize again."
    )
    short = _("REMOTE's foreign key %(constraint)s would touch %(child)s %(other)s with it")
    return Refused(
        text % names,
        [
            Culprit(model, going[above], short % {**names, "other": to_text(one.child, below)})
            for below, above in touched.items()
            if going[above] is not None
        ],
    )
