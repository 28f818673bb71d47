"""Each step of a batch is announced where it happens, once, whichever way its rows go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
from django.db.models import Model
from django.db.models.signals import pre_save

from synchro.core import call_synchronize
from synchro.replay import signals
from tests.replay.deployments import REMOTE
from tests.shop.models import Customer

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "remote"])

STEPS = ["formed", "read", "identified", "resolved", "written", "committed", "acknowledged"]
BEFORE_WRITING = STEPS[: STEPS.index("written")]


@contextmanager
def steps_seen(model: type[Model]) -> Iterator[list[tuple[str, int]]]:
    """Yield a list of the steps, each with how many rows of the model REMOTE has, seen by the run itself."""
    found: list[tuple[str, int]] = []

    def receive(sender: object, step: str, batch: int, **_more: object) -> None:
        found.append((step, model._base_manager.using(REMOTE).count()))

    signals.step.connect(receive)
    try:
        yield found
    finally:
        signals.step.disconnect(receive)


@contextmanager
def with_a_receiver() -> Iterator[None]:
    """Inside, code of the project's own runs for each customer, so that none goes in bulk."""

    def receive(sender: object, **_more: object) -> None:
        """Look on."""

    pre_save.connect(receive, sender=Customer)
    try:
        yield
    finally:
        pre_save.disconnect(receive, sender=Customer)


@pytest.mark.parametrize("way", [nullcontext, with_a_receiver], ids=["in bulk", "object by object"])
def test_nothing_is_written_before_all_is_identified_and_resolved(way: Any) -> None:
    for name in "abc":
        Customer.objects.create(name=name)

    with way(), steps_seen(Customer) as seen:
        call_synchronize()

    assert [step for step, _count in seen] == STEPS
    assert dict(seen) == {step: 0 if step in BEFORE_WRITING else 3 for step in STEPS}
