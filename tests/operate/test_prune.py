"""``synchro_prune``: what every REMOTE has goes, what one lacks stays; also a log that is sent nowhere is pruned."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db.models import F
from django.test import override_settings

from synchro.core import call_synchronize
from synchro.models import Batch, ChangeLog, Node
from tests.shop.models import Seat

pytestmark = pytest.mark.django_db(databases=["default", "remote"], transaction=True)


def prune(*arguments: str) -> dict[str, Any]:
    output = StringIO()
    call_command("synchro_prune", "--json", *arguments, stdout=output)
    return dict(json.loads(output.getvalue()))


def age(days: int) -> None:
    """Let everything that is in the log be that much older."""
    ChangeLog.objects.update(date=F("date") - timedelta(days=days))
    Batch.objects.update(formed=F("formed") - timedelta(days=days))


def test_what_every_remote_has_is_dropped_and_what_one_lacks_is_kept() -> None:
    for number in range(3):
        Seat.objects.create(number=number)
    # A run prunes by itself what is old enough then.
    call_synchronize()
    age(days=40)
    Seat.objects.create(number=3)

    assert prune("--dry-run")["entries"] == 2
    assert ChangeLog.objects.count() == 4
    # The newest entry of all that was replayed stays, as after a run.
    assert prune()["entries"] == 2
    assert ChangeLog.objects.count() == 2
    assert prune()["entries"] == 0
    call_synchronize()
    assert sorted(Seat.objects.using("remote").values_list("number", flat=True)) == [0, 1, 2, 3]


def test_log_of_a_node_that_sends_nowhere_is_pruned_and_whoever_replays_there_is_told() -> None:
    with override_settings(SYNCHRO_REMOTE=None):
        for number in range(3):
            Seat.objects.create(number=number)
        age(days=40)
        Seat.objects.create(number=3)
        assert prune("--older-than", "50")["entries"] == 0
        assert prune("--dry-run")["entries"] == 3

        assert prune() | {"before": None} == {
            "entries": 3,
            "batches": 0,
            "before": None,
            "is_unsent": True,
            "slow": [],
        }

    assert ChangeLog.objects.count() == 1
    node = Node.objects.get()
    assert (node.pruned, node.pruned_until is not None) == (1, True)


def test_nothing_is_dropped_before_a_remote_that_is_named_has_received_anything() -> None:
    Seat.objects.create(number=1)
    age(days=40)

    assert prune()["entries"] == 0
    assert ChangeLog.objects.count() == 1
