"""
Doubles: rows that code of others added on REMOTE as it ran for objects of the batch, and that LOCAL sends as well.

A receiver that makes a profile for each account has made one on LOCAL too. Where the key, or another unique value, says
that it is the same row, LOCAL's becomes the one that is there.
"""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Model

from synchro.keys import AnyField, Key, key_fields
from synchro.registry import Table
from synchro.replay.group import Group
from synchro.replay.identify import Identities, keeps_references
from synchro.replay.recorder import Recorder, columns
from synchro.replay.translate import Translator


def find_doubles(
    recorder: Recorder, identities: Identities, translator: Translator, model: type[Model]
) -> None:
    """Have new objects of `model`, which are about to be written, be the rows that were added meanwhile."""
    added = {key for key in recorder.added.get(model, ()) if key is not None}
    if not added:
        return
    known = identities.known(model)
    there = recorder.read(model, added)
    group = translator.group(model)
    for local, remote in _same(group, there).items():
        known[local].remote, known[local].exists = remote, True
    if keeps_references(model):
        for local in group.new:
            if known[local].remote in there and not known[local].exists:
                known[local].remote = None  # REMOTE has handed this key out once more


def _same(group: Group, there: dict[Key, list[object]]) -> dict[Key, Key]:
    """LOCAL's keys of the new rows of the group to REMOTE's of those that are there, where both are the same."""
    found: dict[Key, Key] = {}
    taken: set[Key] = set()
    fields = columns(group.model)
    for several in _unique_sets(group.model):
        places = [fields.index(field) for field in several]
        others = {tuple(row[place] for place in places): key for key, row in there.items()}
        places = [group.fields.index(field) for field in several]
        for local in group.new:
            values = tuple(group.rows[local][place] for place in places)
            if None not in values and values in others and local not in found and others[values] not in taken:
                found[local] = others[values]
                taken.add(others[values])
    return found


def _unique_sets(model: type[Model]) -> Iterator[tuple[AnyField, ...]]:
    """The synchronized fields, in groups, by whose values there is one row at the most."""
    own, fields = key_fields(model), Table(model).fields
    if not keeps_references(model):
        yield own
    names: list[tuple[str, ...]] = [
        (field.name,) for field in fields if field.unique and not field.primary_key
    ]
    names += [tuple(constraint.fields) for constraint in model._meta.total_unique_constraints]
    names += [tuple(several) for several in model._meta.unique_together]
    for each in names:
        found = tuple(field for field in fields if field.name in each)
        if found and len(found) == len(each):
            yield found
