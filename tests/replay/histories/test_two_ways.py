"""Whatever two sides do to rows that hold on to each other, they meet, and no row is gone without anybody saying so."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import Model, ProtectedError, RestrictedError
from django.test.utils import override_settings

from synchro.core import call_synchronize
from synchro.models import DELETION, ChangeLog, Conflict
from tests.knots.models import (
    Bunk,
    Cabin,
    Call,
    Deck,
    Duty,
    Flag,
    Hold,
    Label,
    Mast,
    Player,
    Port,
    Rope,
    Sail,
    Sailor,
    Ship,
    Team,
)
from tests.replay.compare import differences
from tests.replay.deployments import LOCAL, REMOTE, other_side, watching
from tests.replay.histories.harness import object_by_object, rolled_back, run_until_quiet
from tests.replay.histories.test_knots import History
from tests.replay.hypothesis_settings import EXAMPLES, FIRST

pytestmark = pytest.mark.django_db(databases=["default", "remote"])

MODELS: list[type[Model]] = [
    Ship, Label, Deck, Cabin, Bunk, Sailor, Duty, Hold, Port, Call, Flag, Mast, Sail, Team, Player, Rope,
]  # fmt: skip
#: Of these there are more.
OFTEN: list[type[Model]] = [*MODELS, *[Ship, Label] * 4, Deck]
SEEDS = range(FIRST + 800, FIRST + 800 + max(2, EXAMPLES // 2))


@pytest.fixture(scope="module", autouse=True)
def watched(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    with watching(django_db_blocker, "knots"):
        yield


@pytest.mark.parametrize("seed", SEEDS)
def test_two_sides_meet_and_no_row_is_gone_unsaid(seed: int) -> None:
    chance = random.Random(seed)
    start = {"SYNCHRO_BATCH_SIZE": chance.choice([1, 2, 3, 5, 5000]), "SYNCHRO_IDENTITY": "pk"}
    way = object_by_object() if chance.random() < 0.3 else nullcontext()
    with override_settings(**start), rolled_back(), way:
        people = People(chance)
        for _ in range(20):
            people.step(people.create)
        run_until_quiet()
        for is_here in (True, False) * chance.randint(2, 5):
            with people.at(is_here):
                for _ in range(chance.randint(0, 8)):
                    people.step(chance.choice(people.acts))
                if chance.random() < 0.6:
                    call_synchronize()
        run_until_quiet()

        assert differences(MODELS) == []
        with other_side():
            assert differences(MODELS) == []
        said = {place for alias in (LOCAL, REMOTE) for place in [*deleted(alias), *decided(alias)]}
        gone = {place for place in people.made if not place[0]._base_manager.filter(pk=place[1]).exists()}
        assert {(model._meta.model_name, key) for model, key in gone} <= said


class People(History):
    """What people do on either side; a row has the same key on both."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__(chance)
        self.acts = [self.create, self.create, self.change, self.change, self.delete]
        self.made: list[tuple[type[Model], str]] = []
        self._is_here = True
        self._keys = {True: itertools.count(1, 2), False: itertools.count(2, 2)}

    def at(self, is_here: bool) -> AbstractContextManager[None]:
        self._is_here = is_here
        return nullcontext() if is_here else other_side()

    def create(self) -> None:
        model = self.chance.choice(OFTEN)
        if values := self.values(model):
            if model._meta.pk is not None and model._meta.pk.get_internal_type() == "BigAutoField":
                values["pk"] = next(self._keys[self._is_here])
            row = model(**values)
            row.save(force_insert=True)
            self.made.append((model, str(row.pk)))

    def change(self) -> None:
        model = self.chance.choice(OFTEN)
        row = self.some(model)
        values = self.values(model) if row is not None else {}
        names = [name for name in values if name != "code"]  # what others point at stays
        if names:
            for name in names:
                setattr(row, name, values[name])
            row.save(update_fields=names if self.chance.random() < 0.6 else None)

    def delete(self) -> None:
        row = self.some(self.chance.choice(OFTEN))
        if row is not None:
            try:
                with transaction.atomic():
                    row.delete()
            except (ProtectedError, RestrictedError):
                return

    def values(self, model: type[Model]) -> dict[str, Any]:
        found = super().values(model)
        if model is not Label:
            return found
        ship = self.some(Ship)
        if ship is None:
            return {}
        kind = ContentType.objects.get_for_model(Ship)
        return {"content_type": kind, "object_id": ship.pk, "text": f"{self.chance.random()}"}


def deleted(alias: str) -> Iterator[tuple[str, str]]:
    """What somebody deleted, by the log of this side."""
    for entry in ChangeLog.objects.using(alias).filter(action=DELETION):
        yield _name(alias, entry.content_type_id), entry.object_id


def decided(alias: str) -> Iterator[tuple[str, str]]:
    """What conflicts on record are about, or say that was lost with it."""
    for conflict in Conflict.objects.using(alias).all():
        yield _name(alias, conflict.content_type_id), conflict.object_id
        for label, values in json.loads(conflict.remote_values or "{}").items():
            if "." in label and isinstance(values, dict):
                model = label.split(".")[1].lower()
                yield from ((model, str(values[name])) for name in ("id", "code") if name in values)


def _name(alias: str, content_type: int) -> str:
    return str(ContentType.objects.db_manager(alias).get_for_id(content_type).model)
