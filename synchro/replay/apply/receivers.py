"""Let the receivers and overridden methods that are chosen run for REMOTE's objects, and no others."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from threading import Lock
from typing import Any, Literal

import django
from django.db.models import Model, QuerySet
from django.db.models.signals import ModelSignal, m2m_changed, post_delete, post_save, pre_delete, pre_save

from synchro.keys import Key, key_fields
from synchro.receivers import SIGNALS, Receiver, choice_for, method, path_of, receivers
from synchro.relations import set_field
from synchro.replay.apply.strangers import refuse_stranger, refuse_strangers
from synchro.replay.columns import to_attribute
from synchro.replay.guests.guard import Guest, Work, guarded, running
from synchro.replay.guests.recorder import at_work, follow_deletions, notice_save
from synchro.replay.plan import Pair
from synchro.replay.session import Session

#: Whether this thread or task is in a run, and whether it works on REMOTE's objects.
_in_run: ContextVar[bool] = ContextVar("synchro_in_run", default=False)
_choosing: ContextVar[bool] = ContextVar("synchro_choosing", default=False)
_installing = Lock()


def has_receivers_of_saves(model: type[Model]) -> bool:
    """Whether a save of `model` does more than write a row: somebody listens, or the method is overridden."""
    return (
        _has_receivers(pre_save, model)
        or _has_receivers(post_save, model)
        or method(model, "save") is not None
    )


def has_receivers_of_deletes(model: type[Model]) -> bool:
    """The same for a deletion."""
    return (
        _has_receivers(pre_delete, model)
        or _has_receivers(post_delete, model)
        or method(model, "delete") is not None
    )


def has_receivers_of_sets(through: type[Model]) -> bool:
    """Whether somebody listens to changes of the sets that this automatic table holds."""
    return bool(through._meta.auto_created) and any(receivers(m2m_changed, through))


def _has_receivers(signal: ModelSignal, model: type[Model]) -> bool:
    if model._meta.auto_created:  # Django sends none for them
        return False
    return any(receivers(signal, model))


@contextmanager
def in_run() -> Iterator[None]:
    """Inside, no receiver is called for what a run writes into synchro's own tables, in either database."""
    _install()
    token = _in_run.set(True)
    try:
        yield
    finally:
        _in_run.reset(token)


@contextmanager
def on_remote(session: Session, model: type[Model], key: Key | None, verb: str) -> Iterator[Work]:
    """
    Inside, code of others works on REMOTE's object, by LOCAL's key, or on several: only what is chosen runs, and no
    other database is written. What is yielded is to be told the object.

    Raises `WrongDatabase` where it tried that.
    """
    guest = Guest(method(model, verb) if key is not None else None, model, key)
    token = _choosing.set(True)
    try:
        with at_work(model) as work, guarded(session.remote.alias, guest, tell=session.warn):
            yield work
    finally:
        _choosing.reset(token)


def _install() -> None:
    """
    Have Django's signals ask us whom they reach, from the first run in this process on.

    Nobody is disconnected: other threads, and this one outside of a run, get the same answer as ever.
    """
    with _installing:
        follow_deletions(refuse_strangers)
        for signal in SIGNALS:
            if "_live_receivers" not in vars(signal):
                vars(signal)["_live_receivers"] = partial(_live_receivers, signal)


def _live_receivers(signal: ModelSignal, sender: Any) -> tuple[list[Receiver], list[Receiver]]:
    if _in_run.get() and isinstance(sender, type) and issubclass(sender, Model):
        if sender._meta.app_label == "synchro":
            return [], []
        if _choosing.get():
            plain, asynchronous = receivers(signal, sender)
            own: list[Receiver] = []
            if signal is pre_save:
                own = [refuse_stranger]
            elif signal is post_save:
                own = [notice_save]
            return [*own, *map(_named, plain)], list(map(_named_async, asynchronous))
    found: tuple[list[Receiver], list[Receiver]] = type(signal)._live_receivers(signal, sender)
    return found


def _named(receiver: Receiver) -> Receiver:
    """The same, known by its name while it runs."""

    def call(*, instance: Model, **kwargs: Any) -> Any:
        with running(path_of(receiver), instance):
            return receiver(instance=instance, **kwargs)

    return call


def _named_async(receiver: Receiver) -> Receiver:
    async def call(*, instance: Model, **kwargs: Any) -> Any:
        with running(path_of(receiver), instance):
            return await receiver(instance=instance, **kwargs)

    return call


Verb = Literal["add", "remove"]


@contextmanager
def announced(session: Session, through: type[Model], pairs: Collection[Pair], verb: Verb) -> Iterator[None]:
    """Inside, these pairs (of REMOTE's keys) are added or removed; receivers are called before and after."""
    source, target = key_fields(through)
    connection = session.remote.connection
    sets: dict[Any, set[Any]] = {}
    for first, second in _announced_pairs(through, pairs):
        owner = to_attribute(source, first, connection)
        sets.setdefault(owner, set()).add(to_attribute(target, second, connection))
    owners = _owners(session, through, sets)
    _send(session, through, owners, sets, f"pre_{verb}")
    yield
    _send(session, through, owners, sets, f"post_{verb}")


def _announced_pairs(through: type[Model], pairs: Collection[Pair]) -> Iterator[Pair]:
    """Of the two rows of a symmetrical pair Django announces the first."""
    is_symmetrical = set_field(through).remote_field.symmetrical
    found: set[Pair] = set()
    for first, second in pairs:
        if not (is_symmetrical and (second, first) in found):
            found.add((first, second))
            yield first, second


def _owners(session: Session, through: type[Model], keys: Collection[Key]) -> list[Model]:
    source, _target = key_fields(through)
    name = source.target_field.attname
    with on_remote(session, through, None, "save"):
        rows: QuerySet[Model] = QuerySet(set_field(through).model, using=session.remote.alias)
        return list(rows.filter(**{f"{name}__in": keys}))


def _send(
    session: Session,
    through: type[Model],
    owners: Collection[Model],
    sets: Mapping[Any, set[Any]],
    action: str,
) -> None:
    field, (source, _target) = set_field(through), key_fields(through)
    is_raw = choice_for(through).raw
    more = {"raw": is_raw} if is_raw or django.VERSION >= (6, 1) else {}
    with on_remote(session, through, None, "save"):
        for owner in owners:
            m2m_changed.send(
                sender=through,
                action=action,
                instance=owner,
                reverse=False,
                model=field.related_model,
                pk_set=set(sets[getattr(owner, source.target_field.attname)]),
                using=session.remote.alias,
                **more,
            )
