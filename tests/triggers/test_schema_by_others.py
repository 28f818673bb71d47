"""Schema changes that fail, that the schema editor does not see, and tables that come in unusual ways."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import Error, connection, connections, models
from django.db.migrations import (
    AddField,
    AlterField,
    AlterModelTable,
    CreateModel,
    DeleteModel,
    RemoveField,
    RenameField,
    RenameModel,
    RunPython,
    RunSQL,
    SeparateDatabaseAndState,
)
from django.db.migrations.operations.base import Operation
from django.test import override_settings

from synchro.models import ADDITION, CHANGE, DELETION
from tests.triggers.clients import client
from tests.triggers.conftest import install
from tests.triggers.migrating import BYSTANDER, Project, logged

RIGHT = "All triggers are installed and up to date.\n"


@pytest.fixture
def project(transactional_db: None, tmp_path: Path) -> Iterator[Project]:
    found = Project(tmp_path)
    with found.begun():
        yield found


class Raw(Operation):
    """An operation that is not Django's own, and alters what it likes."""

    def __init__(self, statements: list[str]) -> None:
        self.statements = statements

    def deconstruct(self) -> Any:
        return "Raw", [self.statements], {}

    def state_forwards(self, app_label: str, state: Any) -> None:
        """The state of the models is not concerned."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        for statement in self.statements:
            schema_editor.execute(statement)

    def describe(self) -> str:
        return "Raw"


def write_with_cursor(apps: Any, schema_editor: Any) -> None:
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("ALTER TABLE evolving_beta DROP COLUMN n0")
        cursor.execute("UPDATE evolving_beta SET t0 = 'within'")


def write_past_cursor(apps: Any, schema_editor: Any) -> None:
    """By the driver's own cursor, which Django knows nothing of."""
    cursor = schema_editor.connection.connection.cursor()
    cursor.execute("ALTER TABLE evolving_beta DROP COLUMN n0")
    cursor.close()


def add_brands(apps: Any, schema_editor: Any) -> None:
    for model in apps.get_app_config("evolving").get_models():
        if model.__name__ in ("Brand", "Label", "Made"):
            model.objects.create(name="by a migration")


def add_to_set(apps: Any, schema_editor: Any) -> None:
    alpha = apps.get_model("evolving", "Alpha").objects.create()
    alpha.s1.add(apps.get_model("evolving", "Gamma").objects.create(pk="g"))


def sql(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


# -- what fails ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("atomic", [True, False])
def test_a_key_that_cannot_be_altered_leaves_a_table_that_is_captured(project: Project, atomic: bool) -> None:
    project.model("Gamma")._base_manager.create(code="text", t0="a")
    told = pytest.warns(
        RuntimeWarning, match="had no triggers while a migration altered its key: .*evolving_gamma$"
    )
    with told if connection.vendor == "mysql" else nullcontext(), pytest.raises(Error):
        project.migrate_by(AlterField("gamma", "code", models.IntegerField(primary_key=True)), atomic=atomic)
    logged()
    client("UPDATE evolving_gamma SET t0 = 'b'")
    client("DELETE FROM evolving_gamma")
    assert [one[:3] for one in logged()] == [("gamma", "text", CHANGE), ("gamma", "text", DELETION)]


@pytest.mark.skipif(connection.vendor != "mysql", reason="the others drop a table that something points at")
def test_a_table_that_cannot_be_removed_is_captured_as_before(project: Project) -> None:
    sql(
        "CREATE TABLE evolving_foreign (id bigint, pointing varchar(20), "
        "FOREIGN KEY (pointing) REFERENCES evolving_gamma (code))"
    )
    try:
        with pytest.raises(Error):
            project.migrate_by(DeleteModel("gamma"))
        logged()
        client("INSERT INTO evolving_gamma (code) VALUES ('x')")
        assert [one[:3] for one in logged()] == [("gamma", "x", ADDITION)]
    finally:
        sql("DROP TABLE evolving_foreign", "DROP TABLE evolving_gamma")


@pytest.mark.skipif(connection.vendor == "sqlite", reason="nobody else writes while SQLite alters a table")
def test_what_others_write_while_a_key_gets_another_name_is_captured(project: Project) -> None:
    model, name, table = "alpha", "id", "evolving_alpha"
    project.model("Beta")._base_manager.create(k0=project.model("Alpha")._base_manager.create(pk=1))
    writer = threading.Thread(target=client, args=[f"INSERT INTO {table} VALUES (7, '')"])

    def meanwhile(execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        if str(sql).startswith("ALTER TABLE") and table in str(sql) and writer.ident is None:
            writer.start()
            wait_until_done_or_held(writer)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(meanwhile):
        project.migrate_by(RenameField(model, name, "number"))
    writer.join()
    assert (model, "7", ADDITION) in [one[:3] for one in logged()]


def wait_until_done_or_held(writer: threading.Thread) -> None:
    waiting = {
        "mysql": "SELECT COUNT(*) FROM information_schema.processlist WHERE state LIKE 'Waiting for table%'",
        "postgresql": "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'",
    }[connection.vendor]
    deadline = time.monotonic() + 30
    while writer.is_alive() and client(waiting).strip() == "0":
        assert time.monotonic() < deadline


# -- what the schema editor does not see ---------------------------------------------------------------------------

REMOVAL = "ALTER TABLE evolving_beta DROP COLUMN n0"
STATE = [RemoveField("beta", "n0")]
UNSEEN: dict[str, tuple[str, list[Operation]]] = {
    "SQL of another app": (BYSTANDER, [RunSQL(REMOVAL)]),
    "an operation of somebody else": (BYSTANDER, [Raw(["SELECT 1", REMOVAL])]),
    "code with a cursor": (BYSTANDER, [RunPython(write_with_cursor)]),
    "code past Django's cursor": (BYSTANDER, [RunPython(write_past_cursor)]),
}


@pytest.mark.parametrize("way", UNSEEN)
def test_a_column_may_go_by(project: Project, way: str) -> None:
    app, operations = UNSEEN[way]
    beta = project.model("Beta")
    beta._base_manager.create(t0="a")
    logged()
    project.migrate_by(*operations, app=app)
    client("UPDATE evolving_beta SET t0 = 'after'")
    seen = logged("beta")
    assert {one[2] for one in seen} == {CHANGE}
    assert len(seen) == (2 if "a cursor" in way else 1)
    project.migrate_by(SeparateDatabaseAndState([], STATE))
    assert install("--check") == RIGHT


SWAP = [
    "CREATE TABLE evolving_new (code varchar(20) NOT NULL PRIMARY KEY, t0 varchar(20))",
    "INSERT INTO evolving_new (code, t0) SELECT code, t0 FROM evolving_gamma",
    "ALTER TABLE evolving_gamma RENAME TO evolving_old",
    "ALTER TABLE evolving_new RENAME TO evolving_gamma",
]


def test_a_table_that_takes_the_place_of_another_is_captured_at_once(project: Project) -> None:
    project.model("Gamma")._base_manager.create(pk="k", t0="a")
    logged()
    try:
        project.migrate_by(*map(RunSQL, [*SWAP, "UPDATE evolving_gamma SET t0 = 'within'"]), app=BYSTANDER)
        assert [one[:3] for one in logged()] == [("gamma", "k", CHANGE)]
        assert install("--check") == RIGHT
    finally:
        sql("DROP TABLE evolving_old")


def test_a_table_that_somebody_puts_in_the_place_of_another_is_told_and_gets_its_triggers(
    project: Project,
) -> None:
    sql(*SWAP)
    try:
        with pytest.raises(CommandError, match=r"evolving\.Gamma: .* missing"):
            install("--check")
        install()
        assert install("--check") == RIGHT
        logged()
        client("INSERT INTO evolving_gamma (code) VALUES ('new')")
        client("INSERT INTO evolving_old (code) VALUES ('old')")
        assert [one[:3] for one in logged()] == [("gamma", "new", ADDITION)]
    finally:
        sql("DROP TABLE evolving_old")


def delete_alphas(apps: Any, schema_editor: Any) -> None:
    """Past Django, which would delete the children by itself."""
    with schema_editor.connection.cursor() as cursor:
        tables = schema_editor.connection.introspection.table_names(cursor)
        cursor.execute(f"DELETE FROM {'evolving_alpha' if 'evolving_alpha' in tables else 'evolving_omega'}")


@pytest.mark.skipif(not hasattr(models, "DB_CASCADE"), reason="of Django 6.1")
@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite enforces no foreign key while it migrates")
@pytest.mark.parametrize(
    "alteration",
    [RenameField("alpha", "id", "number"), RenameModel("alpha", "Omega")],
    ids=lambda one: one.describe(),
)
def test_what_the_database_deletes_is_seen_right_after_an_alteration(
    project: Project, alteration: Operation
) -> None:
    project.migrate_by(
        CreateModel(
            "Kid",
            [
                ("id", models.BigAutoField(primary_key=True)),
                ("alpha", models.ForeignKey("evolving.Alpha", models.DB_CASCADE)),
            ],
        )
    )
    alpha = project.model("Alpha")._base_manager.create()
    kid = project.model("Kid")._base_manager.create(alpha=alpha)
    logged()
    project.migrate_by(alteration, RunPython(delete_alphas), atomic=False)
    assert ("kid", str(kid.pk), DELETION) in [one[:3] for one in logged()]
    assert install("--check") == RIGHT


# -- tables that come ----------------------------------------------------------------------------------------------


def brand(name: str = "Brand") -> CreateModel:
    return CreateModel(
        name,
        [("id", models.BigAutoField(primary_key=True)), ("name", models.CharField(max_length=20, null=True))],
    )


def of_sql(name: str) -> SeparateDatabaseAndState:
    key = {"sqlite": "integer PRIMARY KEY AUTOINCREMENT", "mysql": "bigint AUTO_INCREMENT PRIMARY KEY"}.get(
        connection.vendor, "bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY"
    )
    made = RunSQL(f"CREATE TABLE evolving_{name.lower()} (id {key}, name varchar(20))")
    return SeparateDatabaseAndState([made], [brand(name)])


COMING: dict[str, tuple[list[Any], list[Operation], list[str]]] = {
    "a model": (["evolving"], [brand(), RunPython(add_brands)], ["brand"]),
    "a model of SQL": (["evolving"], [of_sql("Made"), RunPython(add_brands)], ["made"]),
    "a set": (
        ["evolving"],
        [
            AddField("alpha", "s1", models.ManyToManyField("evolving.Gamma", related_name="+")),
            RunPython(add_to_set),
        ],
        ["alpha", "gamma", "alpha_s1"],
    ),
    "a model that is called otherwise at first": (
        [("evolving", "Label")],
        [brand(), RunPython(add_brands), RenameModel("Brand", "Label"), RunPython(add_brands)],
        ["label", "label"],
    ),
    "a model whose table is called otherwise at first": (
        [("evolving", "Label")],
        [brand("Label"), RunPython(add_brands), AlterModelTable("label", "evolving_other")],
        ["label"],
    ),
}


@pytest.mark.parametrize("what", COMING)
def test_rows_that_a_migration_writes_into_a_table_that_it_makes_are_seen(
    project: Project, what: str
) -> None:
    watched, operations, expected = COMING[what]
    watched = [*(("evolving", name) for name in ("Alpha", "Beta", "Gamma")), *watched]
    with override_settings(SYNCHRO_MODELS=watched if "otherwise" in what else ["evolving"]):
        project.migrate_by(*operations, atomic=False)
        assert sorted(name for name, _, action, _ in logged() if action == ADDITION) == sorted(expected)
        assert install("--check") == RIGHT


def test_a_table_that_is_not_watched_in_the_end_keeps_no_triggers(project: Project) -> None:
    with override_settings(SYNCHRO_MODELS=[("evolving", "Alpha")]):
        project.migrate_by(
            brand(), RunPython(add_brands), RenameModel("Brand", "Label"), RunPython(add_brands), atomic=False
        )
        logged("label")  # meanwhile it could have been that of a watched model
        client("INSERT INTO evolving_label (name) VALUES ('later')")
        assert logged("label") == []


# -- locks ---------------------------------------------------------------------------------------------------------


@contextmanager
def reading(table: str) -> Iterator[None]:
    """Inside, a transaction of somebody else has read from the table and is open."""
    other = connections["default"].copy()
    other.set_autocommit(False)
    try:
        with other.cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM {table}")
            cursor.fetchall()
        yield
    finally:
        other.rollback()
        other.close()


no_server = pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no such locks")


@no_server
def test_sql_that_alters_nothing_waits_for_nobody(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synchro.triggers.keeper.PATIENCE", 1)
    with reading("evolving_beta"):
        project.migrate_by(RunSQL("SELECT 1"), RunSQL("UPDATE evolving_gamma SET t0 = 'x'"), app=BYSTANDER)
    assert install("--check") == RIGHT


@pytest.mark.skipif(
    connection.vendor != "mysql", reason="of MySQL and MariaDB, where triggers wait for readers"
)
def test_a_migration_that_waits_in_vain_says_so_and_leaves_all_captured(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("synchro.triggers.keeper.PATIENCE", 1)
    with (
        reading("evolving_beta"),
        pytest.raises(CommandError, match=r"is open and did not end.*evolving_beta"),
    ):
        project.migrate_by(RunSQL(REMOVAL), app=BYSTANDER)
    logged()
    client("INSERT INTO evolving_beta (n0) VALUES (1)")
    assert [one[:3] for one in logged()] == [("beta", "1", ADDITION)]
    project.bystander_number -= 1
    project.migrate_by(RunSQL(REMOVAL), app=BYSTANDER)


@no_server
def test_migrate_that_cannot_install_triggers_says_what_to_do(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("synchro.triggers.migrate.PATIENCE", 1)
    install("--uninstall", "evolving.Beta")
    with (
        reading("evolving_beta") if connection.vendor == "mysql" else locking("evolving_beta"),
        pytest.raises(
            CommandError, match=r"(?s)evolving\.Beta \(Another transaction.*install_triggers"
        ) as told,
    ):
        call_command("migrate", BYSTANDER, verbosity=0)
    assert "are not captured" in str(told.value)
    call_command("migrate", BYSTANDER, verbosity=0)
    assert install("--check") == RIGHT


@contextmanager
def locking(table: str) -> Iterator[None]:
    other = connections["default"].copy()
    other.set_autocommit(False)
    try:
        with other.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {table} IN ROW EXCLUSIVE MODE")
        yield
    finally:
        other.rollback()
        other.close()
