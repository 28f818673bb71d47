"""What an engine holds in a column and Django did not make: REMOTE gives it back equal, or it is refused by name."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import DatabaseError, connections, transaction
from hypothesis import given
from hypothesis import strategies as st

from synchro.core import call_synchronize
from synchro.exceptions import Refused
from tests.replay.deployments import BY_TRIGGERS, REMOTE
from tests.replay.hypothesis_settings import modest
from tests.shop.models import Measurement

pytestmark = [
    pytest.mark.django_db(databases=["default", "remote"]),
    pytest.mark.skipif(not BY_TRIGGERS, reason="no signal tells of what is written past Django"),
]

VENDOR = connections["default"].vendor


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''").replace("%", "%%") + "'"


digits = st.integers(0, 10**24)
number_texts = st.one_of(
    st.integers(-(10**25), 10**25).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.tuples(digits, digits).map(lambda pair: f"{pair[0]}.{pair[1]}"),
    st.sampled_from(["-0.0", "1e400", "1e-400", "0.10", "1.0"]),
)
day_texts = st.tuples(st.integers(0, 12000), st.integers(0, 12), st.integers(0, 31)).map(
    lambda day: f"{day[0]:04}-{day[1]:02}-{day[2]:02}"
)
time_texts = st.tuples(st.integers(-30, 40), st.integers(0, 59), st.integers(0, 59_999_999)).map(
    lambda parts: f"{parts[0]:02}:{parts[1]:02}:{parts[2] // 10**6:02}.{parts[2] % 10**6:06}"
)
moment_texts = st.tuples(day_texts, time_texts).map(" ".join)
words = st.sampled_from(
    ["infinity", "-infinity", "NaN", "soon", "0044-03-15 BC", "24:00:00", "", "1 year 2 mons"]
)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\\"), max_size=20)

#: SQL of a value, for any column of a server that has types.
TYPED = {
    "moment": moment_texts | day_texts | words,
    "day": day_texts | words,
    "hour": time_texts | words,
    "amount": number_texts | words,
    "huge_amount": number_texts | words,
    "ratio": number_texts | words,
    "data": number_texts | texts.map(json.dumps),
    "number": number_texts,
    "maybe": st.sampled_from(["0", "1", "2", "true"]),
    "short": texts,
    "address": st.sampled_from(["::ffff:1.2.3.4", "1.2.3.4", "::1", "1.2.3.4/24"]),
}
#: Any column of SQLite holds a value of any type.
ANY = st.one_of(
    st.integers(-(2**63), 2**63 - 1).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.one_of(moment_texts, day_texts, time_texts, number_texts, words, texts).map(quoted),
    st.binary(max_size=8).map(lambda value: f"x'{value.hex()}'"),
)
UNTYPED = [
    "moment",
    "day",
    "hour",
    "lasted",
    "amount",
    "ratio",
    "token",
    "maybe",
    "short",
    "number",
    "raw",
    "address",
]

literals = (
    st.tuples(st.sampled_from(UNTYPED), ANY)
    if VENDOR == "sqlite"
    else st.one_of(*(st.tuples(st.just(name), values.map(quoted)) for name, values in TYPED.items()))
)


def hold(pk: int, name: str, literal: str) -> bool:
    """Whether LOCAL took the value."""
    try:
        with transaction.atomic(), connections["default"].cursor() as cursor:
            if VENDOR == "mysql":
                cursor.execute("SET SESSION sql_mode = 'ALLOW_INVALID_DATES'")
            cursor.execute(f"UPDATE shop_measurement SET {name} = {literal} WHERE id = {pk:d}", [])
    except DatabaseError:
        return False
    return True


def as_stored(alias: str, pk: int, name: str) -> Any:
    """The value as the server spells it, numbers of JSON as numbers."""
    vendor = connections[alias].vendor
    spelled = {
        "sqlite": name if name == "data" else f"typeof({name}) || quote({name})",
        "postgresql": f"{name}::text",
        "mysql": f"CAST({name} AS CHAR)",
    }[vendor]
    with connections[alias].cursor() as cursor:
        cursor.execute(f"SELECT {spelled} FROM shop_measurement WHERE id = {pk:d}")
        (text,) = cursor.fetchone()
    if name == "data" and text is not None:
        return json.loads(text, parse_float=Decimal, parse_int=Decimal)
    return text


def is_equal(here: int, there: int, name: str) -> bool:
    if connections["default"].vendor == connections[REMOTE].vendor or name == "data":
        return bool(as_stored("default", here, name) == as_stored(REMOTE, there, name))
    (one,) = Measurement.objects.filter(pk=here).values_list(name, flat=True)
    (other,) = Measurement.objects.using(REMOTE).filter(pk=there).values_list(name, flat=True)
    return repr(one) == repr(other) or one == other


def refusal_of_a_run() -> str | None:
    try:
        call_synchronize()
    except Refused as error:
        return str(error)
    return None


@modest
@given(st.lists(literals, min_size=1, max_size=4))
def test_raw_value_of_any_column_arrives_equal_or_is_refused_by_name(held: list[tuple[str, str]]) -> None:
    with transaction.atomic(using="default"), transaction.atomic(using="remote"):
        ContentType.objects.clear_cache()
        marks = {Measurement.objects.create(mail=f"{mark}@x.org").pk: mark for mark in range(len(held))}
        names = {}
        for pk, (name, literal) in zip(marks, held, strict=True):
            if hold(pk, name, literal):
                names[pk] = name
        refusal = refusal_of_a_run()
        if refusal is not None:
            found = re.search(r"shop\.Measurement (\d+), column (\w+): ", refusal)
            assert found is not None, refusal
            assert names[int(found[1])] == found[2]
        else:
            for pk, name in names.items():
                there = Measurement.objects.using(REMOTE).values_list("pk", flat=True)
                assert is_equal(pk, there.get(mail=f"{marks[pk]}@x.org"), name), name
        transaction.set_rollback(True, using="remote")
        transaction.set_rollback(True, using="default")
