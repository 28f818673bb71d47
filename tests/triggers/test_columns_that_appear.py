"""From the moment a column or a table exists, its changes are captured, whoever made it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.core.management import CommandError
from django.db import NotSupportedError, connection, connections, models, transaction
from django.db.migrations import AddField, CreateModel, DeleteModel
from django.db.migrations.state import ProjectState
from django.test.utils import override_settings

from synchro.exceptions import NotReady
from synchro.keys import key_fields
from synchro.models import ADDITION, CHANGE, DELETION, ChangeLog
from synchro.triggers import triggers_for
from synchro.triggers.base import Detail, Target, stem_for
from synchro.triggers.checks import check_triggers
from synchro.triggers.declare import Declaration
from synchro.triggers.migrate import before_migrate
from synchro.triggers.ready import refuse_without_triggers
from synchro.triggers.watch import Watch, known
from tests.capture.models import Article, Unique
from tests.triggers.conftest import brief, entries, install

pytestmark = pytest.mark.usefixtures("triggers")

#: Names that a trigger's own SQL uses, or might.
ALIASES = (
    "n", "o", "c", "t", "g", "e", "p", "new", "old", "synchro_new", "synchro_old", "synchro_old_row",
    "synchro_new_row", "synchro_changed", "synchro_fields", "synchro_action", "synchro_key", "synchro_other",
    "synchro_natural", "tg_op", "attnum", "attrelid",
)  # fmt: skip


def sql(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@contextmanager
def migrated(*operations: Any, app: str = "capture") -> Iterator[ProjectState]:
    """Inside, `migrate` has carried these operations out, and has not come to its end."""
    before_migrate(None, using="default")
    states = [ProjectState.from_apps(apps)]
    try:
        for operation in operations:
            after = states[-1].clone()
            operation.state_forwards(app, after)
            with connection.schema_editor() as editor:
                operation.database_forwards(app, editor, states[-1], after)
            states.append(after)
        yield states[-1]
    finally:
        while len(states) > 1:
            after, operation = states.pop(), operations[len(states) - 1]
            with connection.schema_editor() as editor:
                operation.database_backwards(app, editor, after, states[-1])
        watch = Watch.of(connection)
        assert watch is not None
        watch.end()
        install()


def test_a_column_that_a_migration_adds_is_seen_at_once() -> None:
    Unique.objects.create(pk=1, code="a")
    with migrated(AddField("unique", "token", models.CharField(max_length=20, null=True))):
        entries()
        sql("UPDATE capture_unique SET token = 'x'")
        assert [(one.object_id, one.action, one.fields) for one in entries(Unique)] == [("1", CHANGE, None)]


def test_a_required_column_that_a_migration_adds_is_seen_at_once() -> None:
    Unique.objects.create(pk=1, code="a")
    with migrated(AddField("unique", "token", models.CharField(max_length=20, default="y"))):
        entries()
        sql("UPDATE capture_unique SET token = 'x'")
        assert brief(Unique) == [("1", CHANGE, "")]


NEW_MODEL = (
    CreateModel(
        "Brand", [("id", models.BigAutoField(primary_key=True)), ("name", models.CharField(max_length=20))]
    ),
    AddField("brand", "tags", models.ManyToManyField("capture.Tag")),
)


def test_rows_that_a_migration_writes_into_a_new_table_are_seen() -> None:
    with migrated(*NEW_MODEL) as state:
        brand = state.apps.get_model("capture", "Brand").objects.create(name="a")
        brand.tags.add(state.apps.get_model("capture", "Tag").objects.create(slug="x"))
        found = [(one.content_type.model, one.action) for one in ChangeLog.objects.order_by("id")]
        assert found == [("brand", ADDITION), ("tag", ADDITION), ("brand_tags", ADDITION)]
        brand.tags.clear()
    forget_content_types("brand", "brand_tags")
    assert not [one for one in triggers_for(connection).installed() if "brand" in one.stem]


def test_a_new_table_that_is_not_watched_gets_no_triggers() -> None:
    with override_settings(SYNCHRO_MODELS=["shop"]), migrated(*NEW_MODEL):
        assert not [one for one in triggers_for(connection).installed() if "brand" in one.stem]
    with override_settings(SYNCHRO_CAPTURE="signals"), migrated(*NEW_MODEL):
        assert not [one for one in triggers_for(connection).installed() if "brand" in one.stem]


def test_a_table_in_the_place_of_an_altered_one_leaves_no_content_type() -> None:
    with migrated(AddField("unique", "token", models.CharField(max_length=20, default="y", unique=True))):
        pass
    assert not ContentType.objects.filter(model__startswith="new").exists()


def without_the_column(name: str) -> None:
    """Give the table of `Unique` such triggers as it had before it had the column `name`."""
    backend = triggers_for(connection)
    (target,) = Declaration(connection, backend, False).targets(stem_for("capture_unique"))
    kept = tuple(field for field in target.columns if field.column != name)
    shape = replace(target.shape, numbers=frozenset(one for one in target.shape.numbers if one[0] != name))
    exchange(replace(target, columns=kept, shape=shape))


def exchange(target: Target) -> None:
    """Give a table these triggers in place of those that it has."""
    backend = triggers_for(connection)
    wanted = backend.compile(target)
    old = [] if backend.replaces else backend.on(target.table)
    names = {one.name for one in wanted}
    kept = {one.name for one in old if one.name in names}
    with known(connection):
        backend.exchange(
            [one for one in wanted if one.name not in kept],
            [one for one in old if one.name not in names],
            10,
        )


def forget_content_types(*names: str) -> None:
    ContentType.objects.filter(app_label="capture", model__in=names).delete()
    ContentType.objects.clear_cache()


def test_triggers_that_do_not_know_a_column_are_not_harmless() -> None:
    without_the_column("name")
    if connection.vendor == "postgresql":  # they see what came after them
        refuse_without_triggers(None, local=connections["default"])
        assert {one.id for one in check_triggers(databases=["default"])} == {"synchro.W102", "synchro.W105"}
        return
    with pytest.raises(NotReady, match=r"capture\.Unique \(changes of name are not seen\)\."):
        refuse_without_triggers(None, local=connections["default"])
    with pytest.raises(CommandError, match="is incomplete: it does not see changes of name"):
        install("--check")
    assert "synchro.W107" in {one.id for one in check_triggers(databases=["default"])}
    install()
    refuse_without_triggers(None, local=connections["default"])


@pytest.mark.skipif(connection.vendor == "postgresql", reason="its triggers see columns that came after them")
def test_who_installs_triggers_hears_what_was_not_seen_before(capsys: pytest.CaptureFixture[str]) -> None:
    without_the_column("name")
    install()
    assert "capture.Unique did not know the columns name until now" in capsys.readouterr().err
    install()
    assert capsys.readouterr().err == ""


def test_triggers_of_a_migration_that_failed_are_harmless() -> None:
    with migrated(AddField("unique", "token", models.CharField(max_length=20, null=True))):
        refuse_without_triggers(None, local=connections["default"])


@pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL's triggers can look")
def test_a_column_that_somebody_else_adds_is_seen_too() -> None:
    Unique.objects.create(pk=1, code="a")
    entries()
    sql("ALTER TABLE capture_unique ADD token text")
    try:
        sql("UPDATE capture_unique SET token = 'x'", "UPDATE capture_unique SET token = 'y', name = 'b'")
        found = [(one.object_id, one.action, one.fields) for one in entries(Unique)]
        assert found == [("1", CHANGE, None), ("1", CHANGE, None)]
        sql("UPDATE capture_unique SET name = name")
        assert brief() == []
    finally:
        sql("ALTER TABLE capture_unique DROP token")


@pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL's triggers can look")
def test_a_skipped_column_is_no_new_one() -> None:
    Article.objects.create(pk=1)
    entries()
    Article.objects.update(views=7)
    assert brief() == []


@pytest.mark.parametrize("detail", Detail)
@pytest.mark.parametrize("kind", ["table", "partitioned table"])
def test_columns_may_have_the_names_that_triggers_use(detail: Detail, kind: str) -> None:
    if kind != "table" and connection.vendor != "postgresql":
        pytest.skip("of PostgreSQL alone")
    made = CreateModel(
        "Aliased",
        [
            ("id", models.BigAutoField(primary_key=True)),
            *(
                (f"f{place}", models.IntegerField(default=0, db_column=name))
                for place, name in enumerate(ALIASES)
            ),
        ],
    )
    with migrated(made) as state:
        model = state.apps.get_model("capture", "Aliased")
        table = model._meta.db_table
        if kind != "table":
            sql(
                f"CREATE TABLE parts (LIKE {table} INCLUDING DEFAULTS) PARTITION BY HASH (id)",
                "CREATE TABLE parts_all PARTITION OF parts FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
                f"DROP TABLE {table}",
                f"ALTER TABLE parts RENAME TO {table}",
            )
        backend, key = triggers_for(connection), key_fields.__wrapped__(model)
        content_type = ContentType.objects.get_for_model(model)
        columns = tuple(field for field in model._meta.concrete_fields if field not in key)
        target = Target(
            "capture.Aliased", table, content_type.pk, key, columns if detail is Detail.COLUMNS else (),
            detail=detail, shape=backend.shapes([table])[table],
        )  # fmt: skip
        exchange(target)
        entries()
        model.objects.create(pk=1)
        model.objects.update(f1=5)
        model.objects.update(id=2)
        model.objects.all().delete()
        known = "f1" if detail is Detail.COLUMNS else ""
        moved = [("1", DELETION, ""), ("2", ADDITION, "")]
        assert brief() == sorted([("1", ADDITION, ""), ("1", CHANGE, known), *moved, ("2", DELETION, "")])
        if connection.vendor == "postgresql":
            model.objects.create(pk=3)
            sql(f"TRUNCATE {table}")
            assert brief() == [("3", ADDITION, ""), ("3", DELETION, "")]
    forget_content_types("aliased")


def truncate_while_another_inserts(level: str) -> None:
    other = connection.copy()
    try:
        with transaction.atomic():
            sql(f"SET TRANSACTION ISOLATION LEVEL {level}", "SELECT count(*) FROM capture_unique")
            with other.cursor() as cursor:  # which the transaction cannot see
                cursor.execute("INSERT INTO capture_unique (id, code, name) VALUES (2, 'b', '')")
            sql("TRUNCATE capture_unique")
    finally:
        other.close()


@pytest.mark.skipif(connection.vendor != "postgresql", reason="the others have no trigger for it")
@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_truncate_is_refused_where_the_trigger_cannot_see_all_rows(level: str) -> None:
    Unique.objects.create(pk=1, code="a")
    with pytest.raises(NotSupportedError, match=f"(?i)TRUNCATE of .*capture_unique.*{level}"):
        truncate_while_another_inserts(level)
    assert Unique.objects.count() == 2
    entries()
    sql("TRUNCATE capture_unique")
    assert brief() == [("1", DELETION, ""), ("2", DELETION, "")]


def test_a_table_is_removed_together_with_its_triggers() -> None:
    with migrated(*NEW_MODEL[:1]):
        pass
    with migrated(NEW_MODEL[0], DeleteModel("Brand")):
        assert not [one for one in triggers_for(connection).installed() if "brand" in one.stem]
    forget_content_types("brand")
