"""What keeps changes out of the log, or stops writers, is found and told; and what is not ours is left alone."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError
from django.db import DatabaseError, connection, connections, models
from django.db.migrations import CreateModel
from django.test import override_settings

from synchro.exceptions import NotReady
from synchro.models import ADDITION, CHANGE, DELETION
from synchro.registry import watched_tables
from synchro.triggers import triggers_for
from synchro.triggers.base import stem_for
from synchro.triggers.checks import check_triggers
from synchro.triggers.install import install as install_one
from synchro.triggers.migrate import after_migrate
from synchro.triggers.ready import refuse_without_triggers
from tests.capture.models import Unique
from tests.triggers.clients import client, engine
from tests.triggers.conftest import brief, install
from tests.triggers.migrating import Project, logged

RIGHT = "All triggers are installed and up to date.\n"
sqlite_only = pytest.mark.skipif(engine() != "sqlite", reason="of SQLite alone")
mysql_only = pytest.mark.skipif(engine() not in ("mysql", "mariadb"), reason="of MySQL and MariaDB alone")


def sql(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement, None)


def ids() -> set[str]:
    return {str(one.id) for one in check_triggers(databases=["default"])} - {"synchro.W105"}


# -- two models of one table ---------------------------------------------------------------------------------------


@pytest.fixture
def project(transactional_db: None, tmp_path: Path) -> Iterator[Project]:
    found = Project(tmp_path)
    with found.begun():
        yield found


def mirror(*more: str) -> CreateModel:
    columns = [(name, models.CharField(max_length=20, null=True)) for name in ("t0", *more)]
    return CreateModel(
        "Mirror",
        [("code", models.CharField(max_length=20, primary_key=True)), *columns],
        {"db_table": "evolving_gamma", "managed": False},
    )


def test_two_models_of_one_table_are_captured_under_the_name_of_one(project: Project) -> None:
    project.migrate_by(mirror())
    assert install("--check") == RIGHT
    refuse_without_triggers(None, local=connections["default"])
    assert ids() == set()
    assert "evolving.Gamma: up to date" in install("evolving.Mirror")
    project.model("Mirror")._base_manager.create(code="a")
    project.model("Gamma")._base_manager.update(t0="b")
    assert [one[:3] for one in logged()] == [("gamma", "a", ADDITION), ("gamma", "a", CHANGE)]


def test_the_model_that_knows_more_columns_has_the_triggers(project: Project) -> None:
    sql("ALTER TABLE evolving_gamma ADD t1 varchar(20)")
    if connection.vendor == "postgresql":
        project.migrate_by(mirror("t1"))
    else:
        with pytest.warns(RuntimeWarning, match="did not know the columns t1"):
            project.migrate_by(mirror("t1"))
    assert install("--check") == RIGHT
    project.model("Mirror")._base_manager.create(code="a")
    project.model("Mirror")._base_manager.update(t1="b")
    assert [one[:3] for one in logged()] == [("mirror", "a", ADDITION), ("mirror", "a", CHANGE)]


def test_two_models_that_each_know_a_column_of_their_own_are_told(project: Project) -> None:
    sql("ALTER TABLE evolving_gamma ADD t1 varchar(20)")
    made = mirror("t1")
    made.fields = [one for one in made.fields if one[0] != "t0"]
    project.migrate_by(made)
    with pytest.raises(CommandError, match=r"evolving\.Mirror has the table of evolving\.Gamma.*: t1\."):
        install("--check")
    with pytest.raises(NotReady, match="watch one of the two models alone"):
        refuse_without_triggers(None, local=connections["default"])


# -- SQLite --------------------------------------------------------------------------------------------------------


@contextmanager
def other_program() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(str(connection.settings_dict["NAME"]), timeout=20)) as other:
        yield other
        other.commit()


@sqlite_only
def test_a_switch_that_a_program_has_left_on_is_told_and_taken_away(
    triggers: None, capsys: pytest.CaptureFixture[str]
) -> None:
    local = connections["default"]
    with other_program() as other:
        other.execute("INSERT INTO synchro_captureswitch (id, never_id) VALUES (1, 0)")
    Unique.objects.create(pk=1, code="lost")
    assert brief() == []
    with pytest.raises(CommandError, match="Capture is switched off in the database 'default'"):
        install("--check")
    with pytest.raises(NotReady, match=r"Capture is switched off.*compare both databases"):
        refuse_without_triggers(None, local=local)
    assert ids() == {"synchro.W108"}
    install()
    assert "Capture is switched off" in capsys.readouterr().err
    assert install("--check") == RIGHT
    refuse_without_triggers(None, local=local)
    Unique.objects.update(name="seen")
    assert brief() == [("1", CHANGE, "name")]
    with other_program() as other:
        other.execute("INSERT INTO synchro_captureswitch (id, never_id) VALUES (1, 0)")
    with pytest.warns(RuntimeWarning, match="Capture is switched off"):
        after_migrate(None, using="default")
    Unique.objects.update(name="seen again")
    assert brief() == [("1", CHANGE, "name")]


@sqlite_only
def test_a_session_that_trusts_no_schema_can_write(triggers: None, tmp_path: Path) -> None:
    # In a database of these tables alone: Django's own JSONField lets no such session in.
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sql FROM sqlite_master WHERE tbl_name IN ('capture_tag', 'synchro_changelog', "
            "'synchro_captureswitch') AND sql IS NOT NULL AND type IN ('table', 'trigger') ORDER BY type"
        )
        made = [statement for (statement,) in cursor.fetchall()]
    with closing(sqlite3.connect(tmp_path / "untrusting")) as other:
        for statement in made:
            other.execute(statement)
        other.execute("PRAGMA trusted_schema = OFF")
        slugs = ['a"b\\c\nd\x01\x1fé', "plain", '"', "\\"]
        other.executemany("INSERT INTO capture_tag (slug) VALUES (?)", [(slug,) for slug in slugs])
        other.execute("UPDATE capture_tag SET since = '2026-01-01'")
        other.execute("DELETE FROM capture_tag")
        logged = other.execute(
            "SELECT natural_key FROM synchro_changelog WHERE action = 3 ORDER BY object_id"
        )
        expected = [[slug, "2026-01-01"] for slug in slugs]
        dumped = [json.dumps(one, ensure_ascii=False, separators=(",", ":")) for one in expected]
        assert [key for (key,) in logged] == dumped


@sqlite_only
def test_a_table_of_as_many_columns_as_sqlite_takes(project: Project) -> None:
    count = 1990
    columns = [(f"c{n}", models.IntegerField(null=True)) for n in range(count)]
    project.migrate_by(CreateModel("Wide", [("id", models.BigAutoField(primary_key=True)), *columns]))
    assert install("--check") == RIGHT
    sql("INSERT INTO evolving_wide (id) VALUES (1)", f"UPDATE evolving_wide SET c0 = 1, c{count - 1} = 2")
    assert logged() == [("wide", "1", ADDITION, None), ("wide", "1", CHANGE, ("c0", f"c{count - 1}"))]


# -- names like ours -----------------------------------------------------------------------------------------------

NAME = "synchro_audit_20240101_0123456789"


def test_a_trigger_of_the_project_that_is_named_like_ours_stays(triggers: None) -> None:
    body = {
        "sqlite": "BEGIN UPDATE capture_unique SET name = 'audit' WHERE id = NEW.id; END",
        "mysql": "SET NEW.name = 'audit'",
        "postgresql": "EXECUTE FUNCTION synchro_audit_20240101()",
    }[connection.vendor]
    if connection.vendor == "postgresql":
        sql(
            "CREATE FUNCTION synchro_audit_20240101() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN NEW.name = 'audit'; RETURN NEW; END $$"
        )
    when = "AFTER" if connection.vendor == "sqlite" else "BEFORE"
    sql(f"CREATE TRIGGER {NAME} {when} INSERT ON capture_unique FOR EACH ROW {body}")
    try:
        assert install("--check") == RIGHT
        install()
        after_migrate(None, using="default")
        install("--uninstall")
        install()
        Unique.objects.create(pk=1, code="a")
        assert Unique.objects.get().name == "audit"
    finally:
        on = " ON capture_unique" if connection.vendor == "postgresql" else ""
        sql(f"DROP TRIGGER {NAME}{on}")
        if connection.vendor == "postgresql":
            sql("DROP FUNCTION synchro_audit_20240101()")


# -- MySQL and MariaDB ---------------------------------------------------------------------------------------------

INSTALLER = "synchro_installer"


@contextmanager
def account(*grants: str) -> Iterator[Any]:
    """Inside, there is an account with these rights; gives a connection of it."""
    name = connection.settings_dict["NAME"]
    sql(f"DROP USER IF EXISTS '{INSTALLER}'@'%'", f"CREATE USER '{INSTALLER}'@'%' IDENTIFIED BY 'made'")
    sql(*(f"GRANT {rights} TO '{INSTALLER}'@'%'".replace("{name}", f"`{name}`") for rights in grants))
    other = type(connections["default"])(
        dict(connection.settings_dict, USER=INSTALLER, PASSWORD="made"), "default"
    )
    try:
        yield other
    finally:
        other.close()
        sql(f"DROP USER IF EXISTS '{INSTALLER}'@'%'")


def installed_by(other: Any) -> None:
    """Install the triggers of `Unique` from a connection of another account."""
    before = connections["default"]
    connections["default"] = other
    try:
        install_one(other, stem_for("capture_unique"))
    finally:
        connections["default"] = before


@mysql_only
def test_who_may_not_write_to_the_log_makes_no_triggers(triggers: None) -> None:
    install("--uninstall", "capture.Unique")
    documented = ["SELECT, INSERT, UPDATE ON {name}.django_content_type", "SELECT ON {name}.synchro_captureswitch",
                  "SELECT, TRIGGER ON {name}.capture_unique", "SELECT ON {name}.synchro_changelog",
                  "PROCESS, SUPER ON *.*"]  # fmt: skip
    with account(*documented, "TRIGGER ON {name}.*") as other:
        with pytest.raises(NotReady, match=r"GRANT INSERT ON `.*`\.`synchro_changelog` TO '.*'@'%'"):
            installed_by(other)
        Unique.objects.create(pk=1, code="a")  # nobody is stopped
        sql(f"GRANT INSERT ON synchro_changelog TO '{INSTALLER}'@'%'")
        other.close()
        installed_by(other)
        client("INSERT INTO capture_unique (id, code, name) VALUES (2, 'b', '')")
        assert brief() == [("2", ADDITION, "")]


@mysql_only
@pytest.mark.parametrize("way", ["the command", "migrate"])
def test_triggers_of_an_account_that_is_gone_are_told_and_made_again(triggers: None, way: str) -> None:
    install("--uninstall", "capture.Unique")
    with account("ALL ON {name}.*", "SUPER ON *.*") as other:
        installed_by(other)
        assert install("--check") == RIGHT
        other.close()
        sql(f"DROP USER '{INSTALLER}'@'%'")
        with pytest.raises(DatabaseError):
            Unique.objects.create(pk=1, code="a")
        with pytest.raises(CommandError, match="of an account that does not exist any more"):
            install("--check")
        assert ids() == {"synchro.W111"}
        install() if way == "the command" else after_migrate(None, using="default")
    assert install("--check") == RIGHT
    Unique.objects.create(pk=1, code="a")
    Unique.objects.all().delete()
    assert brief() == [("1", ADDITION, ""), ("1", DELETION, "")]


@mysql_only
def test_the_script_says_its_character_set(triggers: None) -> None:
    install("--uninstall", "capture.Comment")
    script = install("--sql", "capture.Comment")
    client(script, "--comments", "--default-character-set=latin1")
    assert install("--check") == RIGHT


# -- other models --------------------------------------------------------------------------------------------------


def test_models_that_are_named_are_installed_whatever_is_wrong_with_others(triggers: None) -> None:
    with override_settings(SYNCHRO_MODELS=["capture", ("unwatched", "Frequency")]):
        assert len(watched_tables()) > 1
        install("--uninstall", "capture.Unique")
        assert "capture.Unique: installed" in install("capture.Unique")
        assert install("--check", "capture.Unique") == RIGHT
        with pytest.raises(CommandError, match="hertz"):
            install("unwatched.Frequency")


def test_no_stem_is_taken_for_a_trigger(triggers: None) -> None:
    assert "synchro_audit_20240101" not in triggers_for(connection).stems()
