"""Whatever happens to the schema between writes and runs, REMOTE ends with LOCAL's rows."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest
from django.db import models
from django.db.migrations import CreateModel, DeleteModel, RenameModel
from django.db.models import Model

from synchro.core import call_synchronize
from tests.evolving.history import LOCAL, REMOTE, History
from tests.replay.compare import assert_same_rows
from tests.replay.sides import BY_TRIGGERS, unlogged

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "remote"])

ROUNDS = int(os.environ.get("SYNCHRO_TEST_EXAMPLES", "3"))
FIRST = int(os.environ.get("SYNCHRO_TEST_FIRST", "0"))
STEPS = 25


@pytest.mark.parametrize("seed", range(FIRST, FIRST + ROUNDS))
def test_no_change_is_lost_whatever_happens_to_the_schema(seed: int, tmp_path: Path) -> None:
    history = History(seed, tmp_path, BY_TRIGGERS)
    with history.begun():
        try:
            history.go(STEPS)
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
            history.evolve([gone, come])
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
