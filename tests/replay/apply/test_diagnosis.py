"""Whatever REMOTE's server says of a row, the run tells which row it is; quarantine takes it, and the others arrive."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections

from synchro.core import call_synchronize
from synchro.exceptions import Refused
from synchro.models import SetAside
from tests.replay.deployments import REMOTE, remote_count
from tests.shop.models import Customer, Measurement

pytestmark = pytest.mark.django_db(databases=["default", "remote"], transaction=True)

VENDOR = connections[REMOTE].vendor

#: An error that no driver has a class for, as soon as a row has this value.
TRIGGERS = {
    "sqlite": [
        "CREATE TRIGGER odd BEFORE INSERT ON shop_measurement WHEN NEW.number = 7 "
        "BEGIN SELECT abs(-9223372036854775807 - 1); END"
    ],
    "postgresql": [
        "CREATE FUNCTION odd() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN IF NEW.number = 7 THEN INSERT INTO nowhere VALUES (1); END IF; RETURN NEW; END $$",
        "CREATE TRIGGER odd BEFORE INSERT ON shop_measurement FOR EACH ROW EXECUTE FUNCTION odd()",
    ],
    "mysql": [
        "CREATE TRIGGER odd BEFORE INSERT ON shop_measurement FOR EACH ROW "
        "BEGIN IF NEW.number = 7 THEN INSERT INTO nowhere VALUES (1); END IF; END"
    ],
}
DROPPED = {
    "sqlite": ["DROP TRIGGER odd"],
    "postgresql": ["DROP TRIGGER odd ON shop_measurement", "DROP FUNCTION odd"],
    "mysql": ["DROP TRIGGER odd"],
}


def on_remote(*statements: str) -> None:
    with connections[REMOTE].cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@pytest.fixture(autouse=True)
def _accepted(settings: Any) -> None:
    settings.SYNCHRO_REMOTE_TRIGGERS = ("shop_measurement.odd",)


@pytest.fixture
def odd_trigger() -> Iterator[None]:
    on_remote(*TRIGGERS[VENDOR])
    yield
    on_remote(*DROPPED[VENDOR])


def create(*numbers: int) -> list[Measurement]:
    return [Measurement.objects.create(number=number, short=str(number)) for number in numbers]


@pytest.mark.usefixtures("odd_trigger")
def test_row_of_an_error_that_nobody_foresaw_is_named() -> None:
    Customer.objects.create(name="Vimes")
    *_others, culprit, _last = create(1, 2, 3, 7, 5)

    with pytest.raises(Refused, match=rf"shop\.Measurement {culprit.pk}\b"):
        call_synchronize()

    assert (remote_count(Measurement), remote_count(Customer)) == (0, 0)


@pytest.mark.usefixtures("odd_trigger")
def test_row_of_an_error_that_nobody_foresaw_goes_into_quarantine(settings: Any) -> None:
    settings.SYNCHRO_ON_ERROR = "quarantine"
    Customer.objects.create(name="Vimes")
    *_others, culprit, _last = create(1, 7, 3, 7, 5)

    assert call_synchronize().aside == 2

    assert (remote_count(Measurement), remote_count(Customer)) == (3, 1)
    assert str(culprit.pk) in set(SetAside.objects.values_list("object_id", flat=True))


def test_row_that_is_refused_for_another_one_of_the_batch_is_named() -> None:
    column = (
        "short" if VENDOR == "mysql" else "LOWER(short)"
    )  # MySQL's collation compares without case anyway
    on_remote(f"CREATE UNIQUE INDEX odd ON shop_measurement ({column})")
    try:
        _one, _other, second = (Measurement.objects.create(short=text) for text in ("b", "a", "A"))
        with pytest.raises(Refused, match=rf"shop\.Measurement {second.pk}\b"):
            call_synchronize()
    finally:
        on_remote("DROP INDEX odd" + (" ON shop_measurement" if VENDOR == "mysql" else ""))


@pytest.mark.skipif(
    VENDOR != "postgresql", reason="only PostgreSQL looks at the rows of a statement together"
)
def test_rows_that_are_refused_together_are_all_named() -> None:
    on_remote(
        "CREATE FUNCTION odd() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN IF (SELECT count(*) FROM rows) > 1 THEN RAISE 'too many'; END IF; RETURN NULL; END $$",
        "CREATE TRIGGER odd AFTER INSERT ON shop_measurement REFERENCING NEW TABLE AS rows "
        "FOR EACH STATEMENT EXECUTE FUNCTION odd()",
    )
    try:
        one, other = create(1, 2)
        with pytest.raises(Refused, match=rf"rows of shop\.Measurement together: {one.pk}, {other.pk} \("):
            call_synchronize()
    finally:
        on_remote("DROP TRIGGER odd ON shop_measurement", "DROP FUNCTION odd")
