"""What a run costs before it has anything to do, and for a single row: statements, which are trips to a server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from django.db import connections

from synchro.core import call_synchronize
from tests.replay.deployments import BY_TRIGGERS, LOCAL, REMOTE
from tests.shop.models import Seat

pytestmark = pytest.mark.django_db(databases=["default", "remote"], transaction=True)

#: By the kind of database, on LOCAL and on REMOTE: of a run with nothing to do, and of one that brings one new row.
#: Where one of these grows, a run takes longer for everybody: see whether a question can be asked with another one.
IDLE = {"sqlite": (20, 9), "postgresql": (23, 9), "mysql": (23, 10), "mariadb": (23, 10)}
ONE_ROW = {"sqlite": (47, 27), "postgresql": (50, 26), "mysql": (51, 29), "mariadb": (51, 29)}
#: What capture by triggers adds.
TRIGGERS = {"sqlite": (5, 1), "postgresql": (3, 1), "mysql": (6, 1), "mariadb": (6, 1)}


def kind_of(alias: str) -> str:
    connection: Any = connections[alias]
    is_mariadb = connection.vendor == "mysql" and connection.mysql_is_mariadb
    return "mariadb" if is_mariadb else str(connection.vendor)


def allowed(numbers: dict[str, tuple[int, int]]) -> dict[str, int]:
    """How many there may be on each side."""
    kinds = {alias: kind_of(alias) for alias in (LOCAL, REMOTE)}
    return {
        alias: numbers[kinds[alias]][place] + (TRIGGERS[kinds[alias]][place] if BY_TRIGGERS else 0)
        for place, alias in enumerate((LOCAL, REMOTE))
    }


@contextmanager
def statements() -> Iterator[dict[str, list[str]]]:
    """What is said inside to each side."""
    said: dict[str, list[str]] = {LOCAL: [], REMOTE: []}

    def listen(execute: Any, sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        said[context["connection"].alias].append(str(sql))
        return execute(sql, params, many, context)

    with ExitStack() as stack:
        for alias in said:
            stack.enter_context(connections[alias].execute_wrapper(listen))
        yield said


def told(said: dict[str, list[str]]) -> str:
    return "\n".join(
        f"{alias}: {' '.join(sql.split())[:150]}" for alias, each in said.items() for sql in each
    )


def test_run_says_no_more_to_either_side_than_it_needs(settings: Any) -> None:
    if kind_of(LOCAL) == "mariadb":
        pytest.skip("how often it looks for open transactions depends on the time")
    settings.SYNCHRO_MODELS = ["shop"]
    Seat.objects.create(number=1)
    call_synchronize()

    with statements() as idle:
        assert call_synchronize().entries == 0
    Seat.objects.create(number=2)
    with statements() as busy:
        assert call_synchronize().entries == 1

    assert {alias: len(each) for alias, each in idle.items()} == allowed(IDLE), told(idle)
    if kind_of(LOCAL) == kind_of(REMOTE):  # else rows are read in another way
        assert {alias: len(each) for alias, each in busy.items()} == allowed(ONE_ROW), told(busy)
