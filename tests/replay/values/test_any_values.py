"""Whatever value a column can hold arrives as it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from hypothesis import given
from hypothesis import strategies as st

from synchro.core import call_synchronize
from tests.replay.compare import assert_same_rows
from tests.replay.hypothesis_settings import modest
from tests.shop.models import Country, Measurement

pytestmark = pytest.mark.django_db(databases=["default", "remote"])

#: PostgreSQL takes no NUL in a text; halves of a surrogate pair are no text anywhere.
text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=100)
numbers = st.integers(-(2**53), 2**53) | st.floats(-1e15, 1e15).map(lambda number: round(number, 3))
json_values = st.recursive(
    st.none() | st.booleans() | numbers | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=10,
)
moments = st.datetimes(datetime(1900, 1, 2), datetime(9998, 12, 31), timezones=st.just(UTC))
amounts = st.integers(-(10**15) + 1, 10**15 - 1).map(lambda number: Decimal(number).scaleb(-5))
floats = st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False)

COLUMNS: dict[str, st.SearchStrategy[Any]] = {
    "moment": moments,
    "day": moments.map(datetime.date),
    "hour": moments.map(datetime.time),
    "lasted": st.timedeltas(timedelta(days=-100_000), timedelta(days=100_000)),
    "amount": amounts,
    "ratio": floats,
    "data": json_values,
    "raw": st.binary(max_size=300),
    # MariaDB takes no UUID of a variant that was never defined.
    "token": st.uuids(version=4),
    "maybe": st.booleans(),
    "short": text,
    "long": text,
    "address": st.ip_addresses(v=4).map(str),
    "small": st.integers(-(2**15), 2**15 - 1),
    "number": st.integers(-(2**31), 2**31 - 1),
    "big": st.integers(-(2**63), 2**63 - 1),
    "positive": st.integers(0, 2**63 - 1),
}
rows = st.fixed_dictionaries({name: st.none() | values for name, values in COLUMNS.items()})


@modest
@given(st.lists(st.tuples(rows, rows), min_size=1, max_size=4))
def test_any_row_arrives_when_it_is_added_and_when_it_is_changed(
    histories: list[tuple[dict[str, Any], dict[str, Any]]],
) -> None:
    with transaction.atomic(using="default"), transaction.atomic(using="remote"):
        ContentType.objects.clear_cache()
        keys = [Measurement.objects.create(**values).pk for values, _ in histories]
        call_synchronize()
        assert_same_rows(Measurement)

        for key, (_, values) in zip(keys, histories, strict=True):
            Measurement(pk=key, **values).save()
        call_synchronize()
        assert_same_rows(Measurement)
        transaction.set_rollback(True, using="remote")
        transaction.set_rollback(True, using="default")


#: Blanks at the end and differences of case and accent only are where engines disagree about equal keys.
plain = st.text(st.sampled_from("abcdefgh0123456789 /%\"'\\[]{},:"), min_size=1, max_size=20).map(str.strip)


@modest
@given(st.sets(plain.filter(bool), min_size=1, max_size=5))
def test_row_with_any_text_as_its_key_comes_and_goes(codes: set[str]) -> None:
    with transaction.atomic(using="default"), transaction.atomic(using="remote"):
        for code in codes:
            Country.objects.create(code=code, name=code)
        call_synchronize()
        assert_same_rows(Country)

        Country.objects.all().delete()
        call_synchronize()
        assert not Country.objects.using("remote").exists()
        transaction.set_rollback(True, using="remote")
        transaction.set_rollback(True, using="default")
