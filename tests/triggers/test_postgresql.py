"""What PostgreSQL alone has: partitions, heirs, roles, policies, and what passes a trigger by."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.core.checks import run_checks
from django.core.management import CommandError
from django.db import DatabaseError, connection, connections, models, transaction
from django.test import override_settings

from synchro.exceptions import NotReady
from synchro.models import ADDITION, CHANGE, DELETION
from synchro.registry import forget_cached
from synchro.triggers.base import stem_for
from synchro.triggers.install import install as install_one
from synchro.triggers.remote import foreign_triggers
from tests.capture.models import Place, Tag, Unique
from tests.triggers.clients import client, engine
from tests.triggers.conftest import brief, entries, install, migrating

pytestmark = [
    pytest.mark.usefixtures("triggers"),
    pytest.mark.skipif(not engine().startswith("postgresql"), reason="of PostgreSQL alone"),
]

RIGHT = "All triggers are installed and up to date.\n"
UNIQUE, PLACE = stem_for("capture_unique"), stem_for("capture_place")


def sql(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement, None)


def problems() -> str:
    with pytest.raises(CommandError) as caught:
        install("--check")
    return str(caught.value)


def told() -> list[str]:
    """What the system checks say of triggers."""
    found = run_checks(tags=["database"], databases=["default"])
    return [
        f"{one.id} {one.msg}"
        for one in found
        if str(one.id) in {f"synchro.W10{n}" for n in (1, 3, 8, 9)} | {"synchro.W110"}
    ]


@contextmanager
def instead(table: str, *statements: str) -> Iterator[None]:
    """Inside, these statements have made the table anew, and it has its triggers."""
    sql(
        f'DROP FUNCTION "{stem_for(table)}"() CASCADE',
        f"ALTER TABLE {table} RENAME TO {table}_plain",
        *statements,
    )
    try:
        install()
        assert install("--check") == RIGHT
        entries()
        yield
    finally:
        sql(f"DROP TABLE {table} CASCADE", f"ALTER TABLE {table}_plain RENAME TO {table}")
        install()


def test_a_table_that_is_a_partition_or_an_heir_is_captured_however_it_is_written() -> None:
    part = (
        "CREATE TABLE whole (id bigint PRIMARY KEY, name varchar(50) NOT NULL) PARTITION BY RANGE (id)",
        "CREATE TABLE capture_place PARTITION OF whole FOR VALUES FROM (0) TO (100)",
    )
    heir = (
        "CREATE TABLE whole (id bigint PRIMARY KEY, name varchar(50) NOT NULL)",
        "CREATE TABLE capture_place (PRIMARY KEY (id)) INHERITS (whole)",
    )
    for statements in (part, heir):
        with instead("capture_place", *statements):
            try:
                sql(
                    f"INSERT INTO {'whole' if statements is part else 'capture_place'} VALUES (1, 'a'), (2, 'b')",
                    "INSERT INTO capture_place VALUES (3, 'c')",
                    "UPDATE whole SET name = 'x' WHERE id = 1",
                    "UPDATE whole SET id = 4 WHERE id = 2",
                    "DELETE FROM whole WHERE id = 3",
                    "TRUNCATE whole",
                )
                added = [("1", 1, ""), ("2", 1, ""), ("3", 1, ""), ("4", 1, "")]
                gone = [("1", 3, ""), ("2", 3, ""), ("3", 3, ""), ("4", 3, "")]
                assert brief() == sorted([*added, ("1", 2, "name"), *gone])
            finally:
                sql("DROP TABLE whole CASCADE", "CREATE TABLE IF NOT EXISTS capture_place ()")


PARTITIONED = (
    "CREATE TABLE capture_place (id bigint PRIMARY KEY, name varchar(50) NOT NULL) PARTITION BY RANGE (id)",
    "CREATE TABLE capture_place_1 PARTITION OF capture_place FOR VALUES FROM (0) TO (100)",
)


def test_a_trigger_that_is_disabled_on_one_partition_is_told_by_its_name_and_mended() -> None:
    with instead("capture_place", *PARTITIONED):
        sql("ALTER TABLE capture_place_1 DISABLE TRIGGER synchro_capture_row_delete")
        expected = "capture.Place: synchro_capture_row_delete on capture_place_1 is disabled"
        assert problems() == expected
        assert [f"synchro.W103 {expected}."] == told()
        install()
        assert install("--check") == RIGHT
        sql("INSERT INTO capture_place VALUES (1, 'a')", "DELETE FROM capture_place")
        assert brief() == [("1", ADDITION, ""), ("1", DELETION, "")]


def test_columns_get_other_types_while_sessions_are_at_work_on_tables_with_triggers_for_each_row() -> None:
    write = (
        "INSERT INTO capture_place VALUES (1, 'a'), (2, 'b')",
        "UPDATE capture_place SET name = 'x' WHERE id = 1",
        "UPDATE capture_place SET id = 3 WHERE id = 2",
        "DELETE FROM capture_place",
    )
    heir = (
        "CREATE TABLE whole (id bigint, name varchar(50))",
        "CREATE TABLE capture_place () INHERITS (whole)",
    )
    for statements, top, columns in (
        (PARTITIONED, "capture_place", ["name"]),
        (heir, "whole", ["name", "id"]),
    ):
        with instead("capture_place", *statements):
            sql(*write)
            before = brief()
            assert ("1", CHANGE, "name") in before
            for column in columns:
                client(f"ALTER TABLE {top} ALTER {column} TYPE {'text' if column == 'name' else 'integer'}")
                sql(*write)
                assert brief() == before
            # Nor does it matter what somebody calls the table.
            client("ALTER TABLE capture_place RENAME TO elsewhere")
            sql(*(statement.replace("capture_place", "elsewhere") for statement in write))
            client("ALTER TABLE elsewhere RENAME TO capture_place")
            assert brief() == before
    sql("DROP TABLE whole")


def test_a_virtual_column_in_a_natural_key_is_in_the_entry_of_a_deletion(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version_num")
        if int(cursor.fetchone()[0]) < 180000:
            pytest.skip("PostgreSQL has virtual columns since version 18")
    column = "slug varchar(50) GENERATED ALWAYS AS (lower(base)) VIRTUAL"
    plain = f"CREATE TABLE capture_tag (id bigint PRIMARY KEY, base text, {column}, since date)"
    split = (
        f"{plain} PARTITION BY RANGE (id)",
        "CREATE TABLE capture_tag_1 PARTITION OF capture_tag FOR VALUES FROM (0) TO (100)",
    )
    monkeypatch.setattr(Tag, "SYNCHRO_SKIP", ("slug",), raising=False)  # as a generated field
    forget_cached()
    for statements in ((plain,), split):
        with instead("capture_tag", *statements):
            sql(
                "INSERT INTO capture_tag VALUES (1, 'A'), (2, 'B')",
                "UPDATE capture_tag SET id = 3, base = 'C' WHERE id = 2",
                "DELETE FROM capture_tag WHERE id = 1",
                "TRUNCATE capture_tag",
            )
            assert [(one.object_id, one.natural_key) for one in entries(Tag) if one.action == DELETION] == [
                ("2", '["b",null]'),
                ("1", '["a",null]'),
                ("3", '["c",null]'),
            ]
    monkeypatch.undo()
    forget_cached()
    install()


@contextmanager
def role(*grants: str) -> Iterator[str]:
    """An account that owns nothing."""
    sql("CREATE ROLE synchro_maker LOGIN PASSWORD 'maker'")
    try:
        sql(*(f"GRANT {grant} TO synchro_maker" for grant in grants))
        yield "synchro_maker"
    finally:
        sql("DROP OWNED BY synchro_maker CASCADE", "DROP ROLE synchro_maker")


@contextmanager
def connected_as(name: str) -> Iterator[None]:
    """Inside, LOCAL is reached by this account."""
    before = connections["default"]
    connections["default"] = type(before)(dict(before.settings_dict, USER=name, PASSWORD="maker"), "default")
    try:
        yield
    finally:
        connections["default"].close()
        connections["default"] = before


def test_truncate_is_refused_where_a_policy_hides_rows_from_the_triggers() -> None:
    with role(
        "CREATE ON SCHEMA public",
        "ALL ON synchro_changelog",
        "ALL ON capture_unique",
        "TRIGGER ON capture_unique",
    ):
        Unique.objects.create(pk=1, code="a")
        sql(
            f'ALTER FUNCTION "{UNIQUE}"() OWNER TO synchro_maker',
            "ALTER TABLE capture_unique ENABLE ROW LEVEL SECURITY",
            "CREATE POLICY none ON capture_unique USING (false)",
        )
        try:
            with pytest.raises(
                DatabaseError, match=r"TRUNCATE of public\.capture_unique cannot be captured.*synchro_maker"
            ):
                sql("TRUNCATE capture_unique")
            Unique.objects.update(name="b")
            Unique.objects.all().delete()
            assert brief() == [("1", ADDITION, ""), ("1", CHANGE, "name"), ("1", DELETION, "")]
        finally:
            sql(
                "DROP POLICY none ON capture_unique",
                "ALTER TABLE capture_unique DISABLE ROW LEVEL SECURITY",
                f'ALTER FUNCTION "{UNIQUE}"() OWNER TO CURRENT_USER',
            )


def test_a_role_or_a_database_for_which_capture_is_off_for_good_is_told_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    database = connection.ops.quote_name(str(connection.settings_dict["NAME"]))
    with role() as name:
        for whose in (f"ROLE {name}", f"ROLE {name} IN DATABASE {database}", f"DATABASE {database}"):
            sql(f"ALTER {whose} SET synchro.capture = off")
            try:
                sentence = problems()
                assert whose.split()[1].strip('"') in sentence
                assert told() == [f"synchro.W108 {sentence}"]
                sql(sentence.partition("Run: ")[2])  # what the message says
                assert install("--check") == RIGHT
            finally:
                sql(f"ALTER {whose} RESET synchro.capture")
    monkeypatch.setenv("PGOPTIONS", "-c synchro.capture=off")
    connection.close()
    try:
        assert "Capture is switched off from the start of each session" in problems()
    finally:
        monkeypatch.undo()
        connection.close()


def test_rows_that_an_heir_keeps_out_of_the_log_are_told() -> None:
    sql("CREATE TABLE heir (more integer) INHERITS (capture_unique)")
    try:
        assert "heir inherits from capture_unique and has no triggers of its own" in problems()
        assert [message.split()[0] for message in told()] == ["synchro.W108"]
        assert install("--check", "capture.Tag") == RIGHT
    finally:
        sql("DROP TABLE heir")


def test_an_installer_whose_triggers_could_not_write_to_the_log_is_told_what_it_lacks() -> None:
    """With rights on the tables alone, every write of everybody's would fail."""
    install("--uninstall", "capture.Unique")
    reads = ("SELECT ON ALL TABLES IN SCHEMA public", "USAGE, CREATE ON SCHEMA public")
    with role(*reads, "TRIGGER, SELECT ON capture_unique") as name:
        with (
            connected_as(name),
            pytest.raises(NotReady, match=rf"GRANT INSERT ON synchro_changelog TO {name}"),
        ):
            install_one(connections["default"], UNIQUE)
        Unique.objects.create(pk=1, code="a")
        sql(f"GRANT INSERT ON synchro_changelog TO {name}")
        with connected_as(name):
            install_one(connections["default"], UNIQUE)
        Unique.objects.update(name="b")
        assert brief() == [("1", CHANGE, "name")]
        # The right goes again, and whoever has it heals what stands.
        sql(f"REVOKE INSERT ON synchro_changelog FROM {name}")
        assert f"capture.Unique: public.{UNIQUE} is of an account that may not write to the log" in problems()
        assert [message.split()[0] for message in told()] == ["synchro.W110"]
        with pytest.raises(DatabaseError, match="permission denied for table synchro_changelog"):
            Unique.objects.update(name="c")
        install()
        assert install("--check") == RIGHT
        Unique.objects.update(name="c")
        assert brief() == [("1", CHANGE, "name")]


def test_a_function_that_is_open_to_everybody_is_told_and_closed() -> None:
    sql(f'GRANT EXECUTE ON FUNCTION "{UNIQUE}"() TO PUBLIC')  # as pg_restore -x leaves it
    assert problems() == f"capture.Unique: public.{UNIQUE} is open to every role"
    assert [message.split()[0] for message in told()] == ["synchro.W109"]
    install()
    assert install("--check") == RIGHT


def test_functions_and_triggers_of_the_project_that_are_named_like_ours_stay() -> None:
    nothing = "() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$"
    sql(
        f"CREATE FUNCTION synchro_audit_20240101{nothing}",
        "CREATE TRIGGER synchro_audit_20240101 AFTER INSERT ON capture_unique "
        "EXECUTE FUNCTION synchro_audit_20240101()",
    )
    try:
        assert install("--check") == RIGHT
        install()
        install("--uninstall")
        install()
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_trigger WHERE tgname = 'synchro_audit_20240101'")
            assert cursor.fetchone() == (1,)
        # A function of the exact name that one of ours needs is not replaced either.
        install("--uninstall", "capture.Place")
        sql(f'CREATE FUNCTION "{PLACE}"{nothing}')
        with pytest.raises(CommandError, match=rf"The function {PLACE}\(\) has the name"):
            install()
        install("--uninstall", "capture.Unique")
        sql(
            f'DROP FUNCTION "{PLACE}"()',
            "ALTER TRIGGER synchro_audit_20240101 ON capture_unique RENAME TO synchro_capture_insert",
        )
        with pytest.raises(
            CommandError, match="The trigger synchro_capture_insert on capture_unique has the name"
        ):
            install("capture.Unique")
    finally:
        sql("DROP FUNCTION synchro_audit_20240101() CASCADE")
        install()


def test_a_trigger_on_remote_is_not_ours_since_it_is_named_like_ours() -> None:
    sql(
        "CREATE FUNCTION twice() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN DELETE FROM capture_tag; RETURN NULL; END $$",
        "CREATE TRIGGER synchro_audit_20240101 AFTER INSERT ON capture_unique EXECUTE FUNCTION twice()",
    )
    try:
        assert [str(one) for one in foreign_triggers(connection)] == ["capture_unique.synchro_audit_20240101"]
    finally:
        sql("DROP FUNCTION twice() CASCADE")


def test_what_follows_in_a_migration_waits_for_locks_as_it_did_before() -> None:
    with migrating(), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '7s'")
        with connection.schema_editor() as editor:
            field = models.IntegerField(null=True)
            field.set_attributes_from_name("extra")
            field.model = Unique
            editor.add_field(Unique, field)
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("7s",)
        transaction.set_rollback(True)


def test_installing_waits_for_the_migration_of_another_process() -> None:
    """Else both replace one function, or the installer writes down columns that are going away."""
    failed: list[BaseException] = []

    def work() -> None:
        try:
            install_one(connections["default"], UNIQUE, seconds=30)
        except BaseException as error:  # noqa: BLE001
            failed.append(error)
        finally:
            connections["default"].close()

    field = models.CharField(max_length=50, default="")
    field.set_attributes_from_name("name")
    field.model = Unique
    thread = threading.Thread(target=work)
    try:
        with migrating(), connection.schema_editor() as editor:
            editor.remove_field(Unique, field)
            thread.start()
            wait_until_one_waits()
        thread.join()
        assert failed == []
        sql("INSERT INTO capture_unique (id, code) VALUES (1, 'a')", "UPDATE capture_unique SET code = 'b'")
        assert brief() == [("1", ADDITION, ""), ("1", CHANGE, "")]
    finally:
        thread.join()
        sql("ALTER TABLE capture_unique ADD COLUMN IF NOT EXISTS name varchar(50) NOT NULL DEFAULT ''")
        install()


def wait_until_one_waits() -> None:
    with connections["default"].copy().cursor() as cursor:
        for _ in range(1_000):
            cursor.execute(
                "SELECT 1 FROM pg_locks WHERE NOT granted AND locktype IN ('advisory', 'transactionid')"
            )
            if cursor.fetchone():
                break
            cursor.execute("SELECT pg_sleep(0.01)")
        else:
            raise AssertionError("nobody waits")
        cursor.connection.close()


def test_models_as_arguments_are_installed_whatever_is_wrong_with_others() -> None:
    with override_settings(SYNCHRO_MODELS=["capture", ("unwatched", "Frequency")]):
        assert install("capture.Unique") == "capture.Unique: up to date\n"
        assert install("--check", "capture.Unique") == RIGHT
        with pytest.raises(CommandError, match="hertz"):
            install("unwatched.Frequency")
    assert Place._meta.db_table == "capture_place"


def test_triggers_that_do_not_fire_in_replica_sessions_are_told_with_what_mends_them() -> None:
    def blind() -> list[str]:
        found = run_checks(tags=["database"], databases=["default"])
        return [one.msg for one in found if one.id == "synchro.W105" and "replica" in one.msg]

    assert blind() == []
    sql(
        "ALTER TABLE capture_unique ENABLE TRIGGER synchro_capture_update"
    )  # as pg_restore --disable-triggers does
    (told_so,) = blind()
    assert install("--check") == RIGHT
    sql(told_so.partition(" run: ")[2])
    assert blind() == []
    sql(
        "INSERT INTO capture_unique VALUES (1, 'a', '')",
        "SET session_replication_role = replica",
        "UPDATE capture_unique SET name = 'x'",
        "RESET session_replication_role",
    )
    assert brief() == [("1", ADDITION, ""), ("1", CHANGE, "name")]


def test_who_does_not_own_a_table_makes_triggers_that_fire_in_ordinary_sessions() -> None:
    role = "synchro_no_owner"
    install("--uninstall", "capture.Unique")
    sql(
        f"CREATE ROLE {role}",
        f"GRANT USAGE, CREATE ON SCHEMA public TO {role}",
        f"GRANT SELECT, INSERT, TRIGGER ON ALL TABLES IN SCHEMA public TO {role}",
        f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}",
    )
    try:
        sql(f"SET ROLE {role}")
        install("capture.Unique")
        sql("RESET ROLE")
        sql("INSERT INTO capture_unique VALUES (1, 'a', '')")
        assert brief() == [("1", ADDITION, "")]
        found = run_checks(tags=["database"], databases=["default"])
        (told_so,) = [one.msg for one in found if one.id == "synchro.W105" and "replica" in one.msg]
        assert "Triggers of capture_unique do not fire" in told_so
    finally:
        sql("RESET ROLE")
        install("--uninstall", "capture.Unique")
        sql(f"DROP OWNED BY {role}", f"DROP ROLE {role}")
        install("capture.Unique")
