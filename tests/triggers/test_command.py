"""`synchro_install_triggers`, its checks, and roles that may write to a table and to nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core import checks
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, connections, transaction
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from synchro.backends import backend_for
from synchro.exceptions import NotReady
from synchro.keys import to_text
from synchro.models import ADDITION, CHANGE, DELETION, ChangeLog
from synchro.registry import forget_cached
from synchro.replay.signals import starting
from synchro.triggers import triggers_for
from synchro.triggers.base import stem_for
from synchro.triggers.checks import check_triggers
from synchro.triggers.declare import Declaration
from synchro.triggers.install import install as install_one
from synchro.triggers.ready import missing_triggers_allowed, refuse_without_triggers
from tests.capture.models import ODD_NAMES, Tag, Unique
from tests.replay.processes import Fork
from tests.triggers.clients import client, engine, wait_for_more, writing
from tests.triggers.conftest import brief, entries, install

pytestmark = pytest.mark.usefixtures("triggers")

COMMENTS = ("--comments",) if engine() in ("mysql", "mariadb") else ()
RIGHT = "All triggers are installed and up to date.\n"
UNIQUE = stem_for("capture_unique")


def sql(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement, None)


def names(table: str = "capture_unique") -> list[str]:
    return [one.name for one in triggers_for(connection).on(table) if one.table]


def drop(name: str) -> None:
    sql(
        f"DROP TRIGGER {name} ON capture_unique"
        if connection.vendor == "postgresql"
        else f"DROP TRIGGER {name}"
    )


def problems(*arguments: str) -> str:
    with pytest.raises(CommandError) as caught:
        install("--check", *arguments)
    assert caught.value.returncode == 1
    return str(caught.value)


def found_by_checks() -> list[tuple[str, str]]:
    return [
        (str(one.id), one.msg) for one in check_triggers(databases=["default"]) if one.id != "synchro.W105"
    ]


def test_repeating_it_changes_nothing() -> None:
    before = names()
    assert "capture.Unique: up to date" in install().splitlines()
    assert names() == before
    assert install("--check") == RIGHT
    assert found_by_checks() == []


def test_uninstalled_it_tells_each_missing_trigger_and_installs_it_again() -> None:
    assert "capture.Unique: removed" in install("--uninstall").splitlines()
    assert triggers_for(connection).installed() == []
    assert "capture.Unique: synchro_" in problems() or "capture.Unique: " in problems()
    assert "capture.Unique: installed" in install().splitlines()
    assert install("--check") == RIGHT


def test_a_missing_trigger_is_told_and_put_back() -> None:
    name = names()[0]
    drop(name)
    assert f"capture.Unique: {name} is missing" in problems()
    assert [(one, name in message) for one, message in found_by_checks()] == [("synchro.W101", True)]
    assert "capture.Unique: brought up to date" in install()
    assert install("--check") == RIGHT


def test_many_missing_triggers_are_told_in_one_warning() -> None:
    wanted = len({one.name for one in triggers_for(connection).installed() if one.table})
    install("--uninstall")

    ((identifier, message),) = found_by_checks()

    assert identifier == "synchro.W101"
    assert int(re.findall(r"(\d+) more triggers", message)[0]) >= wanted - 1
    assert len(re.findall(r"capture\.\w+", message)) <= 4
    assert re.search(r"and \d+ more tables\.$", message)


def test_an_outdated_trigger_is_told_and_replaced() -> None:
    with skipping("name"):
        assert "is outdated" in problems()
        assert {one for one, _ in found_by_checks()} == {"synchro.W102"}
        install()
        Unique.objects.create(pk=1, code="a")
        Unique.objects.update(name="x")
        assert brief() == [("1", ADDITION, "")]
    install()
    Unique.objects.update(name="y")
    assert brief() == [("1", CHANGE, "name")]


def test_nothing_is_missed_while_triggers_are_replaced() -> None:
    with backend_for(connection).capture_off():
        Unique.objects.bulk_create([Unique(pk=pk, code=f"{pk}") for pk in range(1, 1001)])
    with writing(range(1, 1001), "UPDATE capture_unique SET name = 'x' WHERE id = {key}") as done:
        for _ in range(3):
            wait_for_more(done)
            with skipping("code"):
                assert "brought up to date" in install("capture.Unique")
                wait_for_more(done)
            assert "brought up to date" in install("capture.Unique")
    assert {f"{key}" for key in done} <= {one.object_id for one in entries() if one.fields == ("name",)}


@contextmanager
def skipping(name: str) -> Iterator[None]:
    """Inside, this field of `Unique` is not synchronized."""
    Unique.SYNCHRO_SKIP = (name,)
    forget_cached()
    try:
        yield
    finally:
        del Unique.SYNCHRO_SKIP
        forget_cached()


def test_triggers_of_models_no_longer_watched_are_told_and_removed() -> None:
    with override_settings(SYNCHRO_MODELS=[("capture", "Tag")]):
        assert "left over" in problems()
        assert {one for one, _ in found_by_checks()} == {"synchro.W104"}
        install()
        assert names() == []
        Unique.objects.create(code="a")
        Tag.objects.create(slug="a")
        assert [one.model for one in entries()] == ["tag"]


def test_models_as_arguments_limit_it() -> None:
    install("--uninstall", "capture.Article")
    assert names("capture_article") == names("capture_article_tags") == []
    assert names("capture_unique")
    assert install("--check", "capture.Unique") == RIGHT
    assert "capture.Article_tags" in problems("capture.Article")
    assert {line.split(":")[0] for line in install("capture.Article").splitlines()} == {
        "capture.Article",
        "capture.Article_tags",
    }
    for wrong in ("capture.Nobody", "nonsense", "contenttypes.ContentType"):
        with pytest.raises(CommandError):
            install(wrong)


def test_sql_touches_nothing_and_the_client_runs_it() -> None:
    assert install("--sql") == "-- Nothing to do.\n"
    removal = install("--uninstall", "--sql")
    assert install("--check") == RIGHT
    client(removal, *COMMENTS)
    assert triggers_for(connection).installed() == []
    script = install("--sql")
    assert triggers_for(connection).installed() == []
    client(script)
    assert install("--check") == RIGHT
    Unique.objects.create(pk=1, code="a")
    assert brief() == [("1", ADDITION, "")]


def test_odd_names_get_triggers_of_their_own() -> None:
    stems = [stem_for(name) for name in ODD_NAMES.values()]
    assert len(set(stems)) == len(stems)
    assert all(len(one.name) <= 63 for one in triggers_for(connection).installed() if one.table)


def test_each_trigger_says_who_made_it_and_how_to_remove_it() -> None:
    install("--uninstall")
    install()
    tables = {
        "postgresql": "SELECT prosrc FROM pg_proc WHERE starts_with(proname, 'synchro_capture')",
        "mysql": "SELECT action_statement FROM information_schema.triggers WHERE trigger_schema = DATABASE()",
        "sqlite": "SELECT sql FROM sqlite_master WHERE type = 'trigger'",
    }
    with connection.cursor() as cursor:
        cursor.execute(tables[connection.vendor])
        bodies = [body for (body,) in cursor.fetchall()]
    assert bodies
    for body in bodies:
        assert "Made by django-synchro" in body
        assert "manage.py synchro_install_triggers --uninstall" in body


def test_other_databases_are_left_alone(settings: Any) -> None:
    with pytest.raises(CommandError):
        install("--database", "nowhere")


def test_the_checks_ask_no_database_that_was_not_named_and_nothing_in_the_other_mode() -> None:
    assert check_triggers() == []
    assert check_triggers(databases=["remote"]) == []
    with override_settings(SYNCHRO_CAPTURE="signals"):
        assert check_triggers(databases=["default"]) == []
    blind = [one.level for one in check_triggers(databases=["default"]) if one.id == "synchro.W105"]
    assert blind == ([] if connection.vendor == "sqlite" else [checks.WARNING])


def test_an_engine_without_support_is_an_error(monkeypatch: Any) -> None:
    monkeypatch.setattr(type(connections["default"]), "vendor", "oracle")
    with pytest.raises(NotReady):
        triggers_for(connections["default"])
    assert [one.id for one in check_triggers(databases=["default"])] == ["synchro.E101"]


def test_a_project_keeps_triggers_of_its_own() -> None:
    statements = {
        "postgresql": (
            "CREATE FUNCTION mine() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN NEW.name = 'mine'; RETURN NEW; END $$",
            "CREATE TRIGGER mine BEFORE INSERT ON capture_unique FOR EACH ROW EXECUTE FUNCTION mine()",
        ),
        "mysql": ("CREATE TRIGGER mine BEFORE INSERT ON capture_unique FOR EACH ROW SET NEW.name = 'mine'",),
        "sqlite": (
            "CREATE TRIGGER mine AFTER INSERT ON capture_unique BEGIN "
            "UPDATE capture_unique SET name = 'mine' WHERE id = NEW.id; END",
        ),
    }
    sql(*statements[connection.vendor])
    try:
        install("--uninstall")
        install()
        Unique.objects.create(pk=1, code="a")
        assert Unique.objects.get().name == "mine"
        assert ("1", ADDITION, "") in brief()
    finally:
        drop("mine")
        if connection.vendor == "postgresql":
            sql("DROP FUNCTION mine()")


def install_unique() -> int:
    install("capture.Unique")
    return 0


def test_two_processes_at_once() -> None:
    install("--uninstall")
    with ExitStack() as processes:
        started = [processes.enter_context(Fork(install_unique)) for _ in range(3)]
        assert [process.end() for process in started] == [0, 0, 0]
    assert install("--check", "capture.Unique") == RIGHT


def test_moments_are_utc_by_the_databases_clock_whatever_the_zone_of_the_session() -> None:
    zone = {"postgresql": "SET TIME ZONE 'Asia/Tokyo'", "mysql": "SET time_zone = '+09:00'"}.get(
        connection.vendor
    )
    before = datetime.now(UTC) - timedelta(seconds=5)
    try:
        if zone:
            sql(zone)
        sql("INSERT INTO capture_unique (code, name) VALUES ('a', '')")
    finally:
        connection.close()
    moment = ChangeLog.objects.get().date
    assert before < moment < datetime.now(UTC) + timedelta(seconds=5)
    with connection.cursor() as cursor:
        cursor.execute("SELECT date FROM synchro_changelog")
        stored = cursor.fetchone()[0]
    assert stored.microsecond == moment.microsecond


def test_a_run_is_refused_while_a_trigger_is_missing_unless_told_otherwise() -> None:
    local = connections["default"]
    refuse_without_triggers(None, local=local)
    drop(names()[0])
    drop(names()[0])
    with pytest.raises(
        NotReady, match=r"capture\.Unique \(2 triggers missing\)\. Run.*synchro_install_triggers"
    ):
        starting.send(None, local=local, remote=local)
    with missing_triggers_allowed():
        starting.send(None, local=local, remote=local)
    with override_settings(SYNCHRO_CAPTURE="signals"):
        starting.send(None, local=local, remote=local)


def test_a_run_looks_at_the_triggers_of_all_tables_by_a_few_statements() -> None:
    local = connections["default"]
    with CaptureQueriesContext(local) as queries:
        refuse_without_triggers(None, local=local)
    with override_settings(SYNCHRO_MODELS=[("capture", "Unique")]), CaptureQueriesContext(local) as fewer:
        refuse_without_triggers(None, local=local)
    assert len(queries) == len(fewer) <= 6


def test_a_watched_view_is_told_and_holds_back_no_other_table() -> None:
    sql(
        "ALTER TABLE capture_place RENAME TO capture_place_table",
        "CREATE VIEW capture_place AS SELECT * FROM capture_place_table",
    )
    try:
        drop(names()[0])
        with pytest.raises(CommandError, match=r"capture\.Place is a view"):
            install()
        assert ("synchro.E102", True) in [(one, "view" in message) for one, message in found_by_checks()]
        Unique.objects.create(pk=1, code="a")
        Unique.objects.update(name="b")
        Unique.objects.all().delete()
        assert len(brief()) == 3
    finally:
        sql("DROP VIEW capture_place", "ALTER TABLE capture_place_table RENAME TO capture_place")
        install()


def test_a_table_gets_all_of_its_triggers_or_none() -> None:
    backend = triggers_for(connection)
    install("--uninstall", "capture.Unique")
    target = next(iter(Declaration(connection, backend, True).targets(UNIQUE)))
    *some, last = backend.compile(target)
    with pytest.raises(DatabaseError):
        backend.exchange([*some, replace(last, sql=f"{last.sql} nonsense(")], (), 5)
    assert names() == []
    Unique.objects.create(code="a")
    assert brief() == []


@contextmanager
def called(table: str) -> Iterator[None]:
    """Inside, `Unique` has a table of this name, and is all that is watched."""
    before = Unique._meta.db_table
    rename(table)
    try:
        with connection.schema_editor() as editor:
            editor.create_model(Unique)
        with override_settings(SYNCHRO_MODELS=[("capture", "Unique")]):
            yield
    finally:
        try:
            with override_settings(SYNCHRO_MODELS=[("capture", "Unique")]):
                install("--uninstall", "capture.Unique")
            sql(f"DROP TABLE {connection.ops.quote_name(table)}")
        finally:
            rename(before)


def rename(table: str) -> None:
    """As if `Unique` had been declared with this table."""
    Unique._meta.db_table = table
    for field in Unique._meta.fields:
        field.__dict__.pop("cached_col", None)


def assert_all_is_captured() -> None:
    install("capture.Unique")
    assert install("--check", "capture.Unique") == RIGHT
    Unique.objects.create(pk=1, code="a")
    Unique.objects.update(name="b")
    Unique.objects.update(id=2)
    Unique.objects.all().delete()
    assert brief() == [
        ("1", ADDITION, ""),
        ("1", CHANGE, "name"),
        ("1", DELETION, ""),
        ("2", ADDITION, ""),
        ("2", DELETION, ""),
    ]


@pytest.mark.parametrize("length", [63, 64])
def test_names_as_long_as_can_be_that_differ_at_the_end_alone(length: int) -> None:
    """On PostgreSQL, which cuts names off after 63 bytes, a longer one still finds its table."""
    tables = ["capture_" + "n" * (length - 9) + end for end in "ab"]
    assert len({stem_for(table) for table in tables}) == 2
    for table in tables:
        with called(table):
            assert_all_is_captured()


def test_a_table_with_percent_signs() -> None:
    table = "capture 100 %s %d % of it"  # of which Django's own queries with parameters can make nothing
    with called(table):
        install("capture.Unique")
        assert install("--check", "capture.Unique") == RIGHT
        quoted = connection.ops.quote_name(table)
        sql(
            f"INSERT INTO {quoted} (id, code, name) VALUES (1, '%s', '%')",
            f"UPDATE {quoted} SET name = '%%'",
            f"DELETE FROM {quoted}",
        )
    assert brief() == [("1", ADDITION, ""), ("1", CHANGE, "name"), ("1", DELETION, "")]


# -- roles ---------------------------------------------------------------------------------------------------


@contextmanager
def clerk(*rights: str) -> Iterator[str]:
    """An account that has these rights on capture_unique, and none on the log."""
    mysql = connection.vendor == "mysql"
    name = connection.settings_dict["NAME"]
    table = f"`{name}`.capture_unique" if mysql else "capture_unique"
    account = "'synchro_clerk'@'%'" if mysql else "synchro_clerk"
    remove = (
        [f"DROP USER IF EXISTS {account}"] if mysql else [f"DROP OWNED BY {account}", f"DROP ROLE {account}"]
    )
    make = (
        f"CREATE USER {account} IDENTIFIED BY 'clerk'"
        if mysql
        else f"CREATE ROLE {account} LOGIN PASSWORD 'clerk'"
    )
    sql(make, f"GRANT {', '.join(rights)} ON {table} TO {account}")
    if not mysql:
        sql(f"GRANT USAGE ON SEQUENCE capture_unique_id_seq TO {account}")
    try:
        yield "synchro_clerk"
    finally:
        sql(*remove)


@pytest.mark.skipif(engine() == "sqlite", reason="SQLite has no accounts")
def test_a_writer_without_rights_on_the_log_is_captured() -> None:
    prefix = "SET search_path = ''; " if connection.vendor == "postgresql" else ""
    table = "public.capture_unique" if prefix else "capture_unique"
    with clerk("SELECT", "INSERT", "UPDATE", "DELETE") as user:
        client(
            f"{prefix}INSERT INTO {table} (id, code, name) VALUES (1, 'a', '');"
            f"UPDATE {table} SET name = 'x'; DELETE FROM {table};",
            user=user,
            password="clerk",
        )
        with pytest.raises(AssertionError, match=r"denied"):
            client("SELECT * FROM synchro_changelog", user=user, password="clerk")
    assert brief() == [("1", ADDITION, ""), ("1", CHANGE, "name"), ("1", DELETION, "")]


@pytest.mark.skipif(engine() == "sqlite", reason="SQLite has no accounts")
def test_an_account_that_may_not_create_triggers_is_told_what_to_run() -> None:
    install("--uninstall", "capture.Unique")
    with clerk("SELECT", "INSERT") as user:
        login = dict(connection.settings_dict, USER=user, PASSWORD="clerk")
        other = type(connections["default"])(login, "default")
        backend = triggers_for(other)
        try:
            sql(*_let_look(user))
            target = next(iter(Declaration(connection, backend, True).targets(UNIQUE)))
            triggers = backend.compile(target)
            with pytest.raises(Exception) as caught:
                backend.exchange(triggers, (), 5)
            told = backend.explained(caught.value)  # type: ignore[arg-type]
        finally:
            other.close()
    assert isinstance(told, NotReady)
    assert "GRANT" in str(told)


def _let_look(user: str) -> list[str]:
    if connection.vendor == "postgresql":
        return [f"GRANT SELECT ON synchro_changelog TO {user}"]
    return [f"GRANT SELECT ON `{connection.settings_dict['NAME']}`.* TO '{user}'@'%'"]


@pytest.mark.skipif(engine() == "sqlite", reason="SQLite locks the whole database, and says so by itself")
def test_it_does_not_wait_for_ever_for_a_lock() -> None:
    install("--uninstall", "capture.Unique")
    other = connections["default"].copy()
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute("INSERT INTO capture_unique (code, name) VALUES ('a', '')")
            cursor.execute("SELECT * FROM capture_unique")
            with pytest.raises(NotReady, match="--lock-timeout"):
                install_one(connection, UNIQUE, seconds=1)
    finally:
        other.rollback()
        other.close()
    assert names() == []
    install_one(connection, UNIQUE)
    assert install("--check") == RIGHT


# -- PostgreSQL alone ----------------------------------------------------------------------------------------

postgresql_only = pytest.mark.skipif(not engine().startswith("postgresql"), reason="of PostgreSQL alone")


@postgresql_only
def test_a_disabled_trigger_is_told_and_enabled() -> None:
    sql("ALTER TABLE capture_unique DISABLE TRIGGER synchro_capture_update")
    assert "synchro_capture_update is disabled" in problems()
    assert {one for one, _ in found_by_checks()} == {"synchro.W103"}
    install()
    Unique.objects.create(pk=1, code="a")
    Unique.objects.update(name="x")
    assert brief() == [("1", ADDITION, ""), ("1", CHANGE, "name")]


@pytest.mark.skipif(engine() not in ("mysql", "mariadb"), reason="of MySQL and MariaDB alone")
@pytest.mark.parametrize(
    "mode",
    ["ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES,HIGH_NOT_PRECEDENCE", "", "EMPTY_STRING_IS_NULL"],
)
@pytest.mark.parametrize("who", ["installer", "writer"])
def test_the_sql_mode_of_a_session_changes_nothing(mode: str, who: str) -> None:
    if mode == "EMPTY_STRING_IS_NULL" and engine() == "mysql":
        mode = "STRICT_TRANS_TABLES"  # MariaDB's alone
    install("--uninstall", "capture.Unique")
    if who == "writer":
        install("capture.Unique")
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@SESSION.sql_mode")
        before = cursor.fetchone()[0]
        cursor.execute("SET SESSION sql_mode = %s", [mode])
        if who == "installer":
            install("capture.Unique")
            cursor.execute("SELECT @@SESSION.sql_mode")
            assert set(cursor.fetchone()[0].split(",")) == set(mode.split(","))
            cursor.execute("SET SESSION sql_mode = %s", [before])
    try:
        sql(
            "INSERT INTO capture_unique (id, code, name) VALUES (1, 'a\\\\', 'x')",
            "UPDATE capture_unique SET name = 'X'",
            "DELETE FROM capture_unique",
        )
    finally:
        connection.close()
    assert brief() == [("1", ADDITION, ""), ("1", CHANGE, "name"), ("1", DELETION, "")]


@pytest.mark.skipif(engine() not in ("mysql", "mariadb"), reason="of MySQL and MariaDB alone")
def test_an_account_that_the_binary_log_keeps_from_creating_triggers_is_told_what_to_run() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@log_bin, @@log_bin_trust_function_creators")
        if cursor.fetchone() != (1, 0):
            pytest.skip("this server writes no binary log")
    install("--uninstall", "capture.Unique")
    with clerk("SELECT", "INSERT", "TRIGGER") as user:
        other = type(connections["default"])(
            dict(connection.settings_dict, USER=user, PASSWORD="clerk"), "default"
        )
        backend = triggers_for(other)
        target = next(iter(Declaration(connection, backend, True).targets(UNIQUE)))
        triggers = backend.compile(target)
        try:
            with pytest.raises(DatabaseError) as caught:
                backend.exchange(triggers, (), 5)
        finally:
            other.close()
    assert "SET GLOBAL log_bin_trust_function_creators = 1" in str(backend.explained(caught.value))


@postgresql_only
def test_a_partitioned_table_is_captured_however_it_is_written() -> None:
    sql(
        "ALTER TABLE capture_place RENAME TO capture_place_plain",
        "CREATE TABLE capture_place (id bigint PRIMARY KEY, name varchar(50) NOT NULL) PARTITION BY RANGE "
        "(id)",
        "CREATE TABLE capture_place_1 PARTITION OF capture_place FOR VALUES FROM (0) TO (100)",
    )
    try:
        install()
        sql("CREATE TABLE capture_place_2 PARTITION OF capture_place FOR VALUES FROM (100) TO (200)")
        assert install("--check") == RIGHT
        sql(
            "INSERT INTO capture_place VALUES (1, 'a'), (101, 'b')",
            "INSERT INTO capture_place_2 VALUES (102, 'c')",
            "UPDATE capture_place_2 SET name = 'x' WHERE id = 102",
            "UPDATE capture_place SET id = 103 WHERE id = 1",
            "DELETE FROM capture_place_1",
        )
        assert brief() == sorted(
            [("1", 1, ""), ("101", 1, ""), ("102", 1, ""), ("102", 2, "name"), ("1", 3, ""), ("103", 1, "")]
        )
    finally:
        sql("DROP TABLE capture_place", "ALTER TABLE capture_place_plain RENAME TO capture_place")
        install()


@postgresql_only
@pytest.mark.parametrize("path", ["public", "elsewhere, public", ""])
def test_a_table_in_another_schema(path: str) -> None:
    sql("CREATE SCHEMA elsewhere")
    try:
        with called('elsewhere"."its Table'):
            assert_all_is_captured()
            install("--uninstall", "capture.Unique")
            sql(f"SET search_path = {path or chr(39) * 2}, public")
            assert_all_is_captured()
            Unique.objects.create(pk=1, code="a")
            sql('TRUNCATE elsewhere."its Table"')
            assert brief() == [("1", ADDITION, ""), ("1", DELETION, "")]
    finally:
        sql("RESET search_path", "DROP SCHEMA elsewhere CASCADE")


@postgresql_only
def test_a_backslash_is_itself_where_a_session_takes_it_for_an_escape() -> None:
    column = "its \\n 'key'"
    client(
        "SET standard_conforming_strings = off; SET escape_string_warning = off;"
        f"INSERT INTO capture_oddkey (\"{column}\", name) VALUES ('a', '');"
        "UPDATE capture_oddkey SET name = 'x'; TRUNCATE capture_oddkey;"
    )
    found = entries()
    assert [(one.object_id, one.action) for one in found] == [("a", ADDITION), ("a", CHANGE), ("a", DELETION)]
    assert found[-1].natural_key == '["a"]'


@postgresql_only
def test_rows_of_tables_that_inherit_from_a_watched_one() -> None:
    sql("CREATE TABLE heir (more integer) INHERITS (capture_unique)")
    try:
        sql(
            "INSERT INTO capture_unique (id, code, name) VALUES (1, 'a', '')",
            "INSERT INTO heir (id, code, name) VALUES (2, 'b', '')",
        )
        entries()
        sql("UPDATE capture_unique SET name = 'x'")
        assert brief() == [("1", CHANGE, "name"), ("2", CHANGE, "name")]
        sql("TRUNCATE capture_unique")
        assert brief() == [("1", DELETION, ""), ("2", DELETION, "")]
    finally:
        sql("DROP TABLE heir")


@postgresql_only
def test_a_large_update_after_a_small_one_is_not_quadratic() -> None:
    Unique.objects.bulk_create([Unique(code=f"{n}") for n in range(20_000)])
    with connection.cursor() as cursor:
        for n in range(10):
            cursor.execute("UPDATE capture_unique SET name = %s WHERE code = '1'", [f"{n}"])
        # Thirty seconds, where the plan of the small ones is kept.
        cursor.execute("SET statement_timeout = '5s'")
        cursor.execute("UPDATE capture_unique SET name = 'x'")
        cursor.execute("RESET statement_timeout")
    assert ChangeLog.objects.filter(action=CHANGE).count() == 20_010


@postgresql_only
def test_nobody_else_can_write_to_the_log_through_our_functions() -> None:
    function = f'public."{UNIQUE}"'
    with clerk("SELECT") as user, pytest.raises(AssertionError, match="permission denied for function"):
        client(
            "CREATE TEMP TABLE t (id bigint); CREATE TRIGGER t AFTER INSERT ON t EXECUTE FUNCTION "
            f"{function}()",
            user=user,
            password="clerk",
        )


@postgresql_only
def test_keys_swapped_by_one_statement() -> None:
    sql("CREATE TABLE IF NOT EXISTS nothing ()", "DROP TABLE nothing")
    Unique.objects.bulk_create([Unique(pk=1, code="a"), Unique(pk=2, code="b")])
    entries()
    with transaction.atomic():
        sql("UPDATE capture_unique SET id = id + 10", "UPDATE capture_unique SET id = 13 - id")
    assert {one.object_id for one in entries()} >= {"1", "2"}


def test_capture_off_leaves_no_wrapper_behind() -> None:
    before = list(connection.execute_wrappers)
    with backend_for(connection).capture_off():
        Unique.objects.create(code="a")
    Unique.objects.create(code="b")
    assert connection.execute_wrappers == before
    call_command("check", databases=["default"], verbosity=0)


@pytest.mark.django_db(transaction=True, databases=["default", "remote"])
def test_synchronize_is_refused_while_a_trigger_is_missing_unless_told_otherwise() -> None:
    drop(names()[0])
    with pytest.raises(CommandError, match=r"(?s)capture\.Unique.*--without-triggers"):
        call_command("synchronize")
    call_command("synchronize", "--without-triggers", verbosity=0)


def test_a_key_that_no_trigger_can_spell_is_an_error_of_the_checks_and_of_the_command() -> None:
    with override_settings(SYNCHRO_MODELS=["capture", ("unwatched", "Frequency")]):
        assert ("synchro.E102", True) in [(one, "hertz" in message) for one, message in found_by_checks()]
        for arguments in ((), ("--check",)):
            with pytest.raises(CommandError, match=r"Frequency\.hertz.*SYNCHRO_CAPTURE = 'signals'"):
                install(*arguments)


def test_without_time_zones_moments_in_keys_are_spelled_as_they_are() -> None:
    """Other moments of the entry are UTC all the same."""
    from tests.capture.models import ByMoment

    moment = datetime(2026, 7, 1, 12, 30, 0, 7)
    before = datetime.now(UTC).replace(tzinfo=None) - timedelta(seconds=5)
    with override_settings(USE_TZ=False, TIME_ZONE="UTC"):
        install()
        ByMoment.objects.create(pk=moment)
        (entry,) = ChangeLog.objects.all()
        assert entry.object_id == to_text(ByMoment, moment) == "2026-07-01T12:30:00.000007"
        assert before < entry.date < before + timedelta(seconds=60)
    install()
