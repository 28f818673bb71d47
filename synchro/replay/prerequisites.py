"""
Entangled: what a batch cannot do without a change that stands in a later one, which is taken along.

A unique value that a row is to get stands, on REMOTE, in a row that LOCAL has changed since; a row that is to go is
pointed at by one that LOCAL has moved or deleted since. The present decides: so both can be written together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.db.models import Model
from django.utils.translation import gettext as _

from synchro.keys import AnyField, Key, key_fields, to_text
from synchro.models import ADDITION, DELETION, M2M_CHANGE, ChangeLog
from synchro.registry import watched_models
from synchro.relations import same_key_parents, target_of
from synchro.replay.identity.identities import Identities, keeps_references
from synchro.replay.log.changes import Entry, RowId, by_model
from synchro.replay.log.entries import read_entries
from synchro.replay.log.pending import pending_ids
from synchro.replay.log.ranges import IdSet
from synchro.replay.rows import as_key, as_values, select
from synchro.replay.session import Session

#: Of how many objects the log is asked by one statement.
PART = 10_000


class Prerequisites(Exception):
    """These objects of LOCAL have to be part of the batch as well."""

    def __init__(self, places: Iterable[RowId]) -> None:
        self.places = frozenset(places)
        labels = sorted({model._meta.label for model, _key in self.places})
        super().__init__(
            _(
                "%(models)s: rows depend on each other, and were changed again and again. The batch was rolled back."
            )
            % {"models": ", ".join(labels)}
            + " "
            + _("Run synchronize again.")
        )


def known_here(
    session: Session, identities: Identities, model: type[Model], keys: Collection[Key]
) -> dict[Key, Key]:
    """
    LOCAL's keys of those of these rows of REMOTE that are objects of LOCAL's, be they gone by now.

    The others may be REMOTE's own, and would be taken for objects that LOCAL has deleted.
    """
    if not keys:
        return {}
    if keeps_references(model):
        return identities.owners(model, keys)
    fields = key_fields(model)
    found = by_parts_here(session, identities, fields, keys, {})
    known = _known_by_the_same_key(session, identities, model, set(found.values()))
    return {there: here for there, here in found.items() if here in known}


def by_parts_here(
    session: Session,
    identities: Identities,
    fields: Sequence[AnyField],
    keys: Collection[Key],
    given: Mapping[AnyField, Mapping[Any, Any]],
) -> dict[Key, Key]:
    """What these keys of REMOTE, of so many `fields`, are on LOCAL; `given` says so of some parts."""
    parts = [
        given.get(field) or _parts_here(session, identities, field, {as_values(key)[place] for key in keys})
        for place, field in enumerate(fields)
    ]
    found: dict[Key, Key] = {}
    for key in keys:
        values = [part.get(value) for part, value in zip(parts, as_values(key), strict=True)]
        if None not in values:
            found[key] = as_key(values)
    return found


def _parts_here(
    session: Session, identities: Identities, field: AnyField, values: Collection[Any]
) -> Mapping[Any, Any]:
    """What these values of a part of a key are on LOCAL."""
    target = target_of(field)
    return {v: v for v in values} if target is None else known_here(session, identities, target, values)


def _known_by_the_same_key(
    session: Session, identities: Identities, model: type[Model], keys: set[Key]
) -> set[Key]:
    """Those that LOCAL has, has deleted since, or set aside."""
    own = key_fields(model)
    known = {as_key(row) for row in select(session.local, model, own, own, [as_values(key) for key in keys])}
    known |= {key for key in keys if (model, key) in identities.quarantined}
    missing = {to_text(model, key): key for key in keys - known}
    return known | {missing[text] for text in _deleted_since(session, model, list(missing))}


def _deleted_since(session: Session, model: type[Model], texts: list[str]) -> Iterator[str]:
    """Those of these objects that LOCAL had when the first batch began that REMOTE lacks, and has deleted since."""
    if not texts:
        return
    lacking = lacking_there(session)
    entries = ChangeLog.objects.using(session.local.alias).filter(
        id__gte=lacking.first,
        content_type=session.local.content_type_id(model),
        action__in=(ADDITION, DELETION),
    )
    for start in range(0, len(texts), PART):
        seen: dict[str, int] = {}
        found = entries.filter(object_id__in=texts[start : start + PART]).order_by("id")
        for number, text, action in found.values_list("id", "object_id", "action"):
            if number in lacking:
                seen.setdefault(text, action)
        yield from (text for text, action in seen.items() if action == DELETION)


def pending_entries(session: Session, places: Collection[RowId]) -> Iterator[Entry]:
    """What the log says of these objects and REMOTE lacks."""
    side, lacking = session.local, lacking_there(session)
    for model, keys in by_model(places).items():
        types = [side.content_type_id(each) for each in (model, *same_key_children(model))]
        texts = [to_text(model, key) for key in keys]
        for start in range(0, len(texts), PART):
            entries = ChangeLog.objects.using(side.alias).filter(
                id__gte=lacking.first, content_type_id__in=types, object_id__in=texts[start : start + PART]
            )
            several = read_entries(side, entries.exclude(action=M2M_CHANGE).order_by("id"))
            yield from (entry for entry in several if entry.id in lacking)


def same_key_children(model: type[Model]) -> list[type[Model]]:
    """The watched models that inherit from `model` and share its key: their entries stand for its rows too."""
    return [child for child in watched_models() if model in same_key_parents(child)]


def lacking_there(session: Session) -> IdSet:
    """The ids of LOCAL's log that REMOTE lacks."""
    return pending_ids(session.local.alias, session.state.arrived).as_set()
