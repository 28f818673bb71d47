"""What tests of `SYNCHRO_ON_ERROR = 'quarantine'` have in common: somebody who refuses, and what is set aside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db.models import Model
from django.db.models.signals import pre_save
from django.dispatch import Signal
from django.test.utils import override_settings

from synchro.core import DisableSynchroLog
from synchro.models import SetAside
from tests.replay.deployments import REMOTE


class Refusal(ValueError):
    """A rule of the project's own."""


@contextmanager
def refusing(sender: type[Model], name: str = "cursed", signal: Signal = pre_save) -> Iterator[None]:
    """Inside, a receiver does not let REMOTE have objects of this name."""

    def receive(instance: Any, using: str, **kwargs: Any) -> None:
        if using == REMOTE and instance.name == name:
            raise Refusal(f"nobody is to see {name}")

    signal.connect(receive, sender=sender)
    try:
        with override_settings(SYNCHRO_RECEIVERS="all"):
            yield
    finally:
        signal.disconnect(receive, sender=sender)


def aside() -> set[tuple[str, str]]:
    """Model and key of what is set aside."""
    found = SetAside.objects.filter(is_over=False)
    return {(row.content_type.model_class()._meta.label, row.object_id) for row in found}


def place(*instances: Model) -> set[tuple[str, str]]:
    return {(instance._meta.label, str(instance.pk)) for instance in instances}


def unlogged(instance: Model, **values: Any) -> None:
    with DisableSynchroLog():
        type(instance)._base_manager.filter(pk=instance.pk).update(**values)
