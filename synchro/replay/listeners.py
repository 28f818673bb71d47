"""Who listens: the receivers and overridden methods that are chosen run for REMOTE's objects, and no other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from threading import Lock
from typing import Any

from django.db.models import Model
from django.db.models.signals import ModelSignal, m2m_changed, post_delete, post_save, pre_delete, pre_save

from synchro.keys import Key
from synchro.receivers import SIGNALS, Receiver, method, path_of, receivers
from synchro.replay.guard import Guest, guarded, running
from synchro.replay.link import Link
from synchro.replay.recorder import at_work, follow_deletions, notice_save
from synchro.replay.strangers import refuse_stranger, refuse_strangers
from synchro.replay.work import Work

#: Whether this thread or task is in a run, and whether it works on REMOTE's objects.
_in_run: ContextVar[bool] = ContextVar("synchro_in_run", default=False)
_choosing: ContextVar[bool] = ContextVar("synchro_choosing", default=False)
_installing = Lock()


def hears_saves(model: type[Model]) -> bool:
    """Whether a save of `model` does more than write a row: somebody listens, or the method is overridden."""
    return (
        _has_receivers(pre_save, model)
        or _has_receivers(post_save, model)
        or method(model, "save") is not None
    )


def hears_deletes(model: type[Model]) -> bool:
    """The same for a deletion."""
    return (
        _has_receivers(pre_delete, model)
        or _has_receivers(post_delete, model)
        or method(model, "delete") is not None
    )


def hears_sets(through: type[Model]) -> bool:
    """Whether somebody listens to changes of the sets that this automatic table holds."""
    return bool(through._meta.auto_created) and any(receivers(m2m_changed, through))


def _has_receivers(signal: ModelSignal, model: type[Model]) -> bool:
    if model._meta.auto_created:  # Django sends none for them
        return False
    return any(receivers(signal, model))


@contextmanager
def in_run() -> Iterator[None]:
    """Inside, nobody hears of what a run writes into synchro's own tables, on either side."""
    _install()
    token = _in_run.set(True)
    try:
        yield
    finally:
        _in_run.reset(token)


@contextmanager
def on_remote(link: Link, model: type[Model], key: Key | None, verb: str) -> Iterator[Work]:
    """
    Inside, code of others works on REMOTE's object, by LOCAL's key, or on several: only what is chosen runs, and no
    other database is written. What is yielded is to be told the object.

    Raises `WrongDatabase` where it tried that.
    """
    guest = Guest(method(model, verb) if key is not None else None, model, key)
    token = _choosing.set(True)
    try:
        with at_work(model) as work, guarded(link.remote.alias, guest, tell=link.warn):
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
            ours: list[Receiver] = []
            if signal is pre_save:
                ours = [refuse_stranger]
            elif signal is post_save:
                ours = [notice_save]
            return [*ours, *map(_named, plain)], list(map(_named_async, asynchronous))
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
