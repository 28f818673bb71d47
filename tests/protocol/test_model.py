"""
The protocol in every order of events, as a model that is small enough for all of its states to be visited.

See docs/protocol-model.md. ``test_histories.py`` does the same with two real databases.
"""

from __future__ import annotations

import pytest

from tests.protocol import mutations
from tests.protocol.checker import explore
from tests.protocol.rules import Rules
from tests.protocol.scopes import LARGE, SMALL

pytestmark = pytest.mark.once


@pytest.mark.parametrize("name", SMALL)
def test_no_order_of_events_loses_doubles_or_overwrites_anything(name: str) -> None:
    outcome = explore(Rules(SMALL[name]))

    assert outcome.failure is None, str(outcome.failure)
    assert outcome.at_rest > 20
    assert outcome.states > 1000


#: What a mistake in the rules leads to, and the scope in which it shows.
MISTAKES: list[tuple[type[Rules], str, str]] = [
    (mutations.TakesTheHighestIdForThePosition, "late commits", "REMOTE has"),
    (mutations.ForgetsGapsAtTheNextLook, "late commits", "REMOTE has"),
    (mutations.ForgetsAGapWhenAnyWriterEnds, "late commits", "REMOTE has"),
    (mutations.LooksIntoGapsBeforeItAsksWhoWrites, "late commits", "REMOTE has"),
    (mutations.WritesTheReceiptAfterwards, "late commits", "doubled"),
    (mutations.RecoversNoReferences, "late commits", "doubled"),
    (mutations.LeavesReferencesToLocal, "late commits", "doubled"),
    (mutations.DoesNotHoldTheReceipt, "two processes at once", "doubled"),
    (mutations.ForgetsDecisionsBeforeItHoldsTheReceipt, "both ways, two processes", "without a record"),
    (mutations.SkipsTheToken, "a copy is put back", "no run says so"),
    (mutations.NotesWhatWasReceivedAfterItHasRead, "both ways", "without a record"),
    (mutations.AsksNobodyWhoIsNewer, "both ways", "without a record"),
    (mutations.TakesTheOlderForTheNewer, "both ways", "newest"),
    (mutations.CapturesWhatItWrites, "both ways", "never come to rest"),
    (mutations.TakesLostRowsForNewOnes, "both ways", "REMOTE has"),
    (mutations.LocksNoRows, "both ways", "without a record"),
    (mutations.WritesDownAfterwardsWhatItDecided, "quarantine", "REMOTE has"),
    (mutations.ForgetsWhatIsInQuarantine, "quarantine", "REMOTE has"),
    (mutations.TakesWhatWasRefusedForReceived, "both ways, changes are refused", "without a record"),
    (mutations.AsksLaterWhatWasRefused, "both ways, changes are refused", "without a record"),
    (mutations.PrunesWhatTheFastestHas, "two REMOTEs and pruning", "pruned"),
    (mutations.TakesWhatPruningLeavesForNews, "both ways, pruning", "without a record"),
    (mutations.DoesNotLookWhetherRemoteHasPruned, "both ways, pruning", "without a record"),
]

#: The larger ones are not visited whole in the suite: a mistake is found long before.
SCOPES = SMALL | LARGE


@pytest.mark.parametrize(
    ("rules", "scope", "what"), MISTAKES, ids=lambda value: getattr(value, "__name__", "")
)
def test_a_mistake_in_the_rules_is_found(rules: type[Rules], scope: str, what: str) -> None:
    outcome = explore(rules(SCOPES[scope]))

    assert outcome.failure is not None
    assert what in outcome.failure.what
    assert outcome.failure.story


def test_every_mistake_is_among_those_that_are_tried() -> None:
    known = {
        value for value in vars(mutations).values() if isinstance(value, type) and issubclass(value, Rules)
    }

    assert known - {Rules} == {rules for rules, _scope, _what in MISTAKES}
