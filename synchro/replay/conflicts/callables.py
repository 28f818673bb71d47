"""
Ask a function of the project to decide about a conflict.

It is given both objects, and answers who wins or with merged values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from reprlib import repr as shortened
from typing import Any, TypeAlias

from django.core.exceptions import ValidationError
from django.db.models import Model
from django.utils.translation import gettext as _

from synchro.exceptions import Undecided
from synchro.keys import AnyField, Key, column_field, key_fields, to_text
from synchro.last_check import aware
from synchro.models import Conflict
from synchro.registry import Table
from synchro.relations import generic_keys, named_model
from synchro.replay.columns import to_attribute
from synchro.replay.session import Database, Session

#: What the project defines: it is given the model, LOCAL's and REMOTE's object (None where there is none), the times of
#: both changes and the names of the fields that both changed.
Decider: TypeAlias = Callable[[type[Model], Any, Any, datetime, datetime, tuple[str, ...]], Any]
#: Who wins, or the merged values as attributes hold them.
Answer: TypeAlias = "str | dict[AnyField, Any]"


@dataclass(frozen=True)
class Question:
    """What a callable is asked about a conflict."""

    model: type[Model]
    key: Key
    #: Both rows, in the order of the table's fields; None for one that was deleted.
    local_row: Sequence[Any] | None
    remote_row: Sequence[Any] | None
    local_date: datetime
    remote_date: datetime
    #: The names of the fields that both sides changed.
    fields: tuple[str, ...]


def ask(session: Session, decider: Decider, question: Question) -> Answer:
    """
    Have the callable decide; return its answer.

    Raises `Undecided` where the callable raises, or returns what is no decision.
    """
    try:
        answer = decider(
            question.model,
            _object(session.local, question.model, question.local_row),
            _object(session.remote, question.model, question.remote_row),
            # By one clock, REMOTE's, so that they can be compared.
            (aware(question.local_date) + session.offset).astimezone(UTC),
            aware(question.remote_date).astimezone(UTC),
            question.fields,
        )
    except Exception as error:
        raise _undecided(decider, question, _("it raised %s") % type(error).__name__) from error
    if isinstance(answer, str) and answer in (Conflict.LOCAL, Conflict.REMOTE):
        return answer
    if not isinstance(answer, Mapping):
        raise _undecided(
            decider,
            question,
            _("it returned %s, which is neither 'local' nor 'remote' nor a mapping of fields to values")
            % shortened(answer),
        )
    if question.local_row is None or question.remote_row is None:
        raise _undecided(
            decider, question, _("it returned merged values for a row that one side has deleted")
        )
    return _merged(session, decider, question, answer)


def _object(database: Database, model: type[Model], row: Sequence[Any] | None) -> Model | None:
    """Return an instance with these values; Django loads what is not synchronized when it is asked for."""
    if row is None:
        return None
    fields = Table(model).fields
    values = {f: to_attribute(f, value, database.connection) for f, value in zip(fields, row, strict=True)}
    known = [field for field in model._meta.concrete_fields if field in values]
    return model.from_db(database.alias, [f.attname for f in known], [values[f] for f in known])


def _merged(
    session: Session, decider: Decider, question: Question, answer: Mapping[Any, Any]
) -> dict[AnyField, Any]:
    """Return the values of the answer, checked, by the fields that it names."""
    fields = {name: f for f in mergeable_fields(question.model) for name in (f.name, f.attname)}
    found: dict[AnyField, Any] = {}
    for name, value in answer.items():
        field = fields.get(name)
        if field is None:
            raise _undecided(
                decider, question, _("it gives %s, which is no field that can be merged") % shortened(name)
            )
        try:
            found[field] = _checked(session, field, value)
        except (ValidationError, ValueError, TypeError, ArithmeticError) as error:
            raise _undecided(
                decider, question, _("it gives %s a value that it cannot have") % field.name
            ) from error
    return found


def mergeable_fields(model: type[Model]) -> list[AnyField]:
    """Return the fields that may be merged: all of the table's but its key and what points at other rows."""
    generic = {name for each in generic_keys(model) for name in (each.ct_field, each.fk_field)}
    keys = key_fields(model)
    return [
        f for f in Table(model).fields if f not in keys and f.name not in generic and named_model(f) is None
    ]


def _checked(session: Session, field: AnyField, value: Any) -> Any:
    """Return `value` as an attribute of LOCAL's object holds it."""
    if isinstance(value, Model):
        target = field.remote_field and field.related_model
        if (
            not target
            or not isinstance(value, target._meta.concrete_model)
            or value._state.db != session.local.alias
        ):
            raise ValueError("only an object of LOCAL that the field can point at can be named")
        value = getattr(value, field.target_field.attname)
    if value is None:
        if not field.null:
            raise ValueError("it must not be NULL")
        return None
    return column_field(field).to_python(value)


def _undecided(decider: Decider, question: Question, cause: str) -> Undecided:
    return Undecided(
        _(
            "%(model)s %(key)s: both sides changed it, and %(callable)s does not decide: %(cause)s. The batch was not "
            "written; correct the callable, or set SYNCHRO_CONFLICT to something else, and synchronize again."
        )
        % {
            "model": question.model._meta.label,
            "key": to_text(question.model, question.key),
            "callable": _name(decider),
            "cause": cause,
        }
    )


def _name(decider: Decider) -> str:
    named: Any = decider if hasattr(decider, "__qualname__") else type(decider)
    return f"{named.__module__}.{named.__qualname__}"
