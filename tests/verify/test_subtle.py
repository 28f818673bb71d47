"""Values that differ in as little as their column allows: the servers' digests tell them apart."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from synchro.core import call_synchronize
from synchro.keys import to_text
from synchro.verify import verify
from synchro.verify.results import DIFFERENT
from tests.replay.deployments import REMOTE, unlogged
from tests.shop.models import Measurement
from tests.verify.planting import suspects

pytestmark = pytest.mark.django_db(databases=["default", "remote"], transaction=True)

#: Among them those that PostgreSQL's own hashes take for equal: a sign, and long numbers with their halves exchanged.
PAIRS: list[tuple[str, Any, Any]] = [
    ("moment", datetime(2020, 2, 29, 12, tzinfo=UTC), datetime(2020, 2, 29, 12, 0, 0, 1, tzinfo=UTC)),
    ("moment", datetime(2020, 2, 29, 12, tzinfo=UTC), datetime(2020, 2, 29, 13, tzinfo=UTC)),
    ("day", date(2020, 2, 29), date(2020, 3, 1)),
    ("hour", time(10, 20), time(10, 20, 0, 10)),
    ("lasted", timedelta(days=1), timedelta(hours=23)),
    ("lasted", timedelta(seconds=1), timedelta(seconds=-1)),
    ("amount", Decimal("5.5"), Decimal("-5.5")),
    ("amount", Decimal("1"), Decimal("1.00001")),
    ("ratio", 0.1, 0.1 + 2**-56),
    ("ratio", 1e300, -1e300),
    ("data", {"a": [1, 2]}, {"a": [2, 1]}),
    ("data", {"a": "1"}, {"a": 1}),
    ("data", [], None),
    ("raw", b"", b"\x00"),
    ("raw", b"a", b"A"),
    ("token", UUID(int=1), UUID(int=2)),
    ("maybe", False, None),
    ("maybe", False, True),
    ("short", "", None),
    ("short", "a", "A"),
    ("short", "a", "a "),
    ("short", "u", "ü"),
    ("short", "1,2", "1;2"),
    ("long", "a\n", "a\r\n"),
    ("address", "192.0.2.1", "192.0.2.10"),
    ("number", 0, None),
    ("big", 0, 2**32 + 1),
    ("big", 1, -1),
    ("positive", 2**63 - 1, 2**63 - 2),
]
#: What one column loses and the next one gets.
MOVED = ({"short": "a", "long": "1,b"}, {"short": "a,1", "long": "b"})


def test_least_differences_are_found_and_all_else_is_left_to_the_servers() -> None:
    rows = [({name: one}, {name: other}) for name, one, other in PAIRS]
    rows += [MOVED, ({"short": "x", "long": None}, {"short": None, "long": "x"})]
    pairs = [(Measurement.objects.create(**one), other) for one, other in rows]
    equal = [Measurement.objects.create(**one) for one, _other in rows]
    call_synchronize()
    assert suspects(Measurement) == (2 * len(rows), 0)
    remote_keys = Measurement.objects.using(REMOTE).order_by("pk").values_list("pk", flat=True)
    with unlogged(REMOTE):
        for key, (_row, other) in zip(list(remote_keys), pairs, strict=False):
            Measurement.objects.using(REMOTE).filter(pk=key).update(**other)

    (result,) = verify("remote", [Measurement])

    expected = {to_text(Measurement, row.pk): tuple(sorted(other)) for row, other in pairs}
    found = {to_text(Measurement, d.key): tuple(sorted(d.fields)) for d in result.differences}
    assert found == expected
    assert result.counts == {DIFFERENT: len(rows)}
    assert result.equal == len(equal)
