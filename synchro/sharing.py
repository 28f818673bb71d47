"""What cannot be captured where several watched models have one table. (`synchro.shared_tables` says what can.)"""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Model

from synchro.conf import conf
from synchro.registry import Table, skipped_names, watched_models
from synchro.relations import m2m_fields
from synchro.shared_tables import lacks_key_of, stands_for


def faults_of_sharing() -> Iterator[tuple[type[Model], str]]:
    """Yield each watched model whose changes would be lost in the name of the one that stands for it, and why."""
    for model in watched_models():
        owner = stands_for(model)
        if owner is not model:
            fault = columns_unknown(owner, model) or (
                conf.capture == "signals" and unseen_by_signals(owner, model)
            )
            if fault:
                yield model, fault


def columns_unknown(owner: type[Model], model: type[Model]) -> str:
    """Say which columns of `model` the model that stands for it does not know; empty where it knows all."""
    more = _columns(model) - _columns(owner)
    if not more:
        return ""
    return (
        f"{model._meta.label} has the table of {owner._meta.label}, under whose name changes are captured, and columns "
        f"that {owner._meta.label} does not know: {', '.join(sorted(more))}. Their changes would not arrive. Declare "
        "them there too, or watch one of the two models alone."
    )


def unseen_by_signals(owner: type[Model], model: type[Model]) -> str:
    """Say what signals about `model` do not tell of the rows that are known by the name of `owner`."""
    label, other = model._meta.label, owner._meta.label
    if model._meta.auto_created or lacks_key_of(owner, model):
        return (
            f"{label} has the table of {other}, and signals about {label} do not say which rows of {other} have "
            f"changed. Use SYNCHRO_CAPTURE = 'triggers', or take {other} out of SYNCHRO_MODELS."
        )
    names = [field.name for field in m2m_fields(model) if field.name not in skipped_names(model)]
    if names:
        return (
            f"{label} has the table of {other}, under whose name changes are captured, and many-to-many fields of its "
            f"own: {', '.join(names)}. Declare them in {other}, or use SYNCHRO_CAPTURE = 'triggers'."
        )
    return ""


def _columns(model: type[Model]) -> set[str]:
    return {str(field.column).lower() for field in Table(model).fields}
