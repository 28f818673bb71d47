"""The columns: those of Django's own fields, whatever is declared above them."""

from __future__ import annotations

from typing import Any

import pytest
from django.apps.registry import Apps
from django.db import connection, models, transaction
from django.db.migrations.operations import AlterField, CreateModel
from django.db.migrations.state import ProjectState

from django_spicy_id import SpicyAutoField, SpicyBigAutoField, SpicySmallAutoField

KINDS = [
    (SpicyBigAutoField, models.BigAutoField, 2**63 - 1),
    (SpicyAutoField, models.AutoField, 2**31 - 1),
    (SpicySmallAutoField, models.SmallAutoField, 2**15 - 1),
]


def box_model(registry: Apps, **fields: models.Field[Any, Any]) -> type[models.Model]:
    class Meta:
        apps = registry
        app_label = "spicy_test"

    return type("Box", (models.Model,), {"Meta": Meta, "__module__": __name__, **fields})


@pytest.mark.parametrize(("spicy", "plain", "maximum"), KINDS)
@pytest.mark.parametrize("pad", [False, True])
@pytest.mark.parametrize("encoding", ["b62", "b58", "hex"])
def test_a_key_goes_to_the_edge_of_its_column(
    registry: Apps, tables: Any, spicy: type, plain: type, maximum: int, pad: bool, encoding: str
) -> None:
    field = spicy(primary_key=True, prefix="box", encoding=encoding, pad=pad)
    box = box_model(registry, id=field, name=models.CharField(max_length=10))
    tables(box)
    for key in (1, maximum - 1, maximum):
        row = box.objects.create(id=key, name=str(key)[:10])
        assert row.id == field.codec.encode(key)
        assert box.objects.get(pk=row.id) == row
        assert box.objects.get(id__gte=key) == row
    assert list(box.objects.order_by("-id").values_list("pk", flat=True)) == [
        field.codec.encode(key) for key in (maximum, maximum - 1, 1)
    ]


class Shelf:
    """Two states of one table, and the way between them."""

    def __init__(self, plain: type, spicy: models.Field[Any, Any]) -> None:
        self.plain = plain(primary_key=True)
        self.spicy = spicy
        self.state = ProjectState()
        self.model_names = ("Box", "Lid")
        self.run(
            CreateModel("Box", [("id", self.plain), ("name", models.CharField(max_length=10))]),
            CreateModel(
                "Lid",
                [("id", plain(primary_key=True)), ("box", models.ForeignKey("shelf.Box", models.CASCADE))],
            ),
        )

    def run(self, *operations: Any, collect: bool = False) -> list[str]:
        """Apply the operations and return the SQL of them; only that with `collect`."""
        before = self.state
        after = before.clone()
        # A schema editor of its own for each, as migrations have.
        with connection.schema_editor(collect_sql=collect) as editor:
            for operation in operations:
                old = after.clone()
                operation.state_forwards("shelf", after)
                operation.database_forwards("shelf", editor, old, after)
            statements = editor.collected_sql if collect else []
        if not collect:
            self.state = after
        return [line for line in statements if not line.startswith("--")]

    def model(self, name: str) -> Any:
        return self.state.apps.get_model("shelf", name)

    def drop(self) -> None:
        with connection.schema_editor() as editor:
            for name in ("Lid", "Box"):
                editor.delete_model(self.model(name))


@pytest.fixture(params=KINDS, ids=lambda kind: kind[1].__name__)
def shelf(transactional_db: None, request: pytest.FixtureRequest) -> Any:
    spicy, plain, _ = request.param
    shelf = Shelf(plain, spicy(primary_key=True, prefix="box", encoding="hex", pad=True))
    yield shelf
    shelf.drop()


def test_a_table_moves_from_the_plain_field_and_back_without_change(shelf: Shelf) -> None:
    first = shelf.model("Box").objects.create(name="first")
    shelf.model("Box").objects.create(id=100, name="second")
    shelf.model("Lid").objects.create(box_id=100)
    to_spicy = AlterField("box", "id", shelf.spicy)
    to_plain = AlterField("box", "id", shelf.plain)

    shelf.run(to_spicy)

    encode = shelf.spicy.codec.encode
    box = shelf.model("Box")
    assert dict(box.objects.values_list("id", "name")) == {encode(first.id): "first", encode(100): "second"}
    assert shelf.model("Lid").objects.get().box.name == "second"
    assert shelf.model("Lid").objects.get().box_id == encode(100)

    shelf.run(to_plain)

    assert dict(shelf.model("Box").objects.values_list("id", "name")) == {first.id: "first", 100: "second"}
    assert shelf.model("Lid").objects.get().box_id == 100


def test_the_database_goes_on_counting_after_the_move(shelf: Shelf) -> None:
    boxes = [shelf.model("Box").objects.create(name=str(number)) for number in range(3)]
    shelf.run(AlterField("box", "id", shelf.spicy))
    decode = shelf.spicy.codec.decode
    fourth = shelf.model("Box").objects.create(name="fourth")
    assert decode(fourth.id) == boxes[-1].id + 1
    shelf.run(AlterField("box", "id", shelf.plain))
    assert shelf.model("Box").objects.create(name="fifth").id == boxes[-1].id + 2


def test_moving_runs_no_statement_on_a_server(shelf: Shelf) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("SQLite cannot alter a column, so Django copies the table")
    assert shelf.run(AlterField("box", "id", shelf.spicy), collect=True) == []
    shelf.run(AlterField("box", "id", shelf.spicy))
    assert shelf.run(AlterField("box", "id", shelf.plain), collect=True) == []


def test_another_spelling_of_the_same_key_runs_no_statement(shelf: Shelf) -> None:
    shelf.run(AlterField("box", "id", shelf.spicy))
    other = type(shelf.spicy)(primary_key=True, prefix="b", sep="-", encoding="b58", randomize=True)
    assert shelf.run(AlterField("box", "id", other), collect=True) == []


def test_a_column_beside_the_primary_key_works_where_its_check_is_silenced(
    registry: Apps, tables: Any
) -> None:
    box = box_model(
        registry,
        name=models.CharField(max_length=10, primary_key=True),
        code=SpicyBigAutoField(prefix="box", unique=True, randomize=True),
    )
    tables(box)
    row = box.objects.create(name="one")
    box.objects.create(name="two", code=123456789)
    assert isinstance(row.code, str)
    assert box.objects.get(code=row.code).name == "one"
    assert box.objects.get(code="box_8M0kX").name == "two"
    assert box.objects.in_bulk([row.code], field_name="code") == {row.code: row}
    box.objects.filter(name="one").update(code="box_5")
    row.refresh_from_db()
    assert row.code == "box_5"
    with pytest.raises(ValueError), transaction.atomic():
        box.objects.filter(name="one").update(code="garbage")


def test_a_migration_that_makes_random_rows_gives_them_ids(transactional_db: None) -> None:
    shelf = Shelf(
        models.BigAutoField, SpicyBigAutoField(primary_key=True, prefix="box", randomize=True, encoding="hex")
    )
    try:
        shelf.run(AlterField("box", "id", shelf.spicy))
        row = shelf.model("Box").objects.create(name="made")
        assert row.id.startswith("box_")
        assert shelf.model("Box").objects.get().id == row.id
    finally:
        shelf.drop()
