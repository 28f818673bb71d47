"""Tell from the models which of them, and which many-to-many sets, may be applied in bulk."""

from __future__ import annotations

from django.db.models import Model

from synchro.keys import is_automatic, is_integer, key_fields
from synchro.registry import Table, is_watched
from synchro.relations import generic_keys, is_symmetrical, pointing_at, points_at_rows, target_of
from synchro.replay.apply.altered import is_checked
from synchro.replay.apply.receivers import has_receivers_of_saves, has_receivers_of_sets
from synchro.replay.conflicts.policy import policy_for
from synchro.replay.identity.models import keeps_references, uses_same_key


class NotBulk(Exception):
    """The batch has to be applied with rows of these models object by object; nothing of it stays written."""

    def __init__(self, *models: type[Model]) -> None:
        super().__init__(", ".join(model._meta.label for model in models))
        self.models = frozenset(models)


def is_plain(model: type[Model]) -> bool:
    """
    Return whether all there is to find out about rows of `model` is which keys they, and what they point at, have on
    REMOTE, and whether these keys are numbers.
    """
    return is_integer(key_fields(model)[0]) and has_nothing_to_ask(model)


def has_nothing_to_ask(model: type[Model]) -> bool:
    """Return the same for keys of any type."""
    own, *more = key_fields(model)
    return (
        not more
        and own.remote_field is None
        and is_watched(model)
        and (uses_same_key(model) or not is_automatic(own) or keeps_references(model))
        and not has_receivers_of_saves(model)
        and not generic_keys(model)
        and not any(is_checked(f) for f in Table(model).fields)
        and all(not points_at_rows(f) or target_of(f) is not None for f in Table(model).fields)
        and all(f.has_db_default() for f in Table(model).skipped)
        and all(column.target_field.primary_key for column, _rule in pointing_at(model))
    )


def is_plain_set(through: type[Model]) -> bool:
    """Return whether the rows of `through`, an automatic many-to-many table, are nothing but pairs of numbers."""
    ends = [target_of(field) for field in key_fields(through)]
    return (
        is_watched(through)
        and all(is_integer(field) for field in key_fields(through))
        and None not in ends
        and not is_symmetrical(through)
        and not has_receivers_of_sets(through)
        # What REMOTE's log says of a set stands in the entries of both ends.
        and (
            not policy_for(through).weighs_old_changes
            or all(policy_for(end).weighs_old_changes for end in ends if end is not None)
        )
    )


def ends_of(model: type[Model]) -> list[type[Model]]:
    """Return the models that an automatic many-to-many table joins; none for other models."""
    if not model._meta.auto_created:
        return []
    return [target for field in key_fields(model) if (target := target_of(field)) is not None]
