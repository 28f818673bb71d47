"""Spans for OpenTelemetry, as its own SDK collects them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from synchro import events
from synchro.contrib.opentelemetry import spans
from synchro.core import call_synchronize
from synchro.exceptions import Refused
from synchro.replay.signals import step
from tests.replay.deployments import create_on_remote
from tests.shop.models import Seat

pytestmark = [pytest.mark.once, pytest.mark.django_db(databases=["default", "remote"], transaction=True)]


@pytest.fixture(scope="module")
def provider() -> TracerProvider:
    """OpenTelemetry takes one for each process."""
    provider = TracerProvider()
    trace.set_tracer_provider(provider)
    return provider


@pytest.fixture
def exported(provider: TracerProvider) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    processor = SimpleSpanProcessor(exporter)
    provider.add_span_processor(processor)
    spans.connect()
    yield exporter
    for signal in (events.run_started, step, events.batch_applied, events.run_ended):
        signal.disconnect(dispatch_uid="synchro_opentelemetry")
    processor.shutdown()


def named(exported: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in exported.get_finished_spans() if span.name == name]


@pytest.mark.parametrize("atomic", [False, True])
def test_spans_of_steps_are_below_their_batch_and_that_below_its_run(
    exported: InMemorySpanExporter, settings: Any, atomic: bool
) -> None:
    settings.SYNCHRO_BATCH_SIZE = 2
    for number in (1, 2, 3):
        Seat.objects.create(number=number)

    call_synchronize(atomic=atomic)

    (run,) = named(exported, "synchro.run")
    first, second = sorted(
        named(exported, "synchro.batch"), key=lambda span: span.attributes["synchro.batch"]
    )
    assert (run.parent, run.attributes["synchro.remote"]) == (None, "remote")
    assert first.parent.span_id == second.parent.span_id == run.context.span_id
    assert (first.attributes["synchro.entries"], second.attributes["synchro.rows.added"]) == (2, 1)
    for name in ("read", "written", "committed", "acknowledged"):
        parents = [span.parent.span_id for span in named(exported, f"synchro.{name}")]
        assert sorted(parents) == sorted([first.context.span_id, second.context.span_id]), name
    for span in exported.get_finished_spans():
        assert run.start_time <= span.start_time <= span.end_time <= run.end_time, span.name
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_spans_of_a_failed_run_are_ended_and_say_so_without_values(exported: InMemorySpanExporter) -> None:
    create_on_remote(Seat, number=1)
    Seat.objects.create(number=1)

    with pytest.raises(Refused):
        call_synchronize()

    for span in (*named(exported, "synchro.run"), *named(exported, "synchro.batch")):
        assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "Refused")
        assert not span.events
    assert trace.get_current_span() is trace.INVALID_SPAN
