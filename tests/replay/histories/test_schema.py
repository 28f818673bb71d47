"""Whatever happens to the schema between writes and runs, REMOTE ends with LOCAL's rows."""

from __future__ import annotations

import gc
import os
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import models
from django.db.migrations import (
    AddField,
    AlterField,
    CreateModel,
    DeleteModel,
    RenameModel,
    RunSQL,
    SeparateDatabaseAndState,
)
from django.db.migrations.operations.base import Operation
from django.db.models import Model

from synchro.core import call_synchronize
from tests.evolving.history import LOCAL, REMOTE, History
from tests.replay.compare import assert_same_rows
from tests.replay.deployments import BY_TRIGGERS, unlogged
from tests.replay.hypothesis_settings import FIRST

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "remote"])

#: Servers take their time over altered tables.
_FEW = "3" if os.environ.get("SYNCHRO_TEST_PAIR", "sqlite-sqlite") == "sqlite-sqlite" else "1"
ROUNDS = int(os.environ.get("SYNCHRO_TEST_EXAMPLES", _FEW))
STEPS = 25


@pytest.mark.parametrize("seed", range(FIRST, FIRST + ROUNDS))
def test_no_change_is_lost_whatever_happens_to_the_schema(seed: int, tmp_path: Path) -> None:
    history = History(seed, tmp_path, BY_TRIGGERS)
    with history.begun():
        try:
            history.go(STEPS)
            history.compare_what_was_not_seen()
            history.run()
            assert_same_rows()
            for model in history.models():  # who they are is known: none is doubled
                for row in model._base_manager.using(LOCAL):
                    history.writing.change(row)
            history.run()
            assert_same_rows()
        except Exception:
            print("\n".join(history.told))
            raise
    gc.collect()


# -- what happens to a schema that chance seldom finds -------------------------------------------------------------


def brand() -> CreateModel:
    return CreateModel(
        "Brand",
        [("id", models.BigAutoField(primary_key=True)), ("name", models.CharField(max_length=20, null=True))],
    )


def own_rows_of_remote(model: type[Model], *names: str) -> None:
    with unlogged(REMOTE):
        for name in names:
            model._base_manager.using(REMOTE).create(name=name)


def names_there(model: type[Model]) -> list[str]:
    return sorted(model._base_manager.using(REMOTE).values_list("name", flat=True))


@pytest.mark.parametrize("way", ["made again", "made again at once", "renamed"])
def test_a_model_with_the_name_of_one_that_is_gone_knows_no_rows_of_it(way: str, tmp_path: Path) -> None:
    history = History("names", tmp_path, BY_TRIGGERS)
    with history.begun():
        history.evolve([[brand()]])
        (model,) = (one for one in history.models() if one.__name__ == "Brand")
        for name in "abc":
            model._base_manager.create(name=name)
        call_synchronize()
        if way == "renamed":  # its rows are known by other keys than those of the model that is gone
            history.evolve([[CreateModel("Label", [*brand().fields])]])
            (label,) = (one for one in history.models() if one.__name__ == "Label")
            own_rows_of_remote(label, "r1", "r2", "r3", "r4", "r5")
            for name in "abc":
                label._base_manager.create(name=name)
            call_synchronize()
        gone, come = [DeleteModel("Brand")], [RenameModel("Label", "Brand") if way == "renamed" else brand()]
        if way == "made again at once":
            model._base_manager.create(name="lost")
            history.evolve([gone, come])
            (warning,) = (one for one in call_synchronize().warnings if "evolving.brand-1" in one)
            assert "1" in warning
            call_command("synchronize", forget=["evolving.brand-1"], stdout=StringIO(), stderr=StringIO())
            assert not any("evolving.brand-1" in one for one in call_synchronize().warnings)
        else:
            history.evolve([gone])
            call_synchronize()
            history.evolve([come])
        (model,) = (one for one in history.models() if one.__name__ == "Brand")
        if way != "renamed":
            own_rows_of_remote(model, "r1", "r2", "r3", "r4", "r5")
            model._base_manager.create(name="d")
            expected = ["d"]
        else:
            row = model._base_manager.get(name="a")
            row.name = "d"  # type: ignore[attr-defined]
            row.save()
            expected = ["b", "c", "d"]
        call_synchronize()
        assert names_there(model) == [*expected, "r1", "r2", "r3", "r4", "r5"]


def test_a_set_gets_a_model_by_the_recipe_of_djangos_documentation(tmp_path: Path) -> None:
    history = History("recipe", tmp_path, BY_TRIGGERS)
    with history.begun():
        alpha, beta = (one for one in history.models() if one.__name__ in ("Alpha", "Beta"))
        owner = alpha._base_manager.create(t0="owner")
        members: Any = [beta._base_manager.create(t0=name) for name in "abcd"]
        owner.s0.add(*members[:3])  # type: ignore[attr-defined]
        call_synchronize()
        owner.s0.remove(members[0])  # type: ignore[attr-defined]
        owner.s0.add(members[3])  # type: ignore[attr-defined]
        history.evolve([recipe()])
        (link,) = (one for one in history.models() if one.__name__ == "Link")
        history.run()
        assert_same_rows()

        rows = {row.beta.t0: row for row in link._base_manager.all()}  # type: ignore[attr-defined]
        rows["b"].delete()
        rows["c"].t0 = "changed"  # type: ignore[attr-defined]
        rows["c"].save()
        history.run()
        assert_same_rows()
        assert len(link._base_manager.using(REMOTE).all()) == 2
        assert any("was the automatic table" in line for line in history.told)


def recipe() -> list[Operation]:
    ends = [
        (name, models.ForeignKey(f"evolving.{name}", models.CASCADE, related_name="+"))
        for name in ("alpha", "beta")
    ]
    one_each = models.UniqueConstraint(fields=["alpha", "beta"], name="one_each")
    made = CreateModel(
        "Link",
        [("id", models.BigAutoField(primary_key=True)), *ends],
        {"db_table": "evolving_link", "constraints": [one_each]},
    )
    field: Any = models.ManyToManyField("evolving.Beta", through="evolving.Link", related_name="+")
    rename = RunSQL("ALTER TABLE evolving_alpha_s0 RENAME TO evolving_link", RunSQL.noop)
    return [
        SeparateDatabaseAndState([rename], [made, AlterField("alpha", "s0", field)]),
        AddField("link", "t0", models.CharField(max_length=20, null=True)),
    ]
