"""
Try a batch again when REMOTE refuses something in it.

With `SYNCHRO_ON_ERROR = 'stop'` the run stops there. With 'quarantine' the batch begins anew without the rows that
are refused, and without what depends on them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NoReturn, Protocol

from django.db import IntegrityError
from django.db.models import Model
from django.utils.translation import gettext as _

from synchro.conf import conf
from synchro.exceptions import Refused, Unidentified
from synchro.replay.log.changes import Changes, RowId
from synchro.replay.plan import Plan, Reason, Reasons
from synchro.replay.quarantine.diagnosis import Diagnosis, EveryFault, FirstFault, NoLook
from synchro.replay.quarantine.store import Quarantine

#: How often a batch begins anew without some rows. After that the rest of a model that is still refused is set aside
#: as a whole, and `--retry` sorts it out.
ROUNDS = 20


class Strategy(Protocol):
    """What is known after the attempts at a batch so far."""

    quarantine: Quarantine
    #: Rows that the batch is to be about besides those that its entries name.
    also: set[RowId]
    #: Columns that are to be written of some rows besides those that entries name.
    columns: set[tuple[RowId, str]]
    #: Who is asked which rows are refused.
    diagnosis: Diagnosis

    @property
    def is_free(self) -> bool:
        """Whether nothing is to be left out or taken along, as far as is known."""

    @property
    def is_thorough(self) -> bool:
        """Whether what REMOTE may refuse at the commit only is looked at before."""

    @property
    def unidentified(self) -> Collection[RowId]:
        """The rows that are left out since nobody can say by their natural keys which rows of REMOTE they are."""

    def join(self, changes: Changes) -> Collection[RowId]:
        """Make what was set aside earlier part of the batch; return what rests."""

    def refused(self, plan: Plan) -> Mapping[RowId, Reason]:
        """The rows that the next attempt is to leave out."""

    def learn(self, error: Refused | IntegrityError) -> None:
        """Raise the error that the run stops with, unless another attempt can go better."""


def strategy_of(quarantine: Quarantine, taken_up: Collection[RowId]) -> Strategy:
    return (
        QuarantineOnError(quarantine, taken_up) if conf.on_error == "quarantine" else StopOnError(quarantine)
    )


class StopOnError:
    def __init__(self, quarantine: Quarantine) -> None:
        self.quarantine = quarantine
        self.also: set[RowId] = set()
        self.columns: set[tuple[RowId, str]] = set()
        self._refusals = 0
        self.diagnosis: Diagnosis = FirstFault()

    @property
    def is_free(self) -> bool:
        return not self.quarantine and not self.also and not self._refusals

    @property
    def is_thorough(self) -> bool:
        return self._refusals > 0

    @property
    def unidentified(self) -> Collection[RowId]:
        return ()

    def join(self, changes: Changes) -> Collection[RowId]:
        """Apply all of the batch: nothing is put into quarantine while other changes go on."""
        return self.quarantine.join(changes, self.quarantine.all())

    def refused(self, plan: Plan) -> Mapping[RowId, Reason]:
        return {}

    def learn(self, error: Refused | IntegrityError) -> None:
        self._refusals += 1
        # Perhaps only since somebody there added or deleted a row after it had been looked for.
        is_worth_it = isinstance(error, IntegrityError) or isinstance(error.__cause__, IntegrityError)
        if self._refusals == 2 or not is_worth_it:
            _stop(error)


class QuarantineOnError:
    def __init__(self, quarantine: Quarantine, taken_up: Collection[RowId]) -> None:
        self.quarantine, self._taken_up = quarantine, taken_up
        self.also: set[RowId] = set()
        self.columns: set[tuple[RowId, str]] = set()
        self._reasons: Reasons = {}
        self._unidentified: set[RowId] = set()
        self._rounds = 0
        #: Models of which all is left out.
        self._given_up: dict[type[Model], Reason] = {}
        self.diagnosis: Diagnosis = NoLook()
        self._is_thorough = False

    @property
    def is_free(self) -> bool:
        return not self.quarantine and not self.also and isinstance(self.diagnosis, NoLook)

    @property
    def is_thorough(self) -> bool:
        return self._is_thorough

    @property
    def unidentified(self) -> Collection[RowId]:
        return self._unidentified

    def join(self, changes: Changes) -> Collection[RowId]:
        return self.quarantine.join(changes, {*self._taken_up, *self.also})

    def refused(self, plan: Plan) -> Mapping[RowId, Reason]:
        found: Reasons = {}
        for model, reason in self._given_up.items():
            locals_gone = (local for local in plan.deletions.get(model, {}).values() if local is not None)
            found |= {(model, key): reason for key in (*plan.writes.get(model, {}), *locals_gone)}
        return found | self._reasons

    def learn(self, error: Refused | IntegrityError) -> None:
        if isinstance(self.diagnosis, NoLook):
            # Perhaps only since somebody there added or deleted a row after it had been looked for.
            self.diagnosis = EveryFault()
            return
        culprits = error.culprits if isinstance(error, Refused) else ()
        found = {(each.model, each.key): Reason(each.cause) for each in culprits}
        if found.keys() - self._reasons.keys():
            self._reasons |= found
            if isinstance(error, Unidentified):
                self._unidentified |= found.keys()
            self._rounds += 1
            if self._rounds > ROUNDS:
                self._give_up({model for model, _key in found})
        elif not self._is_thorough:
            self._is_thorough = True
        else:
            _stop(error)

    def _give_up(self, models: Collection[type[Model]]) -> None:
        for model in models:
            text = _("too much of %(model)s was refused in one batch")
            self._given_up[model] = Reason(text % {"model": model._meta.label})


def _stop(error: Refused | IntegrityError) -> NoReturn:
    if isinstance(error, Refused):
        raise error from error.__cause__
    raise Refused(
        _(
            "REMOTE refuses the batch (%(cause)s): a row in it points at one that is not there. The batch was rolled "
            "back. Synchronize again; if this happens again, look on LOCAL for rows that point at nothing."
        )
        % {"cause": type(error).__name__}
    ) from error
