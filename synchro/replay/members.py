"""
Members: somebody who listens to the set of an automatic many-to-many field hears what is added and removed.

The rows are written as all others are. Django's managers would ask the project's routers where to write.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import django
from django.db.models import Model, QuerySet
from django.db.models.signals import m2m_changed

from synchro.keys import Key, key_fields
from synchro.receivers import choice_for
from synchro.registry import set_field
from synchro.replay.columns import to_attribute
from synchro.replay.link import Link
from synchro.replay.listeners import on_remote
from synchro.replay.membership import Pair

Verb = Literal["add", "remove"]


@contextmanager
def announced(link: Link, through: type[Model], pairs: Collection[Pair], verb: Verb) -> Iterator[None]:
    """Inside, these pairs (of REMOTE's keys) are added or removed; who listens hears of it before and after."""
    source, target = key_fields(through)
    connection = link.remote.connection
    sets: dict[Any, set[Any]] = {}
    for first, second in _heard(through, pairs):
        owner = to_attribute(source, first, connection)
        sets.setdefault(owner, set()).add(to_attribute(target, second, connection))
    owners = _owners(link, through, sets)
    _send(link, through, owners, sets, f"pre_{verb}")
    yield
    _send(link, through, owners, sets, f"post_{verb}")


def _heard(through: type[Model], pairs: Collection[Pair]) -> Iterator[Pair]:
    """Of the two rows of a symmetrical pair Django announces the first."""
    is_symmetrical = set_field(through).remote_field.symmetrical
    heard: set[Pair] = set()
    for first, second in pairs:
        if not (is_symmetrical and (second, first) in heard):
            heard.add((first, second))
            yield first, second


def _owners(link: Link, through: type[Model], keys: Collection[Key]) -> list[Model]:
    source, _target = key_fields(through)
    name = source.target_field.attname
    with on_remote(link, through, None, "save"):
        rows: QuerySet[Model] = QuerySet(set_field(through).model, using=link.remote.alias)
        return list(rows.filter(**{f"{name}__in": keys}))


def _send(
    link: Link, through: type[Model], owners: Collection[Model], sets: Mapping[Any, set[Any]], action: str
) -> None:
    field, (source, _target) = set_field(through), key_fields(through)
    is_raw = choice_for(through).raw
    more = {"raw": is_raw} if is_raw or django.VERSION >= (6, 1) else {}
    with on_remote(link, through, None, "save"):
        for owner in owners:
            m2m_changed.send(
                sender=through,
                action=action,
                instance=owner,
                reverse=False,
                model=field.related_model,
                pk_set=set(sets[getattr(owner, source.target_field.attname)]),
                using=link.remote.alias,
                **more,
            )
