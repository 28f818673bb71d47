"""Who listens: receivers and overridden methods must run for REMOTE's objects as they do for LOCAL's."""

from __future__ import annotations

from django.db.models import Model
from django.db.models.signals import ModelSignal, m2m_changed, post_delete, post_save, pre_delete, pre_save

from synchro import signals as ours

OURS = (ours.before_save, ours.before_delete, ours.on_save, ours.on_delete, ours.on_m2m_changed)


def hears_saves(model: type[Model]) -> bool:
    """Whether a save of `model` does more than write a row: somebody listens, or the method is overridden."""
    return (
        model.save is not Model.save
        or model.save_base is not Model.save_base
        or _has_receivers(pre_save, model)
        or _has_receivers(post_save, model)
    )


def hears_deletes(model: type[Model]) -> bool:
    """The same for a deletion."""
    return (
        model.delete is not Model.delete
        or _has_receivers(pre_delete, model)
        or _has_receivers(post_delete, model)
    )


def hears_sets(through: type[Model]) -> bool:
    """Whether somebody listens to changes of the sets that this automatic table holds."""
    return bool(through._meta.auto_created) and _live(m2m_changed, through)


def _has_receivers(signal: ModelSignal, model: type[Model]) -> bool:
    if model._meta.auto_created:  # Django sends none for them
        return False
    return _live(signal, model)


def _live(signal: ModelSignal, sender: type[Model]) -> bool:
    sync, asynchronous = signal._live_receivers(sender)
    return any(receiver not in OURS for receiver in (*sync, *asynchronous))
