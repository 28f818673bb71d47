"""REMOTE's own database triggers: what they did on LOCAL is in LOCAL's rows, and is not done again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.checks import run_checks
from django.db import connections

from synchro.backends.foreign import ForeignTrigger
from synchro.core import call_synchronize
from synchro.exceptions import NotReady, Refused
from synchro.models import ChangeLog
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import BY_TRIGGERS, REMOTE, captured_by_triggers, remote_count, set_capture
from tests.shop.models import Artist, Customer

pytestmark = pytest.mark.django_db(databases=["default", "remote"], transaction=True)

SWITCHED = {
    "postgresql": "current_setting('synchro.capture', true) IS DISTINCT FROM 'off'",
    "mysql": "NOT (@synchro_capture_off <=> 1)",
    "sqlite": "NOT EXISTS (SELECT 1 FROM synchro_captureswitch)",
}
AUDIT = "INSERT INTO shop_artist (name) VALUES ('customer')"


@contextmanager
def own_trigger(name: str, action: str, when: str = "AFTER", condition: str = "") -> Iterator[None]:
    """Inside, REMOTE has a trigger of its own for new customers; the action is one statement."""
    connection = connections[REMOTE]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                f"{f'IF {condition} THEN {action}; END IF' if condition else action}; RETURN NEW; END $$"
            )
            cursor.execute(
                f"CREATE TRIGGER {name} {when} INSERT ON shop_customer FOR EACH ROW EXECUTE FUNCTION {name}()"
            )
        elif connection.vendor == "mysql":
            body = f"IF {condition} THEN {action}; END IF" if condition else action
            cursor.execute(
                f"CREATE TRIGGER {name} {when} INSERT ON shop_customer FOR EACH ROW BEGIN {body}; END"
            )
        else:
            guard = f"WHEN {condition} " if condition else ""
            cursor.execute(f"CREATE TRIGGER {name} {when} INSERT ON shop_customer {guard}BEGIN {action}; END")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute(f"DROP FUNCTION {name} CASCADE")
            else:
                cursor.execute(f"DROP TRIGGER {name}")


def warnings() -> list[str]:
    return [str(message) for message in run_checks(databases=[REMOTE]) if message.id == "synchro.W122"]


def test_trigger_of_remotes_own_is_named_before_anything_is_written() -> None:
    Customer.objects.create(name="Vimes")

    with own_trigger("audit_customers", AUDIT):
        with pytest.raises(NotReady, match=r"shop_customer\.audit_customers"):
            call_synchronize()
        assert ["audit_customers" in text for text in warnings()] == [True]

    assert (remote_count(Customer), remote_count(Artist)) == (0, 0)
    call_synchronize()
    assert_same_rows()


def test_trigger_that_asks_the_switch_is_fine() -> None:
    """What the docs advise: it fires for everybody but for the run."""
    Customer.objects.create(name="Vimes")

    with own_trigger("audit_customers", AUDIT, condition=SWITCHED[connections[REMOTE].vendor]):
        assert warnings() == []
        call_synchronize()
        assert (remote_count(Customer), remote_count(Artist)) == (1, 0)
        Customer.objects.using(REMOTE).create(name="Rust")
        assert remote_count(Artist) == 1


def test_trigger_that_is_wanted_is_named_in_the_settings(settings: Any) -> None:
    Customer.objects.create(name="Vimes")

    with own_trigger("audit_customers", AUDIT):
        for accepted in (["audit_customers"], ["shop_customer.audit_*"]):
            settings.SYNCHRO_REMOTE_TRIGGERS = accepted
            assert warnings() == []
        call_synchronize()

    assert (remote_count(Customer), remote_count(Artist)) == (1, 1)


def test_trigger_that_can_only_refuse_is_a_rule_of_remotes() -> None:
    Customer.objects.create(name="cursed")
    refuse = {
        "postgresql": "IF NEW.name = 'cursed' THEN RAISE EXCEPTION 'do not insert %%', NEW.name; END IF",
        "mysql": "IF NEW.name = 'cursed' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'do not insert'; END IF",
        "sqlite": "SELECT RAISE(ABORT, 'do not insert') WHERE NEW.name = 'cursed'",
    }[connections[REMOTE].vendor]

    with own_trigger("no_curses", refuse.replace("%%", "%"), when="BEFORE"):
        assert warnings() == []
        with pytest.raises(Refused):
            call_synchronize()

    assert remote_count(Customer) == 0


@pytest.mark.skipif(connections[REMOTE].vendor != "postgresql", reason="rules are PostgreSQL's")
def test_rule_that_makes_rows_vanish_is_named() -> None:
    Customer.objects.create(name="Vimes")
    with connections[REMOTE].cursor() as cursor:
        cursor.execute("CREATE RULE nobody AS ON INSERT TO shop_customer DO INSTEAD NOTHING")
    try:
        with pytest.raises(NotReady, match=r"shop_customer\.nobody"):
            call_synchronize()
    finally:
        with connections[REMOTE].cursor() as cursor:
            cursor.execute("DROP RULE nobody ON shop_customer")


@pytest.mark.skipif(connections[REMOTE].vendor != "postgresql", reason="others have no such switch")
def test_trigger_that_is_disabled_is_not_in_the_way() -> None:
    Customer.objects.create(name="Vimes")
    with own_trigger("audit_customers", AUDIT):
        with connections[REMOTE].cursor() as cursor:
            cursor.execute("ALTER TABLE shop_customer DISABLE TRIGGER audit_customers")
        call_synchronize()
    assert (remote_count(Customer), remote_count(Artist)) == (1, 0)


@pytest.fixture
def captured_here() -> Iterator[None]:
    """LOCAL is captured by triggers, and REMOTE has none."""
    with captured_by_triggers("shop"):
        if BY_TRIGGERS:
            set_capture(REMOTE, "signals")
        yield
        if BY_TRIGGERS:
            set_capture(REMOTE, "triggers")


def test_remote_that_captures_nothing_is_said_once_by_each_run_and_by_check(
    captured_here: None, settings: Any
) -> None:
    Customer.objects.create(name="Vimes")

    reports = [call_synchronize() for _ in range(2)]

    assert [len([text for text in report.warnings if "synchro.W121" in text]) for report in reports] == [1, 1]
    assert [message.id for message in run_checks(databases=[REMOTE])].count("synchro.W121") == 1
    settings.SILENCED_SYSTEM_CHECKS = ["synchro.W121"]
    assert call_synchronize().warnings == ()


def test_remote_that_captures_by_signals_is_not_suspected(captured_here: None) -> None:
    ChangeLog.objects.using(REMOTE).create(content_type_id=1, object_id="1", action=1)

    assert call_synchronize().warnings == ()


def test_remote_with_triggers_is_not_suspected(captured_here: None) -> None:
    set_capture(REMOTE, "triggers")
    try:
        assert call_synchronize().warnings == ()
    finally:
        set_capture(REMOTE, "signals")


@pytest.mark.once
@pytest.mark.parametrize(
    ("body", "is_before"),
    [
        ("BEGIN NEW.updated := now(); RETURN NEW; END", True),
        ("BEGIN new . updated = now(); RETURN NEW; END", True),
        ("BEGIN RETURN NULL; END", True),
        ("BEGIN IF NEW.x > 1 THEN RETURN OLD; END IF; RETURN NEW; END", True),
        ("BEGIN PERFORM audit(NEW); RETURN NEW; END", False),
        ("BEGIN IF audit(NEW) THEN RETURN NEW; END IF; RETURN NULL; END", False),
        ("BEGIN UPDATE shop SET total = total + 1; RETURN NULL; END", False),
        ("BEGIN EXECUTE 'INS' || 'ERT'; RETURN NULL; END", False),
        ("BEGIN -- only looks\n DELETE FROM x; RETURN NULL; END", False),
        ("SET NEW.updated = UTC_TIMESTAMP(6)", True),
        ("", False),
    ],
)
def test_trigger_that_does_more_than_refuse_is_recognized(body: str, is_before: bool) -> None:
    assert not ForeignTrigger("shop", "own", body, body, is_before).only_refuses


@pytest.mark.once
@pytest.mark.parametrize(
    "body",
    [
        "BEGIN IF NEW.x > 1 THEN RAISE EXCEPTION 'do not insert %', NEW.x; END IF; RETURN NEW; END",
        "BEGIN /* delete it */ IF EXISTS (SELECT 1 FROM a WHERE x = NEW.x) THEN RAISE 'no'; END IF; RETURN NEW; END",
        "BEGIN IF length(NEW.x) > 3 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'it''s no'; END IF; END",
    ],
)
def test_trigger_that_only_refuses_is_recognized(body: str) -> None:
    assert ForeignTrigger("shop", "own", body, body, True).only_refuses


@pytest.mark.once
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("IF NOT (@synchro_capture_off <=> 1) THEN", True),
        ("IF IFNULL(@synchro_capture_off, 0) <> 1 THEN", True),
        ("IF @synchro_capture_off IS NULL THEN", False),
        ("IF (@synchro_capture_off) IS NOT NULL THEN", False),
        ("/* @synchro_capture_off <=> 1 */ INSERT", False),
    ],
)
def test_mysql_trigger_asks_the_switch_only_in_a_form_that_the_server_does_not_fold(
    text: str, expected: bool
) -> None:
    """A comparison with NULL keeps what another session had when the table was opened."""
    from synchro.backends.mysql import MySQL

    assert ForeignTrigger("shop", "own", text, text).asks(MySQL.switch) is expected
