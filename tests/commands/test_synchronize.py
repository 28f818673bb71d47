"""``manage.py synchronize``, as a person at the command line meets it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import ProgrammingError, connections
from django.db.models import Model
from django.utils.translation import override

from synchro.core import call_synchronize
from synchro.exceptions import NotConfigured, NotReady
from synchro.models import ChangeLog, Node, Peer, Receipt, Reference
from tests.replay.deployments import create_on_remote, remote_count
from tests.shop.models import Customer, Order, Seat

pytestmark = pytest.mark.django_db(databases=["default", "remote"])


def synchronize(**options: Any) -> str:
    output = StringIO()
    call_command("synchronize", stdout=output, **options)
    return output.getvalue()


def test_command_says_what_was_done() -> None:
    Customer.objects.create(name="Vimes")

    output = synchronize()

    assert "Synchronization performed successfully." in output
    assert remote_count(Customer) == 1


def test_command_says_that_there_was_nothing_to_do() -> None:
    assert "No changes since last synchronization." in synchronize()


def test_command_is_silent_when_asked_to_be() -> None:
    Customer.objects.create(name="Vimes")

    assert synchronize(verbosity=0) == ""


def test_refusal_is_a_command_error() -> None:
    create_on_remote(Seat, number=1)
    Seat.objects.create(number=1)

    with pytest.raises(CommandError, match="Seat"):
        synchronize()


@contextmanager
def renamed(*model_classes: type[Model]) -> Iterator[None]:
    """Inside, LOCAL has no tables of these names."""
    names = [model._meta.db_table for model in model_classes]
    for model, name in zip(model_classes, names, strict=True):
        with connections["default"].schema_editor() as editor:
            editor.alter_db_table(model, name, f"{name}_away")
    try:
        yield
    finally:
        for model, name in zip(model_classes, names, strict=True):
            with connections["default"].schema_editor() as editor:
                editor.alter_db_table(model, f"{name}_away", name)


@pytest.mark.once
@pytest.mark.django_db(databases=["default", "remote"], transaction=True)
@pytest.mark.parametrize("model_classes", [(Node,), (Node, Peer, Receipt, Reference)])
def test_local_that_was_not_migrated_is_said_without_a_traceback(model_classes: Any) -> None:
    with renamed(*model_classes), pytest.raises(CommandError, match=r"migrate .*--database default"):
        synchronize()


def refuse_receipts(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    if "synchro_receipt" in sql:
        raise ProgrammingError("permission denied for table synchro_receipt")
    return execute(sql, params, many, context)


def test_words_of_a_database_are_for_whoever_may_run_commands() -> None:
    with connections["remote"].execute_wrapper(refuse_receipts):
        with pytest.raises(CommandError, match="permission denied for table"):
            synchronize()
        with pytest.raises(NotReady) as raised:
            call_synchronize()

    assert "remote" in str(raised.value)
    assert "permission" not in str(raised.value)


@pytest.mark.once
def test_without_a_remote_entries_are_logged_and_nothing_is_synchronized(settings: Any) -> None:
    settings.SYNCHRO_REMOTE = None
    Customer.objects.create(name="Vimes")

    with pytest.raises(CommandError, match="SYNCHRO_REMOTE"):
        synchronize()
    with pytest.raises(NotConfigured, match="SYNCHRO_REMOTE"):
        call_synchronize()

    assert ChangeLog.objects.count() == 1


@pytest.mark.once
def test_absent_remote_is_treated_like_none(settings: Any) -> None:
    del settings.SYNCHRO_REMOTE

    with pytest.raises(CommandError, match="SYNCHRO_REMOTE"):
        synchronize()


@pytest.mark.once
def test_alias_that_is_not_in_databases_is_named(settings: Any) -> None:
    settings.SYNCHRO_REMOTE = "nowhere"

    with pytest.raises((ImproperlyConfigured, CommandError), match="nowhere"):
        synchronize()


@pytest.mark.once
def test_message_of_a_report_is_translated() -> None:
    messages = set()
    for language in ("en", "pl", "de", "fr", "es"):
        with override(language):
            messages.add(str(call_synchronize()))

    assert len(messages) == 5


def test_report_counts_what_was_done_per_model() -> None:
    vimes, carrot = Customer.objects.create(name="Vimes"), Customer.objects.create(name="Carrot")
    Order.objects.create(customer=vimes)
    call_synchronize()
    Customer.objects.create(name="Nobby")
    for cash in (2, 3):
        vimes.cash = cash
        vimes.save()
    carrot.delete()

    report = call_synchronize()

    (model,) = report.models
    assert model.model.lower() == "shop.customer"
    assert (model.added, model.changed, model.deleted, model.kept) == (1, 1, 1, 0)
    assert (report.remote, report.entries, report.batches) == ("remote", 4, 1)
    assert report.seconds > 0
