"""More than one REMOTE: each has its own position, and one that is away holds back nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.core.management import CommandError, call_command
from django.db import ProgrammingError, connections
from django.test import override_settings

from synchro.core import DisableSynchroLog, call_synchronize
from synchro.exceptions import Incomplete, NotConfigured
from synchro.models import CHANGE, ChangeLog, Checkpoint, Reference, SetAside
from tests.clones import clone
from tests.flush import flush
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import let_time_pass
from tests.replay.policies import more_cash
from tests.shop.models import Customer, Seat

pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True, databases="__all__")]


@pytest.fixture(scope="module", autouse=True)
def third_database(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """A database `branch`, with all tables, before the tests ask which databases there are."""
    folder = tmp_path_factory.mktemp("third") / "branch"
    folder.mkdir()
    with django_db_blocker.unblock():
        settings.DATABASES["branch"] = {**clone(connections["remote"], "branch", folder), "OPTIONS": {}}
        flush("branch")
    yield folder
    with django_db_blocker.unblock():
        connections["branch"].close()
    del connections["branch"], settings.DATABASES["branch"]


@pytest.fixture
def branch(third_database: Path, transactional_db: None) -> Iterator[Path]:
    """The folder of the database `branch`, which is a REMOTE too; whoever moves it away has it put back."""
    with override_settings(SYNCHRO_REMOTE=["branch", "remote"]):
        yield third_database
    away = third_database.with_name("away")
    if away.exists():
        connections["branch"].close()
        away.rename(third_database)


def names_on(alias: str) -> list[str]:
    return sorted(Customer.objects.using(alias).values_list("name", flat=True))


def take_away(folder: Path) -> Path:
    connections["branch"].close()
    return folder.rename(folder.with_name("away"))


def test_changes_arrive_on_every_remote(branch: Path) -> None:
    Customer.objects.using("branch").create(name="Branch's own")
    Customer.objects.create(name="Vimes")

    report = call_synchronize()

    assert report.remote == "branch, remote"
    assert (names_on("branch"), names_on("remote")) == (["Branch's own", "Vimes"], ["Vimes"])
    keys = {alias: str(Customer.objects.using(alias).get(name="Vimes").pk) for alias in ("branch", "remote")}
    assert dict(Reference.objects.values_list("peer__alias", "remote_object_id")) == keys
    assert_same_rows()


def test_remote_that_is_away_holds_back_nobody_and_catches_up_later(branch: Path) -> None:
    customer = Customer.objects.create(name="Vimes")
    call_synchronize()
    away = take_away(branch)
    customer.name = "Sir Samuel"
    customer.save()

    with pytest.raises(Incomplete, match="branch") as caught:
        call_synchronize()

    assert [report.remote for report in caught.value.reports] == ["remote"]
    assert list(caught.value.errors) == ["branch"]
    assert names_on("remote") == ["Sir Samuel"]

    away.rename(branch)
    Customer.objects.create(name="Carrot")
    call_synchronize()

    assert names_on("branch") == names_on("remote") == ["Carrot", "Sir Samuel"]
    assert len(set(Checkpoint.objects.values_list("batch", flat=True))) == 1


def test_command_tells_who_was_served_and_who_was_not(branch: Path, capsys: Any) -> None:
    Customer.objects.create(name="Vimes")
    take_away(branch)

    with pytest.raises(CommandError, match="branch"):
        call_command("synchronize", verbosity=1)

    assert "performed successfully" in capsys.readouterr().out
    assert names_on("remote") == ["Vimes"]


def test_one_remote_can_be_served_alone(branch: Path) -> None:
    Customer.objects.create(name="Vimes")

    call_command("synchronize", remote="remote", verbosity=0)

    assert (names_on("branch"), names_on("remote")) == ([], ["Vimes"])

    call_command("synchronize", verbosity=0)

    assert names_on("branch") == ["Vimes"]


def test_database_that_is_no_remote_is_refused(branch: Path) -> None:
    with pytest.raises(NotConfigured, match="elsewhere"):
        call_synchronize(remote="elsewhere")


def test_remote_that_refuses_what_a_run_needs_holds_back_no_other(branch: Path) -> None:
    Customer.objects.create(name="Vimes")

    def refuse(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "synchro_receipt" in sql:
            raise ProgrammingError("permission denied for table synchro_receipt")
        return execute(sql, params, many, context)

    with connections["branch"].execute_wrapper(refuse), pytest.raises(Incomplete, match="branch"):
        call_synchronize()

    assert (names_on("branch"), names_on("remote")) == ([], ["Vimes"])


def test_remote_that_leaves_the_list_and_comes_back_gets_all_of_it(branch: Path) -> None:
    customer = Customer.objects.create(name="Vimes")
    call_synchronize()
    with override_settings(SYNCHRO_REMOTE="remote"):
        customer.name = "Sir Samuel"
        customer.save()
        Customer.objects.create(name="gone").delete()
        Customer.objects.create(name="Carrot")
        call_synchronize()
    assert (names_on("branch"), names_on("remote")) == (["Vimes"], ["Carrot", "Sir Samuel"])
    with override_settings(SYNCHRO_REMOTE=["remote", "branch"]):
        customer.delete()
        call_synchronize()

    assert names_on("branch") == names_on("remote") == ["Carrot"]
    assert_same_rows()


def test_run_in_one_transaction_each_goes_on_where_one_refuses(branch: Path) -> None:
    with DisableSynchroLog():
        Seat.objects.using("branch").create(number=7)
    Customer.objects.create(name="Vimes")
    Seat.objects.create(number=7)

    with pytest.raises(Incomplete, match="branch"):
        call_synchronize(atomic=True)
    assert (names_on("branch"), names_on("remote")) == ([], ["Vimes"])

    Seat.objects.using("branch").all().delete()
    Customer.objects.create(name="Carrot")
    call_synchronize(atomic=True)
    assert names_on("branch") == names_on("remote") == ["Carrot", "Vimes"]


def test_what_one_remote_refuses_is_set_aside_for_that_one_only(branch: Path, settings: Any) -> None:
    settings.SYNCHRO_ON_ERROR = "quarantine"
    with DisableSynchroLog():
        obstacle = Seat.objects.using("branch").create(number=7)
    Seat.objects.create(number=7)

    report = call_synchronize()

    assert report.aside == 1
    assert SetAside.objects.get().peer.alias == "branch"
    assert Seat.objects.using("remote").count() == 1
    obstacle.delete()
    assert call_synchronize(retry=True).aside == 0
    assert Seat.objects.using("branch").count() == 1


def test_merged_values_go_to_every_remote(branch: Path, settings: Any) -> None:
    settings.SYNCHRO_CONFLICT = more_cash
    customer = Customer.objects.create(name="Vimes", cash=1)
    call_synchronize()
    let_time_pass()
    for alias, cash in (("branch", 5), ("remote", 3)):
        there = Customer.objects.using(alias).get()
        Customer.objects.using(alias).update(cash=cash)
        kind = ContentType.objects.db_manager(alias).get_for_model(Customer)
        ChangeLog.objects.using(alias).create(content_type_id=kind.pk, object_id=there.pk, action=CHANGE)
    customer.cash = 2
    customer.save()

    call_synchronize()
    call_synchronize()

    assert {Customer.objects.using(alias).get().cash for alias in ("default", "branch", "remote")} == {5}
