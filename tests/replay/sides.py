"""The two deployments, within one process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

from django.contrib.contenttypes.models import ContentType
from django.core.management.color import no_style
from django.db import connections
from django.db.models import Model
from django.test.utils import override_settings

from synchro.core import DisableSynchroLog
from synchro.models import ChangeLog, Node

LOCAL, REMOTE = "default", "remote"

M = TypeVar("M", bound=Model)


@contextmanager
def other_side() -> Iterator[None]:
    """
    Inside, this process is the other deployment: its own database is ``default``, and ours is its REMOTE.

    It captures by signals, whatever our side does.

    Objects that were read outside belong to the other database inside; read them again.
    """
    _swap()
    try:
        with override_settings(SYNCHRO_CAPTURE="signals"):
            yield
    finally:
        _swap()


def _swap() -> None:
    local, remote = connections[LOCAL], connections[REMOTE]
    local.alias, remote.alias = REMOTE, LOCAL
    connections[LOCAL], connections[REMOTE] = remote, local
    databases = connections.databases
    databases[LOCAL], databases[REMOTE] = databases[REMOTE], databases[LOCAL]
    ContentType.objects.clear_cache()


def remote(model: type[M], **lookup: object) -> M:
    """The row of REMOTE that `lookup` finds."""
    found: M = model._base_manager.using(REMOTE).get(**lookup)
    return found


def remote_count(model: type[Model]) -> int:
    return model._base_manager.using(REMOTE).count()


def create_on_remote(model: type[M], **values: object) -> M:
    """A row that only REMOTE has, which its own log says nothing of."""
    return model._base_manager.using(REMOTE).create(**values)


def make_local_a_copy_of_remote(*model_classes: type[Model]) -> None:
    """
    LOCAL becomes what it is after REMOTE's dump was loaded into it: the same rows under the same keys, and
    REMOTE's node id. The rows of LOCAL are written to REMOTE for that, since only the outcome counts.
    """
    for model in model_classes:
        rows = list(model._base_manager.using(LOCAL).all())
        model._base_manager.using(REMOTE).bulk_create(rows)
    pass_sequences(*model_classes)
    node, _ = Node.objects.using(LOCAL).get_or_create(pk=1)
    Node.objects.using(REMOTE).update_or_create(pk=1, defaults={"uuid": node.uuid})


def pass_sequences(*model_classes: type[Model]) -> None:
    """Where keys were given, have REMOTE hand out greater ones from now on."""
    connection = connections[REMOTE]
    for sql in connection.ops.sequence_reset_sql(no_style(), list(model_classes)):
        with connection.cursor() as cursor:
            cursor.execute(sql)


def save_unlogged(instance: Model) -> None:
    with DisableSynchroLog():
        instance.save()


def let_time_pass(seconds: float = 10) -> None:
    """All that was logged so far, on both sides, becomes older by so much."""
    for alias in (LOCAL, REMOTE):
        for entry in ChangeLog.objects.using(alias).all():
            older = entry.date - timedelta(seconds=seconds)
            ChangeLog.objects.using(alias).filter(pk=entry.pk).update(date=older)
