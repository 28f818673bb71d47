"""
Policies: who wins where both sides changed the same.

A policy is asked about rows, about members of sets, and about rows that depend on a deleted object. A new one is a
subclass of `Policy` and a line in `POLICIES`, which the system check and the test of docs/conflicts.md read.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from django.db.models import Model
from django.utils.module_loading import import_string

from synchro.conf import conf
from synchro.exceptions import WrongSetting
from synchro.last_check import aware
from synchro.model_options import model_option
from synchro.models import Conflict
from synchro.replay.conflicts.callables import Answer, Decider, Question, ask, mergeable_fields
from synchro.replay.conflicts.row_conflicts import Dates, RowConflict, by_dates
from synchro.replay.log.moments import origin_of
from synchro.replay.plan import Merge
from synchro.replay.session import Session


class Policy(ABC):
    """Decides who wins where both sides changed the same row, member of a set, or dependent row."""

    #: Whether a change that REMOTE made long before LOCAL's can win, as long as LOCAL has not received it.
    weighs_old_changes: ClassVar[bool] = False
    #: Whether more than two nodes end equal with it, in whichever order they synchronize.
    converges: ClassVar[bool] = False

    @abstractmethod
    def local_wins(self, session: Session, local_date: datetime, remote_date: datetime) -> bool:
        """Return whether LOCAL's change wins over REMOTE's, by their times alone."""

    def for_members(self) -> Policy:
        """Return the policy for members of sets, which have no values to compare."""
        return self

    def decide_row(self, conflict: RowConflict, local_date: datetime, remote_date: datetime) -> bool:
        """Decide about a row that one side has deleted; return whether LOCAL wins."""
        return self._decide(conflict, None, local_date, remote_date)

    def decide_fields(self, conflict: RowConflict, dates: Mapping[str, Dates]) -> set[str]:
        """
        Decide about the fields that both sides changed, each with the times of both changes.

        Return the names of those in which LOCAL's value is written. Where both sides made the same of a field, as a
        `migrate` on each side does, there is nothing to decide.
        """
        different = conflict.different(dates)
        won = set(dates) - set(different) if conflict.is_presumed or not different else set()
        for names, (local_date, remote_date) in by_dates(different):
            if self._decide(conflict, names, local_date, remote_date):
                won.update(names)
        return won

    def _decide(
        self,
        conflict: RowConflict,
        names: tuple[str, ...] | None,
        local_date: datetime,
        remote_date: datetime,
    ) -> bool:
        is_local = self.local_wins(conflict.session, local_date, remote_date)
        conflict.note(names, local_date, remote_date, winner_of(is_local))
        return is_local


class Newer(Policy):
    """The later change wins."""

    converges = True

    def local_wins(self, session: Session, local_date: datetime, remote_date: datetime) -> bool:
        """
        Compare the times on REMOTE's clock.

        Of two changes at the very same moment, the node where it was made decides, so that both directions agree.
        """
        peer = session.peer.uuid or session.node
        local_origin, remote_origin = origin_of(local_date, session.node), origin_of(remote_date, peer)
        return (aware(local_date) + session.offset, local_origin.int) > (
            aware(remote_date),
            remote_origin.int,
        )


class Local(Policy):
    """LOCAL wins: REMOTE's change is overwritten."""

    def local_wins(self, session: Session, local_date: datetime, remote_date: datetime) -> bool:
        return True


class Remote(Policy):
    """REMOTE wins: it keeps its change, as long as LOCAL has not received it."""

    weighs_old_changes = True

    def local_wins(self, session: Session, local_date: datetime, remote_date: datetime) -> bool:
        return False


class Callable(Newer):
    """A callable of the project decides about rows; members of sets and dependent rows go to the newer change."""

    weighs_old_changes = True
    converges = False

    def __init__(self, decider: Decider) -> None:
        self._decider = decider

    def for_members(self) -> Policy:
        return Newer()

    def decide_row(self, conflict: RowConflict, local_date: datetime, remote_date: datetime) -> bool:
        winner = conflict.history.verdict(conflict.model, conflict.key, None, local_date, remote_date)
        if winner is None:
            names = tuple(field.name for field in mergeable_fields(conflict.model))
            winner = str(self._ask(conflict, names, local_date, remote_date))
            conflict.note(None, local_date, remote_date, winner)
        return winner == Conflict.LOCAL

    def decide_fields(self, conflict: RowConflict, dates: Mapping[str, Dates]) -> set[str]:
        won: set[str] = set()
        if conflict.is_presumed:
            different = conflict.different(dates)
            won, dates = set(dates) - set(different), different
        verdicts = self._verdicts(conflict, dates)
        won |= {name for name, verdict in verdicts.items() if verdict == Conflict.LOCAL}
        undecided = {name for name in dates if verdicts[name] is None}
        to_ask = set(conflict.different({name: dates[name] for name in undecided}))
        won |= undecided - to_ask
        return won | self._answered(conflict, {name: dates[name] for name in to_ask}) if to_ask else won

    def _verdicts(self, conflict: RowConflict, dates: Mapping[str, Dates]) -> dict[str, str | None]:
        """Return who won each of these fields before, and those that were merged for this batch; None where open."""
        history, model, key = conflict.history, conflict.model, conflict.key
        conflict.plan.recorded_before += history.count_of_this_batch(model, key)
        asked = dict(dates)
        for name in history.merged_fields(model, key) - dates.keys():
            asked[name] = (
                conflict.change.date,
                conflict.remote_change.changed_at(name) or datetime.min.replace(tzinfo=UTC),
            )
        return {name: history.verdict(model, key, name, *at) for name, at in asked.items()}

    def _answered(self, conflict: RowConflict, dates: Mapping[str, Dates]) -> set[str]:
        """Ask about these fields; return the names of those in which LOCAL's present value is written."""
        names = tuple(sorted(dates))
        local_date, remote_date = (max(several) for several in zip(*dates.values(), strict=True))
        answer = self._ask(conflict, names, local_date, remote_date)
        if isinstance(answer, str):
            conflict.note(names, local_date, remote_date, answer)
            return set(names) if answer == Conflict.LOCAL else set()
        merged = tuple(sorted(field.name for field in answer))
        won: set[str] = set()
        decisions = []
        # What the answer does not name goes to the newer.
        for several, at in by_dates({name: at for name, at in dates.items() if name not in merged}):
            is_local = self.local_wins(conflict.session, *at)
            won |= set(several) if is_local else set()
            decisions.append(conflict.decision(several, *at, winner_of(is_local)))
        if not merged:
            conflict.plan.conflicts += decisions
            return won
        # The callable has seen all that both sides changed.
        last = conflict.change.date, conflict.remote_change.date
        decisions.append(conflict.decision(merged, *last, Conflict.MERGED))
        row, _remote = conflict.rows()
        assert row is not None
        conflict.plan.merges.append(Merge(conflict.model, conflict.key, row, answer, decisions))
        return won

    def _ask(
        self, conflict: RowConflict, names: tuple[str, ...], local_date: datetime, remote_date: datetime
    ) -> Answer:
        question = Question(conflict.model, conflict.key, *conflict.rows(), local_date, remote_date, names)
        return ask(conflict.session, self._decider, question)


#: The policies by what `SYNCHRO_CONFLICT` says; anything else is a callable, or the dotted path of one.
POLICIES: dict[str, type[Policy]] = {"newer": Newer, "local": Local, "remote": Remote}


def policy_for(model: type[Model]) -> Policy:
    """
    Return the policy of `model`; of an automatic many-to-many table, that of the model that declares the field.

    Raises `WrongSetting` where its setting is none.
    """
    owner: Any = model._meta.auto_created or model
    policy = policy_of(model_option(owner, "CONFLICT", conf.conflict))
    return policy.for_members() if model._meta.auto_created else policy


def policy_of(value: Any) -> Policy:
    """
    Return the policy that a value of `SYNCHRO_CONFLICT` means.

    Raises `WrongSetting` for anything but a name in `POLICIES`, a callable, or the dotted path of one.
    """
    if isinstance(value, str) and value in POLICIES:
        return POLICIES[value]()
    try:
        found = value if callable(value) else import_string(value)
    except (ImportError, TypeError, AttributeError) as error:
        raise _unusable(value) from error
    if not callable(found):
        raise _unusable(value)
    return Callable(found)


def winner_of(is_local: bool) -> str:
    """Return the word by which the record of a conflict names the winner."""
    return Conflict.LOCAL if is_local else Conflict.REMOTE


def _unusable(value: object) -> WrongSetting:
    return WrongSetting(
        f"SYNCHRO_CONFLICT is {value!r}; it can be {', '.join(map(repr, POLICIES))}, a callable, or the dotted path "
        "of one."
    )
