"""``options.last_check``: the checkpoint time that people see and may set."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dbsettings
from dbsettings.signals import setting_changed
from django.conf import settings
from django.core.cache import cache
from django.dispatch import Signal, receiver
from django.utils import timezone

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Sent with ``moment`` (aware, UTC) when a person, not a run, set the checkpoint time.
checkpoint_set = Signal()

_by_a_run: ContextVar[bool] = ContextVar("synchro_checkpoint_by_a_run", default=False)


@contextmanager
def moved_by_a_run() -> Iterator[None]:
    """What is set inside is the replayer's own doing, not a person's wish."""
    token = _by_a_run.set(True)
    try:
        yield
    finally:
        _by_a_run.reset(token)


class CheckpointValue(dbsettings.DateTimeValue):  # type: ignore[misc]
    """
    A moment with its microseconds, read from the database each time.

    The value of dbsettings that this one replaces loses the fraction of the second, and is cached.
    """

    def __get__(self, instance: Any = None, cls: type | None = None) -> datetime | None:
        if instance is None:
            raise AttributeError(f"{self.attribute_name} is read from an instance of {cls}.")
        from dbsettings.models import Setting

        module, klass, name = self.key
        stored = Setting.objects.filter(module_name=module, class_name=klass, attribute_name=name)
        value = stored.values_list("value", flat=True).first()
        return self.to_python(value if value is not None else self.default)

    def __set__(self, instance: Any, value: datetime | str | None) -> None:
        moment = self.to_python(value)
        if value and moment is None:
            raise ValueError(
                f"{value!r} is no moment; give a datetime, or a text such as '2020-01-31 12:00:00'."
            )
        self._store(self.get_db_prep_save(value))
        setting_changed.send(sender=self, value=moment)

    def _store(self, text: str) -> None:
        """
        Write what `__get__` will read.

        dbsettings looks in its cache for the row, and writes a second one where the cache is wrong.
        """
        from dbsettings.models import Setting

        module, klass, name = self.key
        row = {"module_name": module, "class_name": klass, "attribute_name": name}
        if not Setting.objects.filter(**row).update(value=text):
            Setting.objects.create(**row, value=text)
        cache.delete(".".join(("dbsettings", *self.key)))

    def get_db_prep_save(self, value: datetime | str | None, **_options: Any) -> str:
        moment = self.to_python(value)
        return "" if moment is None else aware(moment).astimezone(UTC).isoformat(timespec="microseconds")

    def to_python(self, value: datetime | str | None) -> datetime | None:
        """Aware (UTC) where ``USE_TZ`` is on, else naive in the project's time zone."""
        if not value:
            return None
        moment = value if isinstance(value, datetime) else self._parse(value)
        if moment is None:
            return None
        return aware(moment).astimezone(UTC) if settings.USE_TZ else timezone.make_naive(aware(moment))

    def _parse(self, text: str) -> datetime | None:
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            return self._parse_format(text)  # type: ignore[no-any-return]


@receiver(setting_changed, dispatch_uid="synchro_checkpoint")
def on_setting_changed(sender: Any, value: datetime | None, **_kwargs: Any) -> None:
    """However it was set: as an attribute, or by a person in the editor of dbsettings."""
    if isinstance(sender, CheckpointValue) and value is not None and not _by_a_run.get():
        checkpoint_set.send(sender=type(sender), moment=aware(value).astimezone(UTC))


def aware(moment: datetime) -> datetime:
    return timezone.make_aware(moment) if timezone.is_naive(moment) else moment
