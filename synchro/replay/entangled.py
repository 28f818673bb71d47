"""
Entangled: a unique value that a row is to get stands, on REMOTE, in a row that LOCAL has changed since.

The other row's change is in a later batch. It is taken along, so that both can be written together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.db.models import Model, UniqueConstraint

from synchro.keys import AnyField, Key, from_text, key_fields, to_text
from synchro.models import DELETION, Batch, ChangeLog, Reference
from synchro.registry import Table
from synchro.replay.identify import keeps_references
from synchro.replay.link import Link
from synchro.replay.ranges import from_text as ranges_from_text
from synchro.replay.read import as_key, as_values, select


class Entangled(Exception):
    """These objects of LOCAL have to be part of the batch as well."""

    def __init__(self, model: type[Model], keys: Iterable[Key]) -> None:
        super().__init__(f"{model._meta.label}: unique values move between rows of different batches.")
        self.model, self.keys = model, frozenset(keys)


def holders(
    link: Link, model: type[Model], rows: Mapping[Key, Sequence[Any]], ours: Iterable[Key]
) -> frozenset[Key]:
    """
    LOCAL's keys of the objects whose REMOTE rows hold unique values of `rows` (as they are to be written), without
    those of REMOTE's keys `ours`, which are being written.
    """
    own, known = key_fields(model), set(ours)
    found: set[Key] = set()
    for fields in _unique_sets(model):
        places = [Table(model).fields.index(field) for field in fields]
        values = [[row[place] for place in places] for row in rows.values()]
        wanted = [value for value in values if None not in value]
        found |= {as_key(row) for row in select(link.remote, model, own, fields, wanted)}
    return _here(link, model, found - known)


def _unique_sets(model: type[Model]) -> Iterator[tuple[AnyField, ...]]:
    """The synchronized fields, in groups, that the model declares unique, be it under a condition."""
    synchronized = Table(model).fields
    for field in synchronized:
        if field.unique and not field.primary_key:
            yield (field,)
    constraints = [c.fields for c in model._meta.constraints if isinstance(c, UniqueConstraint)]
    names = [*model._meta.unique_together, *constraints]
    for several in names:
        fields = tuple(model._meta.get_field(name) for name in several)
        if fields and set(fields) <= set(synchronized):
            yield fields


def _here(link: Link, model: type[Model], keys: set[Key]) -> frozenset[Key]:
    """REMOTE's keys as LOCAL's, as far as LOCAL knows the objects."""
    if not keeps_references(model):
        return _known_by_the_same_key(link, model, frozenset(keys))
    texts = Reference.objects.using(link.local.alias).filter(
        peer_id=link.peer.pk,
        content_type_id=link.local.content_type_id(model),
        remote_object_id__in=[to_text(model, key) for key in keys],
    )
    copied = {key for key in keys if key <= link.baselines.get(model, 0)}
    return frozenset(
        copied | {from_text(model, text) for text in texts.values_list("local_object_id", flat=True)}
    )


def _known_by_the_same_key(link: Link, model: type[Model], keys: frozenset[Key]) -> frozenset[Key]:
    """
    Those that LOCAL has, has deleted since, or set aside. No reference tells of the others: they may be REMOTE's own,
    and would be taken for objects that are gone.
    """
    own = key_fields(model)
    present = {as_key(row) for row in select(link.local, model, own, own, [as_values(key) for key in keys])}
    aside = link.aside.all()
    texts = {to_text(model, key): key for key in keys - present if (model, key) not in aside}
    if not texts:
        return keys
    pending = Batch.objects.using(link.local.alias).filter(number__gt=link.arrived).order_by("number")
    first = min(
        (ids.first for text in pending.values_list("ranges", flat=True) for ids in ranges_from_text(text)),
        default=0,
    )
    deletions = ChangeLog.objects.using(link.local.alias).filter(
        id__gte=first, content_type=link.local.content_type_id(model), action=DELETION, object_id__in=texts
    )
    return keys - {texts[text] for text in texts.keys() - set(deletions.values_list("object_id", flat=True))}
