"""PostgreSQL's triggers are those of django-pgtrigger, and leave a project's own ones alone."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, connections, models
from django.test import override_settings

from synchro.backends import backend_for
from synchro.models import ADDITION, CHANGE, DELETION
from synchro.triggers import triggers_for
from synchro.triggers.base import stem_for
from synchro.triggers.declare import Declaration
from synchro.triggers.install import uninstall
from synchro.triggers.pgtrigger_package import LOWEST, lacking
from synchro.triggers.remote import foreign_triggers
from tests.capture.models import Tag, Unique
from tests.triggers.clients import engine, wait_for_more, writing
from tests.triggers.conftest import brief, entries, install, migrating

if engine().startswith("postgresql"):
    import pgtrigger
    import pgtrigger.compiler
    import pgtrigger.installation
    import pgtrigger.registry

    from synchro.triggers.postgresql import CaptureTrigger, capture_triggers

postgresql_only = pytest.mark.skipif(not engine().startswith("postgresql"), reason="of PostgreSQL alone")
UNIQUE = stem_for("capture_unique")
RIGHT = "All triggers are installed and up to date.\n"
FIRST_VERSION = Path(__file__).with_name("first_version.sql")
PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def sql(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement, None)


def declared() -> tuple[CaptureTrigger, ...]:
    declaration = Declaration(connection, triggers_for(connection), create_content_types=False)
    return capture_triggers(connection, declaration.targets(UNIQUE)[0])


def statuses() -> set[tuple[str, bool | None]]:
    return {trigger.get_installation_status(Unique) for trigger in declared()}


@pytest.fixture
def with_pgtrigger(triggers: None) -> Iterator[None]:
    """As in a project that has django-pgtrigger in INSTALLED_APPS, and a trigger of its own."""
    theirs = pgtrigger.Protect(name="theirs", operation=pgtrigger.Delete)
    with override_settings(INSTALLED_APPS=[*settings.INSTALLED_APPS, "pgtrigger"]), theirs.register(Tag):
        theirs.install(Tag)
        try:
            yield
        finally:
            theirs.uninstall(Tag)


@postgresql_only
@pytest.mark.usefixtures("triggers")
def test_triggers_are_values_of_pgtrigger_that_say_by_their_hash_what_is_installed() -> None:
    found = declared()

    assert [(str(one.when), str(one.operation), str(one.level)) for one in found] == [
        ("AFTER", "INSERT", "STATEMENT"),
        ("AFTER", "UPDATE", "STATEMENT"),
        ("AFTER", "DELETE", "STATEMENT"),
        ("BEFORE", "TRUNCATE", "STATEMENT"),
    ]
    assert all(isinstance(one, pgtrigger.Trigger) for one in found)
    assert all(isinstance(one.compile(Unique).sql, pgtrigger.compiler.UpsertTriggerSql) for one in found)
    assert statuses() == {("INSTALLED", True)}
    sql("ALTER TABLE capture_unique DISABLE TRIGGER synchro_capture_delete")
    assert statuses() == {("INSTALLED", True), ("INSTALLED", False)}
    found[2].enable(Unique)
    assert statuses() == {("INSTALLED", True)}
    sql(
        "CREATE OR REPLACE TRIGGER synchro_capture_delete AFTER DELETE ON capture_unique FOR EACH ROW WHEN "
        f'(OLD.id < 7) EXECUTE FUNCTION "{UNIQUE}"()'
    )
    assert found[2].get_installation_status(Unique) == ("OUTDATED", True)
    with pytest.raises(CommandError, match=r"capture\.Unique: synchro_capture_delete is outdated"):
        install("--check")
    for one in found:
        one.uninstall(Unique)
    assert statuses() == {("UNINSTALLED", None)}
    for one in found:
        one.install(Unique)
    assert statuses() == {("INSTALLED", True)}
    assert install("--check") == RIGHT
    Unique.objects.create(pk=1, code="a")
    assert brief() == [("1", ADDITION, "")]


@postgresql_only
@pytest.mark.usefixtures("triggers")
def test_triggers_of_the_first_version_are_replaced_under_writers_that_hold_the_table() -> None:
    pk = ContentType.objects.get_for_model(Unique, for_concrete_model=False).pk
    install("--uninstall", "capture.Unique")
    sql(FIRST_VERSION.read_text().replace("CONTENT_TYPE", str(pk)))
    assert statuses() == {("OUTDATED", True)}
    with backend_for(connection).capture_off():
        Unique.objects.bulk_create([Unique(pk=pk, code=f"{pk}") for pk in range(1, 1001)])
    other = connections["default"].copy()
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute("INSERT INTO capture_unique (id, code, name) VALUES (-1, 'open', '')")
            with writing(range(1, 1001), "UPDATE capture_unique SET name = 'x' WHERE id = {key}") as done:
                wait_for_more(done)
                # The other transaction is not over, so this takes no lock that a writer would have to release.
                assert install("capture.Unique", lock_timeout=1) == "capture.Unique: brought up to date\n"
                wait_for_more(done)
        other.commit()
    finally:
        other.close()
    assert install("--check") == RIGHT
    assert statuses() == {("INSTALLED", True)}
    found = entries()
    assert {f"{key}" for key in done} <= {one.object_id for one in found if one.fields == ("name",)}
    assert "-1" in {one.object_id for one in found}


@postgresql_only
def test_pgtrigger_lists_ours_with_their_state_and_touches_none(
    with_pgtrigger: None, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(*arguments: str) -> str:
        out = StringIO()
        call_command("pgtrigger", *arguments, stdout=out)
        return capsys.readouterr().out + out.getvalue()

    before = set(triggers_for(connection).installed())
    assert not any("synchro" in uri for uri in pgtrigger.registry._registry)
    sql("ALTER TABLE capture_unique DISABLE TRIGGER synchro_capture_update")
    listed = [line for line in told("ls").splitlines() if "capture.Tag:" in line or "capture.Unique:" in line]
    assert {line.split()[-1] for line in listed} == {
        "capture.Tag:theirs",
        *(
            f"capture.{model}:synchro_capture_{what}"
            for model in ("Tag", "Unique")
            for what in ("insert", "update", "delete", "truncate")
        ),
    }
    assert all("\033[92mINSTALLED" in line for line in listed)
    assert [line.split()[-1] for line in listed if "DISABLED" in line] == [
        "capture.Unique:synchro_capture_update"
    ]
    (line,) = told("ls", "capture.Unique:synchro_capture_insert").splitlines()
    assert "INSTALLED" in line
    for action in ("install", "prune", "disable", "enable", "uninstall", "install"):
        assert "synchro" not in told(action)
    sql("ALTER TABLE capture_unique ENABLE TRIGGER synchro_capture_update")
    assert set(triggers_for(connection).installed()) == before
    call_command("makemigrations", "synchro", "capture", check_changes=False, dry_run=True, verbosity=3)
    planned = capsys.readouterr().out
    assert "theirs" in planned
    assert "synchro_capture" not in planned


@postgresql_only
@pytest.mark.usefixtures("triggers")
def test_pgtrigger_lists_ours_where_a_project_has_none_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    with override_settings(INSTALLED_APPS=[*settings.INSTALLED_APPS, "pgtrigger"]):
        out = StringIO()
        call_command("pgtrigger", "ls", stdout=out)
    assert "capture.Unique:synchro_capture_insert" in out.getvalue()


@postgresql_only
def test_a_project_ignores_its_own_triggers_beside_ours(with_pgtrigger: None) -> None:
    Tag.objects.create(pk=1, slug="a")
    Unique.objects.create(pk=1, code="a")
    with pytest.raises(DatabaseError, match="Cannot delete"):
        Tag.objects.filter(pk=1).delete()
    entries()
    with pgtrigger.ignore("capture.Tag:theirs"):
        Tag.objects.filter(pk=1).delete()
    with pgtrigger.ignore():
        Unique.objects.update(name="b")
        with backend_for(connection).capture_off():
            Unique.objects.update(name="c")
    Unique.objects.update(name="d")
    assert brief() == [("1", CHANGE, "name"), ("1", CHANGE, "name"), ("1", DELETION, "")]


@postgresql_only
def test_inside_of_its_settings_everything_about_triggers_can_be_done(with_pgtrigger: None) -> None:
    """They put a statement and a value before those of every other."""
    with pgtrigger.ignore(), pgtrigger.schema("public"):
        assert install("--check") == RIGHT
        assert [
            one for one in run_checks(tags=["database"], databases=["default"]) if one.id == "synchro.E103"
        ] == []
        install("--uninstall", "capture.Unique")
        install()
        assert foreign_triggers(connection)[0].name.startswith("pgtrigger_theirs")
        out = StringIO()
        call_command("pgtrigger", "ls", "-s", "public", stdout=out)
    assert "INSTALLED" in out.getvalue()
    assert install("--check") == RIGHT


@postgresql_only
def test_a_column_that_a_trigger_of_the_project_names_gets_another_type(with_pgtrigger: None) -> None:
    """PostgreSQL refuses that, and the package's schema editor takes its trigger away meanwhile, inside of ours."""
    theirs = pgtrigger.Trigger(
        name="named",
        when=pgtrigger.After,
        operation=pgtrigger.Update,
        condition=pgtrigger.Condition("OLD.slug <> NEW.slug"),
        func="RETURN NULL;",
    )
    old = Tag._meta.get_field("slug")
    new = models.TextField(unique=True)
    new.set_attributes_from_name("slug")
    new.model = Tag
    with theirs.register(Tag), theirs.install(Tag), fresh_editor():
        for before, after in ((old, new), (new, old)):
            with migrating(), connection.schema_editor() as editor:
                editor.alter_field(Tag, before, after)
            # It makes its trigger again, without the comment that holds the hash.
            assert theirs.get_installation_status(Tag)[1]
            Tag.objects.create(pk=1, slug="a")
            with pgtrigger.ignore("capture.Tag:theirs"):
                Tag.objects.all().delete()
            assert brief() == [("1", ADDITION, ""), ("1", DELETION, "")]
    install()
    assert install("--check") == RIGHT


@contextmanager
def fresh_editor() -> Iterator[None]:
    """Inside, the connection has the schema editor that its class has now."""
    attributes = connections["default"].__dict__
    made = attributes.pop("SchemaEditorClass", None)
    try:
        yield
    finally:
        attributes.pop("SchemaEditorClass", None)
        if made is not None:
            attributes["SchemaEditorClass"] = made


@pytest.mark.once
def test_the_extra_of_postgresql_has_the_package_in_the_lowest_version_that_works() -> None:
    lowest = f"django-pgtrigger>={'.'.join(map(str, LOWEST))}"
    assert f'postgresql = ["psycopg[binary]>=3.2", "{lowest}"]' in PYPROJECT.read_text()


@postgresql_only
@pytest.mark.parametrize("version", [None, "4.9.1"])
@pytest.mark.usefixtures("triggers")
def test_without_the_package_check_and_install_say_what_to_run(
    version: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(name: str) -> str:
        if version is None:
            raise metadata.PackageNotFoundError(name)
        return version

    def found() -> list[Any]:
        return [one for one in run_checks(tags=["compatibility"]) if one.id == "synchro.E103"]

    assert found() == []
    Unique.objects.create(pk=1, code="a")
    for name in ("pgtrigger", "synchro.triggers.postgresql"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(metadata, "version", told)
    lacking.cache_clear()
    triggers_module = sys.modules["synchro.triggers.base"]
    monkeypatch.setattr(triggers_module, "_written", {})
    try:
        (error,) = found()
        assert "pip install 'django-synchro[postgresql]'" in error.msg
        assert "synchro.E103" not in {one.id for one in run_checks(databases=["default"], tags=["database"])}
        with pytest.raises(CommandError, match="pip install 'django-synchro"):
            install()
        with override_settings(SYNCHRO_CAPTURE="signals"):
            assert found() == []
        # What stands in the database goes on, and can be removed.
        assert brief() == [("1", ADDITION, "")]
        assert len(uninstall(connection, UNIQUE)) == 5
    finally:
        monkeypatch.undo()
        lacking.cache_clear()
        install()
