"""``options.last_check``: the checkpoint time that people see and may set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from django.apps import apps
from django.conf import settings
from django.dispatch import Signal
from django.utils import timezone

from synchro.conf import LOCAL

#: Sent with ``moment`` (aware, UTC) when a person, not a run, set the checkpoint time to another one.
checkpoint_set = Signal()

_by_a_run: ContextVar[bool] = ContextVar("synchro_checkpoint_by_a_run", default=False)

#: The row of the table of options that holds it, as text: UTC, with microseconds.
NAME = "last_check"


@contextmanager
def moved_by_a_run() -> Iterator[None]:
    """Inside, setting the checkpoint time is the run's own doing, not a person's wish."""
    token = _by_a_run.set(True)
    try:
        yield
    finally:
        _by_a_run.reset(token)


class Options:
    """What synchro keeps of this project in LOCAL, read from the database each time."""

    @property
    def last_check(self) -> datetime | None:
        """
        When the last run began to look, or what a person set; None before the first run.

        Aware (UTC) where ``USE_TZ`` is on, else naive in the project's time zone. Can be set to a datetime, or a text
        in ISO format; naive values are in the current time zone. Set back, it makes what was logged after it be
        replayed again; set forward, it makes what was logged before it be forgotten, and the log says how much that
        is. Setting it to the value that it has changes nothing.

        Raises `ValueError` for a text that is no moment.
        """
        stored = _rows().filter(name=NAME).values_list("value", flat=True).first()
        if not stored:
            return None
        moment = datetime.fromisoformat(stored)
        return moment if settings.USE_TZ else timezone.make_naive(moment)

    @last_check.setter
    def last_check(self, value: datetime | str | None) -> None:
        moment = _moment(value)
        text = "" if moment is None else moment.isoformat(timespec="microseconds")
        is_wish = moment is not None and not _by_a_run.get()
        is_new = is_wish and not _rows().filter(name=NAME, value=text).exists()
        if not _rows().filter(name=NAME).update(value=text):
            _rows().update_or_create(name=NAME, defaults={"value": text})
        if is_new:
            checkpoint_set.send(sender=type(self), moment=moment)


def _rows() -> Any:
    """Return the query set of LOCAL's options. (The models import this module, so it cannot import them.)"""
    return apps.get_model("synchro", "Option")._default_manager.using(LOCAL)


def _moment(value: datetime | str | None) -> datetime | None:
    """Return `value`, aware and in UTC."""
    if not value:
        return None
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(
                f"{value!r} is no moment; give a datetime, or a text such as '2020-01-31 12:00:00'."
            ) from None
    return aware(value).astimezone(UTC)


def aware(moment: datetime) -> datetime:
    return timezone.make_aware(moment) if timezone.is_naive(moment) else moment
