"""Random migrations: what happens to a schema while changes wait, one step at a time."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from django.db import models
from django.db.migrations import (
    AddConstraint,
    AddField,
    AlterField,
    AlterModelTable,
    CreateModel,
    DeleteModel,
    RemoveField,
    RenameField,
    RenameModel,
    RunPython,
    SeparateDatabaseAndState,
)
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ModelState, ProjectState
from django.db.models import Field

from tests.evolving import fills

APP = "evolving"
#: The operations of one migration each.
Step: TypeAlias = list[list[Operation]]


def first_step() -> Step:
    return [
        [
            CreateModel("Alpha", [_key(), ("t0", models.CharField(max_length=20, default=""))]),
            CreateModel(
                "Beta",
                [
                    _key(),
                    ("t0", models.CharField(max_length=20, null=True)),
                    ("n0", models.IntegerField(default=0)),
                    ("k0", models.ForeignKey("evolving.Alpha", models.CASCADE, null=True)),
                ],
            ),
            CreateModel(
                "Gamma",
                [
                    ("code", models.CharField(max_length=20, primary_key=True)),
                    ("t0", models.CharField(max_length=20, null=True)),
                ],
            ),
            AddField("alpha", "s0", models.ManyToManyField("evolving.Beta")),
        ]
    ]


def _key() -> tuple[str, Field[Any, Any]]:
    return "id", models.BigAutoField(primary_key=True)


def fill(code: Any = fills.fill) -> RunPython:
    return RunPython(code, RunPython.noop)


class Steps:
    """Draws what happens next to the models of a state."""

    def __init__(self, chance: random.Random, state: ProjectState) -> None:
        self.chance = chance
        self.models = [one for (app, _name), one in state.models.items() if app == APP]
        self.apps = state.apps

    def draw(self) -> tuple[str, Step]:
        kinds: list[Callable[[], Step | None]] = [
            self.add_field, self.add_field, self.add_unique_field, self.add_with_default, self.add_foreign_key,
            self.alter_field, self.rename_field, self.rename_field, self.remove_field, self.rename_model,
            self.rename_model, self.rename_table, self.add_set, self.rename_set, self.rename_set, self.remove_set,
            self.give_set_a_model, self.add_constraint, self.create_model, self.delete_model, self.rename_key,
        ]  # fmt: skip
        while True:
            kind = self.chance.choice(kinds)
            step = kind()
            if step is not None:
                return kind.__name__, step

    # -- what there is ---------------------------------------------------------------------------------------------

    def _model(self) -> ModelState:
        return self.chance.choice(self.models)

    def _new_name(self, model: ModelState, letter: str) -> str:
        return self.chance.choice([f"{letter}{n}" for n in range(9) if f"{letter}{n}" not in model.fields])

    def _field(
        self, wanted: Callable[[Field[Any, Any]], bool]
    ) -> tuple[ModelState, str, Field[Any, Any]] | None:
        found = [
            (model, name, field)
            for model in self.models
            for name, field in model.fields.items()
            if wanted(field)
        ]
        return self.chance.choice(found) if found else None

    def _maybe_filled(self, *operations: Operation) -> Step:
        """In one migration with what fills columns, or in several, or without."""
        return self.chance.choice(
            [
                [[*operations]],
                [[*operations], [fill()]],
                [[fill()], [*operations]],
                [[*operations, fill()]],
            ]
        )

    # -- columns ---------------------------------------------------------------------------------------------------

    def add_field(self) -> Step:
        model = self._model()
        field = self.chance.choice([models.CharField(max_length=20, null=True), models.TextField(null=True)])
        return self._maybe_filled(AddField(model.name, self._new_name(model, "t"), field))

    def add_with_default(self) -> Step:
        model = self._model()
        return self._maybe_filled(
            AddField(model.name, self._new_name(model, "n"), models.IntegerField(default=7))
        )

    def add_unique_field(self) -> Step:
        """By Django's own recipe, in one migration or in three."""
        model = self._model()
        name = self._new_name(model, "t")
        add = AddField(model.name, name, models.CharField(max_length=20, null=True))
        alter = AlterField(model.name, name, models.CharField(max_length=20, null=True, unique=True))
        fill_it = fill(fills.fill_the_empty)
        return self.chance.choice([[[add, fill_it, alter]], [[add], [fill_it], [alter]]])

    def add_foreign_key(self) -> Step:
        model, other = self._model(), self._model()
        key = models.ForeignKey(f"{APP}.{other.name}", models.CASCADE, null=True, related_name="+")
        return [[AddField(model.name, self._new_name(model, "k"), key)]]

    def alter_field(self) -> Step | None:
        found = self._field(_is_plain)
        if found is None:
            return None
        model, name, field = found
        new = field.clone()
        if isinstance(field, models.IntegerField):
            new = models.BigIntegerField(default=7)
        elif isinstance(field, models.CharField):
            new.max_length = self.chance.choice([40, 60])
        return self._maybe_filled(AlterField(model.name, name, new))

    def rename_field(self) -> Step | None:
        found = self._field(lambda field: not field.primary_key and not field.many_to_many)
        if found is None or self._is_end(*found):
            return None
        model, name, _ = found
        return self._maybe_filled(RenameField(model.name, name, self._new_name(model, name[0])))

    def remove_field(self) -> Step | None:
        found = self._field(
            lambda field: (
                not field.primary_key and not field.many_to_many and not getattr(field, "unique", False)
            )
        )
        if found is None or self._is_end(*found) or found[0].options.get("constraints"):
            return None
        model, name, _ = found
        return self._maybe_filled(RemoveField(model.name, name))

    def rename_key(self) -> Step | None:
        found = self._field(
            lambda field: field.primary_key and isinstance(field, models.CharField | models.BigAutoField)
        )
        assert found is not None
        model, name, _ = found
        return [[RenameField(model.name, name, self._new_name(model, "i"))]]

    def add_constraint(self) -> Step | None:
        found = self._field(
            lambda field: isinstance(field, models.CharField) and field.null and not field.unique
        )
        if found is None:
            return None
        model, name, _ = found
        names = {one.name for other in self.models for one in other.options.get("constraints", ())}
        label = next(f"unique_{n}" for n in range(99) if f"unique_{n}" not in names)
        return [[AddConstraint(model.name, models.UniqueConstraint(fields=[name], name=label))]]

    def _is_end(self, model: ModelState, name: str, field: Field[Any, Any]) -> bool:
        return field.remote_field is not None and not field.null

    # -- sets ------------------------------------------------------------------------------------------------------

    def _set(self) -> tuple[ModelState, str, Any] | None:
        found = self._field(lambda field: bool(field.many_to_many))
        if found is None:
            return None
        model, name, _ = found
        field: Any = self.apps.get_model(APP, model.name)._meta.get_field(name)
        return (model, name, field) if field.remote_field.through._meta.auto_created else None

    def add_set(self) -> Step:
        model, other = self._model(), self._model()
        field: Any = models.ManyToManyField(f"{APP}.{other.name}", related_name="+")
        return [[AddField(model.name, self._new_name(model, "s"), field)]]

    def rename_set(self) -> Step | None:
        found = self._set()
        return (
            [[RenameField(found[0].name, found[1], self._new_name(found[0], "s"))]]
            if found is not None
            else None
        )

    def remove_set(self) -> Step | None:
        found = self._set()
        return [[RemoveField(found[0].name, found[1])]] if found is not None else None

    def give_set_a_model(self) -> Step | None:
        """The automatic table becomes that of a model, as Django's documentation shows."""
        found = self._set()
        if found is None:
            return None
        owner, name, field = found
        through, taken = field.remote_field.through, {model.name for model in self.models}
        model = self.chance.choice([f"Link{n}" for n in range(20) if f"Link{n}" not in taken])
        ends = [one for one in through._meta.local_fields if one.remote_field is not None]
        columns = [
            (
                one.name,
                models.ForeignKey(f"{APP}.{one.related_model.__name__}", models.CASCADE, related_name="+"),
            )
            for one in ends
        ]
        ends_named = {"through_fields": tuple(one.name for one in ends)} if field.related_model else {}
        new: Any = models.ManyToManyField(
            f"{APP}.{field.related_model.__name__}", related_name="+", through=f"{APP}.{model}", **ends_named
        )
        made = CreateModel(
            model, [("id", through._meta.pk.clone()), *columns], {"db_table": through._meta.db_table}
        )
        return [
            [
                SeparateDatabaseAndState(state_operations=[made, AlterField(owner.name, name, new)]),
                AddField(model, "t0", models.CharField(max_length=20, null=True)),
            ]
        ]

    # -- models ----------------------------------------------------------------------------------------------------

    def rename_model(self) -> Step:
        model, taken = self._model(), {one.name.lower() for one in self.models}
        names = ("Alpha", "Beta", "Gamma", "Delta", "Eta", "Theta", "Iota", "Kappa", "Pi", "Rho", "Tau")
        new = self.chance.choice([name for name in names if name.lower() not in taken])
        return self._maybe_filled(RenameModel(model.name, new))

    def rename_table(self) -> Step:
        model = self._model()
        tables = {one.options.get("db_table") for one in self.models}
        new = self.chance.choice([name for n in range(9) if (name := f"evolved_{n}") not in tables])
        return self._maybe_filled(AlterModelTable(model.name, new))

    def create_model(self) -> Step:
        taken = {one.name for one in self.models}
        name = self.chance.choice([f"New{n}" for n in range(20) if f"New{n}" not in taken])
        made = CreateModel(
            name,
            [
                _key(),
                ("t0", models.CharField(max_length=20, null=True)),
                ("n0", models.IntegerField(default=1)),
            ],
        )
        return [[made], [fill(fills.add_rows)]]

    def delete_model(self) -> Step | None:
        pointed = {
            str(field.remote_field.model).lower().removeprefix(f"{APP}.")
            for model in self.models
            for field in model.fields.values()
            if field.remote_field is not None
        }
        through = {
            str(getattr(field.remote_field, "through", "")).lower().removeprefix(f"{APP}.")
            for model in self.models
            for field in model.fields.values()
            if field.many_to_many
        }
        free = [one for one in self.models if one.name.lower() not in pointed | through]
        return [[DeleteModel(self.chance.choice(free).name)]] if len(free) > 1 else None


def _is_plain(field: Field[Any, Any]) -> bool:
    return (
        isinstance(field, models.IntegerField | models.CharField)
        and not field.primary_key
        and not field.unique
    )


def names(step: Sequence[Sequence[Operation]]) -> str:
    return "; ".join(operation.describe() for operations in step for operation in operations)
