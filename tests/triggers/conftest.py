"""A LOCAL with triggers on every table of the test app, and a way to read what they wrote."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection, models, transaction
from django.test.utils import override_settings

from synchro.backends import backend_for
from synchro.models import ChangeLog
from synchro.triggers.migrate import before_migrate
from synchro.triggers.watch import Watch


@dataclass(frozen=True)
class Entry:
    model: str
    object_id: str
    action: int
    fields: tuple[str, ...] | None
    natural_key: str | None


def entries(*wanted: type[models.Model]) -> list[Entry]:
    """What has been logged so far, of these models or of all; the log is empty afterwards."""
    labels = [model._meta.label_lower for model in wanted]
    found = []
    for one in ChangeLog.objects.order_by("id"):
        label = f"{one.content_type.app_label}.{one.content_type.model}"
        if not labels or label in labels:
            found.append(Entry(label.split(".")[1], one.object_id, one.action, one.fields, one.natural_key))
    ChangeLog.objects.all().delete()
    return found


def brief(*wanted: type[models.Model]) -> list[tuple[str, int, str]]:
    """Key, action and changed fields of each entry, in the order of keys."""
    return sorted((one.object_id, one.action, ",".join(one.fields or ())) for one in entries(*wanted))


def install(*arguments: str, **options: object) -> str:
    out = StringIO()
    call_command("synchro_install_triggers", *arguments, stdout=out, **options)
    return out.getvalue()


@contextmanager
def migrating() -> Iterator[None]:
    """Inside, `migrate` is at work on LOCAL, as far as triggers are concerned."""
    before_migrate(None, using="default")
    try:
        yield
    finally:
        if (watch := Watch.of(connection)) is not None:
            watch.end()


def empty() -> None:
    """No row in any table of the test app, nor in the log."""
    quote = connection.ops.quote_name
    with (
        transaction.atomic(),
        backend_for(connection).capture_off(),
        connection.constraint_checks_disabled(),
        connection.cursor() as cursor,
    ):
        for model in apps.get_app_config("capture").get_models(include_auto_created=True):
            cursor.execute(f"DELETE FROM {quote(model._meta.db_table)}", None)
    ChangeLog.objects.all().delete()


@pytest.fixture
def transactional_db(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """
    In place of the plugin's fixture of this name, which flushes the database after each test.

    That makes new content types, and so new triggers for every table. Here each test begins with `empty`.
    """
    with django_db_blocker.unblock():
        yield
        connection.close()


@pytest.fixture(scope="package")
def _uninstalled_at_the_end(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """For the tests of other folders, whose SYNCHRO_CAPTURE is 'signals'."""
    yield
    with django_db_blocker.unblock():
        install("--uninstall")
        connection.close()


@pytest.fixture
def triggers(_uninstalled_at_the_end: None, transactional_db: None) -> Iterator[None]:
    with override_settings(SYNCHRO_CAPTURE="triggers", SYNCHRO_MODELS=["capture"]):
        install()
        empty()
        yield
