"""Policy: who wins where both sides changed something, by a word or by a callable of the project's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from reprlib import repr as shortened
from typing import Any, TypeAlias

from django.core.exceptions import ValidationError
from django.db.models import Model
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from synchro.checkpoint import aware
from synchro.conf import conf
from synchro.exceptions import Undecided, WrongSetting
from synchro.keys import AnyField, Key, column_field, key_fields, to_text
from synchro.model_options import model_option
from synchro.models import Conflict
from synchro.registry import Table
from synchro.relations import generic_keys, named_model
from synchro.replay.columns import to_attribute
from synchro.replay.log.moments import origin_of
from synchro.replay.session import Database, Session

NEWER, LOCAL, REMOTE = "newer", "local", "remote"
POLICIES = (NEWER, LOCAL, REMOTE)

#: Of the project's own: it is given the model, LOCAL's and REMOTE's object (None where there is none), the times of
#: both changes and the names of the fields that both changed.
Decider: TypeAlias = Callable[[type[Model], Any, Any, datetime, datetime, tuple[str, ...]], Any]
#: Who wins, or the merged values as attributes hold them.
Answer: TypeAlias = "str | dict[AnyField, Any]"


@dataclass(frozen=True)
class Policy:
    """Who wins where both sides changed a row of a model, a member of its sets, or what depends on its rows."""

    #: One of `POLICIES`. With a callable it answers for what has no values to compare: sets, and cascades.
    word: str
    #: The project's own callable, which is asked about rows.
    decider: Decider | None = None

    @property
    def weighs_old_changes(self) -> bool:
        """Whether a change that REMOTE made long before LOCAL's can win, as long as LOCAL has not received it."""
        return self.decider is not None or self.word == REMOTE

    def local_wins(self, session: Session, ours: datetime, theirs: datetime) -> bool:
        """Whether LOCAL's change stands, by the word alone."""
        return is_newer(session, ours, theirs) if self.word == NEWER else self.word == LOCAL


def is_newer(session: Session, ours: datetime, theirs: datetime) -> bool:
    """Whether LOCAL's change was later than REMOTE's. Both directions decide alike about the very same moment."""
    peer = session.peer.uuid or session.node
    here, there = origin_of(ours, session.node), origin_of(theirs, peer)
    return (aware(ours) + session.offset, here.int) > (aware(theirs), there.int)


def policy_for(model: type[Model]) -> Policy:
    """
    The policy of `model`; of an automatic many-to-many table, that of the model which declares the field.

    Raises `WrongSetting` for anything else than "newer", "local", "remote", a callable, or the path of one.
    """
    policy = _option(model)
    if callable(policy):
        found = policy
    elif policy in POLICIES:
        return Policy(str(policy))
    else:
        try:
            found = import_string(policy)
        except (ImportError, TypeError, AttributeError) as error:
            raise _unusable(policy) from error
        if not callable(found):
            raise _unusable(policy)
    # Rows of automatic many-to-many tables are there or not: they have no values to compare.
    return Policy(NEWER) if model._meta.auto_created else Policy(NEWER, found)


def _option(model: type[Model]) -> Any:
    """What the model, or else the project, says."""
    owner: Any = model._meta.auto_created or model
    return model_option(owner, "CONFLICT", conf.conflict)


def _unusable(policy: object) -> WrongSetting:
    return WrongSetting(
        f"SYNCHRO_CONFLICT is {policy!r}; it can be {', '.join(map(repr, POLICIES))}, a callable, or the dotted path "
        "of one."
    )


@dataclass(frozen=True)
class Question:
    """A conflict, as it is put before a callable."""

    model: type[Model]
    key: Key
    #: Both rows, in the order of the table's fields; None for one that was deleted.
    here: Sequence[Any] | None
    there: Sequence[Any] | None
    local_date: datetime
    remote_date: datetime
    fields: tuple[str, ...]


def ask(session: Session, decider: Decider, question: Question) -> Answer:
    """
    Have the callable decide.

    Raises `Undecided` where it raises, or gives what is no decision.
    """
    try:
        answer = decider(
            question.model,
            _object(session.local, question.model, question.here),
            _object(session.remote, question.model, question.there),
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
    if question.here is None or question.there is None:
        raise _undecided(
            decider, question, _("it returned merged values for a row that one side has deleted")
        )
    return _merged(session, decider, question, answer)


def _object(side: Database, model: type[Model], row: Sequence[Any] | None) -> Model | None:
    """An instance with these values, and with what is not synchronized left for Django to load when asked for."""
    if row is None:
        return None
    fields = Table(model).fields
    values = {f: to_attribute(f, value, side.connection) for f, value in zip(fields, row, strict=True)}
    known = [field for field in model._meta.concrete_fields if field in values]
    return model.from_db(side.alias, [f.attname for f in known], [values[f] for f in known])


def _merged(
    session: Session, decider: Decider, question: Question, answer: Mapping[Any, Any]
) -> dict[AnyField, Any]:
    fields = {name: f for f in mergeable(question.model) for name in (f.name, f.attname)}
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


def mergeable(model: type[Model]) -> list[AnyField]:
    """The fields that may be merged: all of the table's but its key, generic foreign keys and other keys."""
    generic = {name for each in generic_keys(model) for name in (each.ct_field, each.fk_field)}
    keys = key_fields(model)
    return [
        f for f in Table(model).fields if f not in keys and f.name not in generic and named_model(f) is None
    ]


def _checked(session: Session, field: AnyField, value: Any) -> Any:
    """`value` as an attribute of LOCAL's object."""
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
            "written; mend the callable, or set SYNCHRO_CONFLICT to something else, and synchronize again."
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
