"""Three nodes: when a log tells what was received, and what is refused before it can lose a change."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connections
from django.db.models import F
from django.test import override_settings

from synchro.core import call_synchronize, reset_synchro
from synchro.exceptions import NotConfigured, NotReady, UnknownState
from synchro.models import Batch, ChangeLog, Checkpoint, Conflict, Node, Receipt
from synchro.replay import handshake
from synchro.replay.handshake import Clocks
from synchro.replay.signals import step
from synchro.report import Report
from tests.clones import clone
from tests.fewer_apps import only
from tests.flush import flush
from tests.replay.deployments import other_side
from tests.replay.policies import more_cash
from tests.replay.refusals import refusing
from tests.shop.models import Country, Customer

pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True, databases="__all__")]


@pytest.fixture(scope="module", autouse=True)
def third_database(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """A database `branch`, with all tables."""
    folder = tmp_path_factory.mktemp("third")
    with django_db_blocker.unblock():
        settings.DATABASES["branch"] = {**clone(connections["remote"], "branch", folder), "OPTIONS": {}}
        flush("branch")
    yield
    with django_db_blocker.unblock():
        connections["branch"].close()
    del connections["branch"], settings.DATABASES["branch"]


@contextmanager
def as_branch() -> Iterator[None]:
    """Inside, this process is the deployment whose own database is `branch`."""
    _exchange()
    try:
        yield
    finally:
        _exchange()


def _exchange() -> None:
    local, branch = connections["default"], connections["branch"]
    local.alias, branch.alias = "branch", "default"
    connections["default"], connections["branch"] = branch, local
    databases = connections.databases
    databases["default"], databases["branch"] = databases["branch"], databases["default"]
    ContentType.objects.clear_cache()


def _make_copy(alias: str, other: str) -> None:
    """What a dump of one that is loaded into the other does."""
    own, copy = connections[alias], connections[other]
    copy.close()
    own.close()
    source, target = (sqlite3.connect(str(each.settings_dict["NAME"]), uri=True) for each in (own, copy))
    with closing(source), closing(target):
        source.backup(target)


def add(name: str) -> None:
    Customer.objects.create(name=name)


def names_on(alias: str) -> list[str]:
    return sorted(Customer.objects.using(alias).values_list("name", flat=True))


def test_what_was_received_before_is_not_thought_to_reach_a_new_remote() -> None:
    add("Vimes")
    call_synchronize()

    with other_side(), override_settings(SYNCHRO_REMOTE="branch"):
        with pytest.raises(NotConfigured, match="load “branch” from a copy of LOCAL that is made now"):
            call_synchronize()
        add("Rust")
        with pytest.raises(NotConfigured, match="would not get those from before"):
            call_synchronize()

    assert names_on("branch") == []


def test_node_that_is_loaded_from_a_copy_gets_what_was_received_since() -> None:
    add("Vimes")
    call_synchronize()
    with other_side(), override_settings(SYNCHRO_REMOTE="branch"), pytest.raises(NotConfigured):
        call_synchronize()
    _make_copy("remote", "branch")
    with as_branch():
        reset_synchro()
    add("Carrot")
    call_synchronize()

    with other_side(), override_settings(SYNCHRO_REMOTE="branch"):
        call_synchronize()

    assert names_on("branch") == names_on("remote") == ["Carrot", "Vimes"]


def test_change_from_before_the_log_tells_of_others_is_on_record_where_it_overwrites() -> None:
    with as_branch():
        Country.objects.create(code="am", name="older")
    Country.objects.create(code="am", name="newer")
    call_synchronize()
    with as_branch():
        Country.objects.update(name="older")
        country = Country.objects.get()
        country.save()

        call_synchronize()

    conflict = Conflict.objects.using("branch").get()
    assert (conflict.decision, conflict.remote_values) == ("local", '{"name": "newer"}')


def test_remote_that_sends_nowhere_and_has_one_sender_logs_nothing() -> None:
    add("Vimes")
    with override_settings(SYNCHRO_REMOTE=["remote", "branch"]):
        call_synchronize()

    for alias in ("remote", "branch"):
        assert not ChangeLog.objects.using(alias).exists()
        assert Node.objects.using(alias).get().forwards_since is None


def test_two_nodes_log_nothing_of_each_other() -> None:
    add("Vimes")
    call_synchronize()
    with other_side():
        add("Rust")
        call_synchronize()
    call_synchronize()

    for alias in ("default", "remote"):
        assert ChangeLog.objects.using(alias).get().origin is None


@pytest.mark.parametrize("policy", ["local", "remote", more_cash])
def test_other_policies_than_the_newest_are_refused_where_several_send(settings: Any, policy: Any) -> None:
    add("Vimes")
    call_synchronize()
    settings.SYNCHRO_CONFLICT = policy

    with as_branch():
        add("Rust")
        with pytest.raises(NotConfigured, match="is not “newer”"):
            call_synchronize()

    assert names_on("remote") == ["Vimes"]
    assert not Receipt.objects.using("remote").filter(batch=0).exists()
    assert not Node.objects.using("remote").get().forwards_since


@pytest.mark.parametrize("policy", ["local", more_cash])
def test_other_policies_than_the_newest_are_refused_where_a_hub_sends(settings: Any, policy: Any) -> None:
    with as_branch():
        call_synchronize()
    add("Vimes")
    call_synchronize()
    settings.SYNCHRO_MODEL_OPTIONS = {"shop.Customer": {"CONFLICT": policy}}

    remote_is_branch = override_settings(SYNCHRO_REMOTE="branch")
    with other_side(), remote_is_branch, pytest.raises(NotConfigured, match="Customer is not “newer”"):
        call_synchronize()

    assert not names_on("branch")
    assert not Receipt.objects.using("branch").exists()
    assert not Node.objects.using("branch").get().forwards_since


def test_clocks_that_are_far_apart_are_refused_where_several_send(monkeypatch: pytest.MonkeyPatch) -> None:
    call_synchronize()
    for seconds, is_refused in ((30, False), (90, True)):
        off = timedelta(seconds=seconds)
        monkeypatch.setattr(handshake, "_clocks", lambda both, off=off: Clocks(both.local.backend.now(), off))
        with as_branch():
            if is_refused:
                with pytest.raises(NotReady, match="90 seconds ahead"):
                    call_synchronize()
            else:
                assert any("30 seconds ahead" in warning for warning in call_synchronize().warnings)


def test_run_begins_anew_where_another_node_comes_along() -> None:
    add("Vimes")
    add("Carrot")

    def come_along(sender: object, step: str, batch: int, **_more: object) -> None:
        if step == "acknowledged" and batch == 1:
            with as_branch(), override_settings(SYNCHRO_REMOTE="remote"):
                call_synchronize()

    step.connect(come_along)
    try:
        with override_settings(SYNCHRO_BATCH_SIZE=1), pytest.raises(NotReady, match="Another node has begun"):
            call_synchronize()
    finally:
        step.disconnect(come_along)
    call_synchronize()

    assert names_on("remote") == ["Carrot", "Vimes"]
    assert ChangeLog.objects.using("remote").count() == 1


def test_node_that_gets_a_new_name_is_no_second_sender() -> None:
    for name in ("Vimes", "Carrot"):
        add(name)
        call_synchronize()
        reset_synchro(is_copy=True)
        call_synchronize()
    with other_side():
        add("Rust")
        call_synchronize()

    add("Nobby")
    reset_synchro(is_copy=True)
    call_synchronize()

    assert {"Vimes", "Carrot", "Rust"} <= set(names_on("default"))
    assert not Node.objects.using("remote").get().forwards_since


def test_office_that_is_loaded_anew_every_night_is_no_second_sender() -> None:
    for name in ("Vimes", "Carrot", "Nobby"):
        _make_copy("remote", "branch")
        with as_branch():
            reset_synchro()
            add(name)
            with override_settings(SYNCHRO_REMOTE="remote", SYNCHRO_CONFLICT="local"):
                call_synchronize()

    assert names_on("remote") == ["Carrot", "Nobby", "Vimes"]
    assert not ChangeLog.objects.using("remote").exists()
    assert not Node.objects.using("remote").get().forwards_since


@pytest.mark.parametrize("office_first", [False, True])
def test_office_that_is_loaded_anew_every_night_exchanges_changes_with_the_main_database(
    office_first: bool,
) -> None:
    """Where it runs first, the main database cannot tell it from another node than the one it sent to last night."""
    remote_is_branch = override_settings(SYNCHRO_REMOTE="branch")
    names = []
    for number in range(3):
        _make_copy("remote", "branch")
        with as_branch():
            reset_synchro(is_copy=True)
            add(f"office {number}")
        with other_side():
            add(f"main {number}")
        names += [f"office {number}", f"main {number}"]
        for is_office in (office_first, not office_first, office_first):
            with as_branch() if is_office else other_side(), nullcontext() if is_office else remote_is_branch:
                call_synchronize()

    assert names_on("branch") == names_on("remote") == sorted(names)
    assert bool(Node.objects.using("remote").get().forwards_since) == office_first
    assert Checkpoint.objects.using("remote").count() == 1


def test_another_office_is_a_second_sender_though_both_are_copies() -> None:
    call_synchronize()
    _make_copy("remote", "branch")
    with as_branch():
        reset_synchro()
    add("Vimes")
    call_synchronize()
    with as_branch(), override_settings(SYNCHRO_REMOTE="remote"):
        add("Carrot")
        call_synchronize()

    assert Node.objects.using("remote").get().forwards_since
    assert ChangeLog.objects.using("remote").get().origin


def test_run_that_is_refused_does_not_get_in_the_way_of_the_nodes_that_were_there(settings: Any) -> None:
    settings.SYNCHRO_CONFLICT = "local"
    call_synchronize()
    with as_branch(), pytest.raises(NotConfigured, match="is not “newer”"):
        call_synchronize()
    add("Vimes")

    call_synchronize()

    assert names_on("remote") == ["Vimes"]
    assert not Node.objects.using("remote").get().forwards_since


def test_remote_without_tables_gets_what_others_send_and_is_told_what_it_misses() -> None:
    with other_side():
        add("Vimes")
        call_synchronize()
    with only():
        call_command("migrate", "synchro", "zero", database="branch", verbosity=0)
    try:
        with override_settings(SYNCHRO_REMOTE="branch"):
            warnings = call_synchronize().warnings
        with other_side():
            add("Carrot")
            call_synchronize()
        with override_settings(SYNCHRO_REMOTE="branch"):
            call_synchronize()
    finally:
        with only():
            call_command("migrate", "synchro", database="branch", verbosity=0)

    assert any("does not get those from before" in warning for warning in warnings)
    assert names_on("branch") == ["Carrot"]


# -- a node that receives and sends nothing -----------------------------------------------------------------------

NOTHING_KEPT = override_settings(SYNCHRO_RETENTION=timedelta(0))


def let_both_send_to_remote() -> None:
    for name, sender in (("Vimes", nullcontext()), ("Carrot", as_branch())):
        with sender:
            add(name)
            call_synchronize()


def test_log_of_a_node_that_sends_nowhere_is_pruned_by_those_who_send_there() -> None:
    for sender in (nullcontext(), as_branch()):
        with sender:
            call_synchronize()
    let_both_send_to_remote()
    assert ChangeLog.objects.using("remote").count() == 2
    Country.objects.create(code="am", name="newer")
    with as_branch():
        Country.objects.create(code="am", name="older")
        ChangeLog.objects.filter(object_id="am").update(date=F("date") - timedelta(hours=1))
    with NOTHING_KEPT:
        call_synchronize()
        call_synchronize()

    assert not ChangeLog.objects.using("remote").exists()
    with as_branch():
        call_synchronize()
    conflict = Conflict.objects.using("branch").get()
    assert (conflict.decision, conflict.remote_values) == ("local", '{"name": "newer"}')


def test_node_whose_log_was_pruned_by_others_sends_to_none_that_lacks_it() -> None:
    let_both_send_to_remote()
    with NOTHING_KEPT:
        call_synchronize()
    with other_side():
        add("Rust")
        with pytest.raises(UnknownState, match="from a copy of LOCAL that is made now"):
            call_synchronize()
    _make_copy("remote", "branch")
    with as_branch():
        reset_synchro(is_copy=True)
    add("Nobby")
    call_synchronize()

    with other_side(), override_settings(SYNCHRO_REMOTE="branch"):
        call_synchronize()

    assert names_on("branch") == names_on("remote") == ["Carrot", "Nobby", "Rust", "Vimes"]
    assert "Rust" not in names_on("default")


def test_node_that_has_not_sent_for_long_is_named() -> None:
    let_both_send_to_remote()
    with other_side():
        call_synchronize()
    add("Nobby")
    call_synchronize()
    with NOTHING_KEPT:
        assert any("passes on what it receives" in warning for warning in call_synchronize().warnings)
    Checkpoint.objects.using("remote").all().delete()  # as the warning says
    with NOTHING_KEPT:
        call_synchronize()

    assert not ChangeLog.objects.using("remote").exclude(origin=None).exists()
    add("Colon")
    with other_side(), pytest.raises(UnknownState, match="from a copy of LOCAL that is made now"):
        call_synchronize()


# -- a REMOTE that is loaded anew ---------------------------------------------------------------------------------


def to_branch(**options: Any) -> Report:
    with override_settings(SYNCHRO_REMOTE="branch"):
        return call_synchronize(**options)


def load_branch_from_a_copy() -> None:
    _make_copy("default", "branch")
    with as_branch():
        reset_synchro(is_copy=True)


def prune_for_remote() -> None:
    """REMOTE has all that there is, and LOCAL keeps the newest entry of it."""
    add("the newest entry")
    call_synchronize()
    with NOTHING_KEPT:
        call_synchronize()


def test_remote_that_lacks_what_was_pruned_is_loaded_as_the_message_says_and_nothing_is_lost(
    settings: Any,
) -> None:
    settings.SYNCHRO_ON_ERROR = "quarantine"
    add("Vimes")
    with refusing(Country):
        Country.objects.create(code="am", name="cursed")
        call_synchronize()
    prune_for_remote()
    with as_branch():
        add("Rust")  # what was changed there alone
    with pytest.raises(UnknownState, match="from a copy of LOCAL that is made now"):
        to_branch()

    with as_branch(), override_settings(SYNCHRO_REMOTE="branch"):
        call_synchronize()
    add("Carrot")  # pending for both
    load_branch_from_a_copy()
    add("Nobby")
    assert to_branch().warnings == ()

    assert names_on("branch") == names_on("default")
    assert {"Rust", "Vimes", "Carrot", "Nobby"} <= set(names_on("branch"))
    assert Country.objects.using("branch").get().name == "cursed"
    assert not to_branch().entries
    assert call_synchronize(retry=True).aside == 0
    assert names_on("remote") == names_on("default")
    assert Country.objects.using("remote").get().name == "cursed"


def test_copy_that_is_older_than_what_was_pruned_since_is_refused() -> None:
    load_branch_from_a_copy()
    prune_for_remote()

    with pytest.raises(UnknownState, match="have been pruned"):
        to_branch()

    assert not names_on("branch")


def test_local_keeps_nothing_for_a_remote_that_was_replaced_by_a_copy() -> None:
    """One that is loaded anew every night has another node id each time."""
    for name in ("Vimes", "Carrot", "Nobby"):
        load_branch_from_a_copy()
        add(name)
        with NOTHING_KEPT:
            to_branch()
            assert to_branch().warnings == ()

    assert names_on("branch") == ["Carrot", "Nobby", "Vimes"]
    assert not Batch.objects.exists()
