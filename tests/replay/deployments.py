"""The two deployments, within one process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from io import StringIO
from typing import Any, TypeVar

from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.core.management.color import no_style
from django.db import connections
from django.db.models import F, Model
from django.test.utils import override_settings

from synchro.backends import backend_for
from synchro.core import DisableSynchroLog, Report, call_synchronize
from synchro.models import ChangeLog, Node
from synchro.registry import watched_models
from tests.replay.compare import assert_same_rows
from tests.shop.models import Album, Artist, Category, Customer, Order, Pizzeria

LOCAL, REMOTE = "default", "remote"

M = TypeVar("M", bound=Model)


#: The mode of the whole run: what cannot be told apart by it is tested in both.
BY_TRIGGERS = settings.SYNCHRO_CAPTURE == "triggers"
#: How each database's changes are captured, by its alias outside `other_side`.
capture = dict.fromkeys((LOCAL, REMOTE), settings.SYNCHRO_CAPTURE)


@contextmanager
def other_side() -> Iterator[None]:
    """
    Inside, this process is the other deployment: its own database is ``default``, and ours is its REMOTE.

    Objects that were read outside belong to the other database inside; read them again.
    """
    _swap()
    try:
        with override_settings(SYNCHRO_CAPTURE=capture[REMOTE]):
            yield
    finally:
        _swap()


def synchronize_there() -> Report:
    """Have the other deployment synchronize."""
    with other_side():
        return call_synchronize()


def synchronize_both(first_here: bool, times: int = 3) -> None:
    """Have both deployments synchronize in turns."""
    runs = [call_synchronize, synchronize_there]
    for run in (runs if first_here else runs[::-1]) * times:
        run()


def assert_alike(*model_classes: type[Model]) -> None:
    """Assert that neither deployment finds a difference between the two databases."""
    assert_same_rows(*model_classes)
    with other_side():
        assert_same_rows(*model_classes)


def set_capture(alias: str, mode: str, *labels: str) -> None:
    """Have the changes of this database, or of these models in it, captured so from now on."""
    uninstall = () if mode == "triggers" else ("--uninstall",)
    call_command("synchro_install_triggers", *labels, *uninstall, database=alias, stdout=StringIO())
    capture[alias] = mode


@contextmanager
def captured_otherwise_on_remote(blocker: Any, *shop: str) -> Iterator[None]:
    """
    Inside, REMOTE captures in the way in which LOCAL does not, and only these models of the shop are watched.

    To be entered outside of tests.
    """
    with override_settings(SYNCHRO_MODELS=[("shop", *shop)]):
        labels = [model._meta.label for model in watched_models() if not model._meta.auto_created]
        with blocker.unblock():
            set_capture(REMOTE, "signals" if BY_TRIGGERS else "triggers", *labels)
        try:
            yield
        finally:
            with blocker.unblock():
                set_capture(REMOTE, capture[LOCAL], *labels)


@contextmanager
def captured_alike_or(way: str, blocker: Any, *shop: str) -> Iterator[None]:
    """Inside, both sides capture in the same way (``alike``), or REMOTE in the other one (``mixed``)."""
    with nullcontext() if way == "alike" else captured_otherwise_on_remote(blocker, *shop):
        yield


@contextmanager
def captured_by_triggers(*watched: object) -> Iterator[None]:
    """Inside, what is watched is captured by triggers, as it is anyway where the whole run is in that mode."""
    if BY_TRIGGERS:
        yield
        return
    with override_settings(SYNCHRO_CAPTURE="triggers", SYNCHRO_MODELS=[*watched]):
        call_command("synchro_install_triggers", stdout=StringIO())
        try:
            yield
        finally:
            call_command("synchro_install_triggers", "--uninstall", stdout=StringIO())


@contextmanager
def watching(blocker: Any, *apps: str) -> Iterator[None]:
    """Inside, these apps are watched; to be entered outside of tests, since it may make triggers."""
    with override_settings(SYNCHRO_MODELS=[*apps]):
        _make_triggers(blocker)
        yield
    _make_triggers(blocker)


def _make_triggers(blocker: Any) -> None:
    with blocker.unblock():
        for alias, mode in capture.items():
            if mode == "triggers":
                set_capture(alias, mode)


def unlogged(alias: str) -> AbstractContextManager[None]:
    """Inside, the log of this database says nothing of what is written to it by way of Django."""
    return backend_for(connections[alias]).capture_off()


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
    with unlogged(REMOTE):
        return model._base_manager.using(REMOTE).create(**values)


def use_up_key_on_remote(model: type[Model], **values: object) -> None:
    """Have REMOTE hand out other keys than LOCAL from now on."""
    with unlogged(REMOTE):
        row = model._base_manager.using(REMOTE).create(**values)
        for each in (
            model,
            *model._meta.get_parent_list(),
        ):  # nothing points at it yet, so nothing has to be looked for
            each._base_manager.using(REMOTE).filter(pk=row.pk)._raw_delete(REMOTE)  # type: ignore[attr-defined]


def use_up_keys_of_the_shop_on_remote() -> None:
    """Have REMOTE hand out other keys than LOCAL for the models that most tests are about."""
    for model in (Customer, Order, Album, Artist, Category, Pizzeria):
        values = {"customer": create_on_remote(Customer, name="gone")} if model is Order else {"name": "gone"}
        use_up_key_on_remote(model, **values)
    with unlogged(REMOTE):
        Customer.objects.using(REMOTE).all().delete()


def make_local_a_copy_of_remote(*model_classes: type[Model]) -> None:
    """
    LOCAL becomes what it is after REMOTE's dump was loaded into it: the same rows under the same keys, and
    REMOTE's node id. The rows of LOCAL are written to REMOTE for that, since only the outcome counts.
    """
    for model in model_classes:
        rows = list(model._base_manager.using(LOCAL).all())
        with unlogged(REMOTE):
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
        ChangeLog.objects.using(alias).update(date=F("date") - timedelta(seconds=seconds))
