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

#: Whether this thread or task works on REMOTE's objects, so that signals reach chosen receivers only.
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
def on_remote(link: Link, model: type[Model], key: Key | None, verb: str) -> Iterator[None]:
    """
    Inside, code of others works on REMOTE's object, by LOCAL's key, or on several: only what is chosen runs, and no
    other database is written.

    Raises `WrongDatabase` where it tried that.
    """
    _install()
    token = _choosing.set(True)
    try:
        with guarded(link.remote.alias, Guest(method(model, verb) if key is not None else None, model, key)):
            yield
    finally:
        _choosing.reset(token)


def _install() -> None:
    """
    Have Django's signals ask us whom they reach, from the first run in this process on.

    Nobody is disconnected: other threads, and this one outside of `on_remote`, get the same answer as ever.
    """
    with _installing:
        for signal in SIGNALS:
            if "_live_receivers" not in vars(signal):
                vars(signal)["_live_receivers"] = partial(_live_receivers, signal)


def _live_receivers(signal: ModelSignal, sender: Any) -> tuple[list[Receiver], list[Receiver]]:
    if not _choosing.get() or not isinstance(sender, type) or not issubclass(sender, Model):
        found: tuple[list[Receiver], list[Receiver]] = type(signal)._live_receivers(signal, sender)
        return found
    plain, asynchronous = receivers(signal, sender)
    return list(map(_named, plain)), list(map(_named_async, asynchronous))


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
