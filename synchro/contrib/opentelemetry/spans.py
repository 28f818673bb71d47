"""
A span for each run, below it one for each batch, and below that one for each step of it.

They say no values of rows: the alias of REMOTE, numbers, and the class of an error. Spans that other packages make of
statements of the databases are below the batch that they belong to.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from typing import Any

from opentelemetry import context, trace
from opentelemetry.trace import Span, Status, StatusCode

from synchro import __version__, events
from synchro.replay.signals import step
from synchro.report import ModelReport


@dataclass
class _Run:
    """The spans of the run that this thread or task makes."""

    span: Span
    token: Token[Any]
    batches: dict[int, Span] = field(default_factory=dict)
    #: The batch at hand, and what makes its span the current one.
    current: int | None = None
    current_token: Token[Any] | None = None
    #: When the last step ended, in nanoseconds.
    mark: int = 0

    def enter(self, batch: int) -> None:
        if batch != self.current:
            self.leave()
            self.current = batch
            self.current_token = context.attach(trace.set_span_in_context(self.batches[batch]))

    def leave(self) -> None:
        if self.current_token is not None:
            context.detach(self.current_token)
        self.current = self.current_token = None


_run: ContextVar[_Run | None] = ContextVar("synchro_opentelemetry", default=None)


def connect() -> None:
    """Make spans of the runs of this process; once is enough."""
    for signal, receiver in (
        (events.run_started, _begin),
        (step, _step),
        (events.batch_applied, _end_batch),
        (events.run_ended, _end),
    ):
        signal.connect(receiver, dispatch_uid="synchro_opentelemetry")


def _tracer() -> trace.Tracer:
    return trace.get_tracer("synchro", __version__)


def _begin(*, remote: str, by: str, atomic: bool, retry: bool, **_kwargs: Any) -> None:
    attributes: dict[str, str | bool] = {
        "synchro.remote": remote,
        "synchro.by": by,
        "synchro.atomic": atomic,
        "synchro.retry": retry,
    }
    span = _tracer().start_span("synchro.run", attributes=attributes)
    token = context.attach(trace.set_span_in_context(span))
    _run.set(_Run(span, token, mark=time.time_ns()))


def _step(*, step: str, batch: int, **_kwargs: Any) -> None:
    """End a step: signals tell when one is over, and it began when the one before it was."""
    run = _run.get()
    if run is None:
        return
    now = time.time_ns()
    if step == "formed":
        parent = trace.set_span_in_context(run.span)
        run.batches[batch] = _tracer().start_span(
            "synchro.batch", parent, start_time=run.mark, attributes={"synchro.batch": batch}
        )
    if batch in run.batches:
        run.enter(batch)
        _tracer().start_span(f"synchro.{step}", start_time=run.mark).end(now)
    run.mark = now


def _end_batch(
    *,
    batch: int,
    entries: int,
    models: Sequence[ModelReport],
    conflicts: int,
    quarantined: int,
    **_kwargs: Any,
) -> None:
    run = _run.get()
    if run is None or batch not in run.batches:
        return
    run.leave()
    span = run.batches.pop(batch)
    span.set_attributes(
        {
            "synchro.entries": entries,
            "synchro.rows.added": sum(model.added for model in models),
            "synchro.rows.changed": sum(model.changed for model in models),
            "synchro.rows.deleted": sum(model.deleted for model in models),
            "synchro.conflicts": conflicts,
            "synchro.quarantined": quarantined,
        }
    )
    run.mark = time.time_ns()
    span.end(run.mark)


def _end(*, error: BaseException | None, **_kwargs: Any) -> None:
    run = _run.get()
    if run is None:
        return
    _run.set(None)
    run.leave()
    failure = None if error is None else Status(StatusCode.ERROR, type(error).__name__)
    for span in (*run.batches.values(), run.span):
        if failure is not None:
            span.set_status(failure)
        span.end()
    context.detach(run.token)
