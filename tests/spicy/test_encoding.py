"""The spelling of ids, without a database."""

from __future__ import annotations

import copy
import pickle
import re
from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from django_spicy_id import (
    ENCODING_BASE_32,
    ENCODING_BASE_58,
    ENCODING_BASE_62,
    ENCODING_HEX,
    MalformedSpicyIdError,
    SpicyAutoField,
    SpicyBigAutoField,
    SpicySmallAutoField,
)
from django_spicy_id.encoding import ALPHABETS, Codec
from django_spicy_id.lanes import LANES

pytestmark = pytest.mark.once

WIDTHS = {SpicySmallAutoField: 2**15 - 1, SpicyAutoField: 2**31 - 1, SpicyBigAutoField: 2**63 - 1}
FIELDS = [
    field_class(primary_key=True, prefix="usr", encoding=encoding, pad=pad)
    for field_class in WIDTHS
    for encoding in ALPHABETS
    for pad in (False, True, 3)
]
BIG = {
    (encoding, pad): SpicyBigAutoField(primary_key=True, prefix="usr", encoding=encoding, pad=pad)
    for encoding in ALPHABETS
    for pad in (False, True, 4)
}

fields = st.sampled_from(FIELDS)


@st.composite
def fields_and_keys(draw: st.DrawFn) -> tuple[SpicyBigAutoField, int]:
    field = draw(fields)
    base = len(field.codec.alphabet)
    # Most numbers drawn from 64 bits are large: half of the examples have a length drawn first.
    digits = draw(st.integers(1, field.codec.width))
    highest = draw(st.sampled_from([field.codec.maximum, min(base**digits, field.codec.maximum)]))
    return field, draw(st.integers(0, highest))


@pytest.mark.parametrize(
    ("encoding", "pad", "key", "text"),
    [
        (ENCODING_BASE_62, False, 123456789, "8M0kX"),
        (ENCODING_BASE_58, False, 123456789, "BukQL"),
        (ENCODING_BASE_58, True, 123456789, "111111BukQL"),
        (ENCODING_HEX, False, 123456789, "75bcd15"),
        (ENCODING_BASE_62, True, 123456789, "0000008M0kX"),
        (ENCODING_HEX, True, 123456789, "00000000075bcd15"),
        (ENCODING_BASE_62, False, 2**63 - 1, "AzL8n0Y58m7"),
        (ENCODING_BASE_58, False, 2**63 - 1, "NQm6nKp8qFC"),
        (ENCODING_HEX, False, 2**63 - 1, "7fffffffffffffff"),
        (ENCODING_BASE_62, False, 0, "0"),
        (ENCODING_BASE_58, False, 0, "1"),
        (ENCODING_HEX, True, 0, "0" * 16),
        (ENCODING_BASE_32, False, 123456789, "3nqk8n"),
        (ENCODING_BASE_32, True, 2**63 - 1, "7zzzzzzzzzzzz"),
        (ENCODING_BASE_62, 4, 61, "000z"),
        (ENCODING_BASE_62, 4, 123456789, "8M0kX"),
    ],
)
def test_known_values(encoding: str, pad: bool, key: int, text: str) -> None:
    codec = BIG[encoding, pad].codec
    assert codec.encode(key) == f"usr_{text}"
    assert codec.decode(f"usr_{text}") == key


@given(fields_and_keys())
def test_every_key_survives_its_id(field_and_key: tuple[SpicyBigAutoField, int]) -> None:
    field, key = field_and_key
    assert field.codec.decode(field.codec.encode(key)) == key


@pytest.mark.parametrize("field", [field for field in FIELDS if isinstance(field, SpicySmallAutoField)])
def test_all_ids_of_the_smallest_field_are_different_and_survive(field: SpicySmallAutoField) -> None:
    ids = [field.codec.encode(key) for key in range(2**15)]
    assert [field.codec.decode(text) for text in ids] == list(range(2**15))
    assert len(set(ids)) == 2**15


@pytest.mark.parametrize("field", FIELDS)
def test_the_edges_of_the_tables_survive(field: SpicyBigAutoField) -> None:
    base = len(field.codec.alphabet)
    edges = {base**power + step for power in range(1, field.codec.width) for step in (-1, 0, 1)}
    for key in (*edges, field.codec.maximum - 1, field.codec.maximum):
        assert field.codec.decode(field.codec.encode(key)) == key
        assert re.fullmatch(field.re_pattern, field.codec.encode(key))


@given(st.sampled_from(list(BIG.values())), st.data())
def test_a_column_is_spelled_like_its_values(field: SpicyBigAutoField, data: st.DataObject) -> None:
    # From 62**8 on, many are spelled at once: the first one tells.
    first = data.draw(st.sampled_from([0, 62**8, 2**63 - 1]))
    keys = st.one_of(*[st.integers(0, 58**power) for power in (1, 3, 5, 8, 10)], st.integers(0, 2**63 - 1))
    column = [first, *data.draw(st.lists(keys, max_size=LANES - 1))]
    assert list(field.codec.read_column(column)) == [field.codec.encode(key) for key in column]


@pytest.mark.parametrize("field", BIG.values())
def test_the_edges_of_every_division_are_spelled_in_a_column(field: SpicyBigAutoField) -> None:
    base = len(field.codec.alphabet)
    parts = {0, 2**62 // base**5} | {
        high * base**power + step
        for power in range(6)
        for high in (1, base // 2, base - 1)
        for step in (-1, 0, 1)
    }
    edges = [high * base**5 + low for high in parts for low in parts]
    column = [key for key in edges if 0 <= key < 2**63]
    assert len(column) > LANES
    for start in range(0, len(column), LANES - 1):
        part = [2**63 - 1, *column[start : start + LANES - 1]]
        assert list(field.codec.read_column(part)) == [field.codec.encode(key) for key in part]


@pytest.mark.parametrize("odd", [None, -5, 0, 7, 2**63, 2**70, Decimal(2**60), 2.0**60, True])
@pytest.mark.parametrize("position", [0, 1, -1])
@pytest.mark.parametrize("field", BIG.values())
def test_what_is_odd_in_a_column_is_shown_as_alone(
    field: SpicyBigAutoField, odd: object, position: int
) -> None:
    column: list[object] = [2**62 + number for number in range(5)]
    column[position] = odd
    assert list(field.codec.read_column(column)) == [field.codec.read(value) for value in column]


@given(fields, st.text(alphabet=st.characters(min_codepoint=1, max_codepoint=0x3FF), max_size=18))
@example(FIELDS[0], "")
def test_a_text_is_either_canonical_or_refused(field: SpicyBigAutoField, digits: str) -> None:
    check_canonical_or_refused(field, f"usr_{digits}")


@given(fields, st.data())
def test_digits_of_the_alphabet_are_either_canonical_or_refused(
    field: SpicyBigAutoField, data: st.DataObject
) -> None:
    digits = data.draw(st.text(alphabet=field.codec.alphabet, max_size=field.codec.width + 2))
    check_canonical_or_refused(field, f"usr_{digits}")


def check_canonical_or_refused(field: SpicyBigAutoField, text: str) -> None:
    matched = field.re.match(text) is not None
    try:
        key = field.codec.decode(text)
    except MalformedSpicyIdError:
        assert not matched
    else:
        assert matched
        assert field.codec.encode(key) == text


@given(fields_and_keys(), st.data())
def test_an_id_with_one_character_changed_is_refused_or_another_key(
    field_and_key: tuple[SpicyBigAutoField, int], data: st.DataObject
) -> None:
    field, key = field_and_key
    text = field.codec.encode(key)
    position = data.draw(st.integers(0, len(text) - 1))
    character = data.draw(st.characters())
    assume(character != text[position])
    changed = text[:position] + character + text[position + 1 :]
    check_canonical_or_refused(field, changed)
    with suppress(MalformedSpicyIdError):
        assert field.codec.decode(changed) != key


@pytest.mark.parametrize("pad", [False, True])
@pytest.mark.parametrize("encoding", ALPHABETS)
@pytest.mark.parametrize("field_class", WIDTHS)
def test_the_number_after_the_largest_is_refused(field_class: type, encoding: str, pad: bool) -> None:
    field = field_class(primary_key=True, prefix="usr", encoding=encoding, pad=pad)
    above = Codec("usr_", encoding, 2**70, pad=False).encode(WIDTHS[field_class] + 1)
    with pytest.raises(MalformedSpicyIdError):
        field.validate_string(above)
    assert not field.re.match(above)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("acct_8M0kX", "does not start with 'usr_'"),
        ("usr-8M0kX", "does not start with 'usr_'"),
        ("USR_8M0kX", "does not start with 'usr_'"),
        (" usr_8M0kX", "does not start with 'usr_'"),
        ("8M0kX", "does not start with 'usr_'"),
        ("", "does not start with 'usr_'"),
        ("usr_", "nothing after the separator"),
        ("usr_08M0kX", "padded"),
        ("usr_00", "padded"),
        ("usr_8M0kX\n", "is not a digit"),
        ("usr_8M0kX ", "is not a digit"),
        ("usr_8M-kX", "is not a digit"),
        ("usr_-1", "is not a digit"),
        ("usr_+1", "is not a digit"),
        ("usr_1_0", "is not a digit"),
        ("usr_\u0661", "is not a digit"),  # ARABIC-INDIC DIGIT ONE
        ("usr_\uff11", "is not a digit"),  # FULLWIDTH DIGIT ONE
        ("usr_8\u041c0kX", "is not a digit"),  # CYRILLIC CAPITAL LETTER EM
        ("usr_1\x00", "is not a digit"),
        ("usr_AzL8n0Y58m8", "above the largest id"),
        ("usr_zzzzzzzzzzz", "above the largest id"),
        ("usr_100000000000", "at most 11 are possible"),
        ("usr_" + "1" * 1_000_000, "at most 11 are possible"),
    ],
)
def test_a_wrong_spelling_is_refused_with_its_reason(text: str, reason: str) -> None:
    field = BIG[ENCODING_BASE_62, False]
    with pytest.raises(MalformedSpicyIdError, match=re.escape(reason)):
        field.validate_string(text)
    assert not field.re.match(text)


@pytest.mark.parametrize("text", ["usr_8M0kX", "usr_000008M0kX", "usr_00000008M0kX", "usr_"])
def test_a_padded_field_takes_one_length_only(text: str) -> None:
    field = BIG[ENCODING_BASE_62, True]
    with pytest.raises(MalformedSpicyIdError, match="11 are due"):
        field.validate_string(text)
    assert not field.re.match(text)


def test_hexadecimal_ids_are_lower_case() -> None:
    with pytest.raises(MalformedSpicyIdError, match="'A' is not a digit of hex"):
        BIG[ENCODING_HEX, False].validate_string("usr_A")


@pytest.mark.parametrize("character", "0OIl")
def test_base_58_has_no_characters_that_look_alike(character: str) -> None:
    with pytest.raises(MalformedSpicyIdError, match="is not a digit of b58"):
        BIG[ENCODING_BASE_58, False].validate_string(f"usr_{character}")


@pytest.mark.parametrize("value", [None, 5, b"usr_5", 5.0, object(), ["usr_5"]])
def test_only_a_string_is_an_id(value: object) -> None:
    with pytest.raises(MalformedSpicyIdError, match="an id is a string"):
        BIG[ENCODING_BASE_62, False].validate_string(value)  # type: ignore[arg-type]


def test_an_id_that_is_right_passes_in_silence() -> None:
    assert BIG[ENCODING_BASE_62, False].validate_string("usr_8M0kX") is None  # type: ignore[func-returns-value]


def test_a_separator_with_a_meaning_in_regular_expressions_stands_for_itself() -> None:
    field = SpicyBigAutoField(primary_key=True, prefix="a", sep=".*")
    assert field.re.match("a.*1")
    assert not field.re.match("axx1")


@pytest.mark.parametrize("pad", [False, True])
@pytest.mark.parametrize("encoding", ALPHABETS)
def test_a_separator_with_a_meaning_in_templates_stands_for_itself(encoding: str, pad: bool) -> None:
    field = SpicyBigAutoField(primary_key=True, prefix="a", sep="%{}%s", encoding=encoding, pad=pad)
    for key in (0, 10, 2**63 - 1):
        text = field.codec.encode(key)
        assert text.startswith("a%{}%s")
        assert field.codec.decode(text) == key


def test_the_pattern_has_no_anchors() -> None:
    pattern = BIG[ENCODING_BASE_62, False].re_pattern
    assert re.search(f"<{pattern}>", "see <usr_8M0kX>")


def test_ids_of_one_length_sort_like_their_keys() -> None:
    codec = BIG[ENCODING_BASE_62, True].codec
    keys = [0, 1, 35, 36, 61, 62, 3843, 3844, 10**9, 2**63 - 1]
    assert sorted(map(codec.encode, reversed(keys))) == [codec.encode(key) for key in keys]


@pytest.mark.parametrize("encoding", ALPHABETS)
@pytest.mark.parametrize("pad", [False, True])
def test_what_no_id_can_stand_for_is_shown_but_not_accepted(encoding: str, pad: bool) -> None:
    codec = BIG[encoding, pad].codec
    for value in (-5, 2**63, 2**70):
        text = codec.read(value, None, None)
        assert text.startswith("usr_")
        with pytest.raises(MalformedSpicyIdError):
            codec.decode(text)


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda codec: pickle.loads(pickle.dumps(codec))]
)
def test_a_codec_can_be_copied(copied: object) -> None:
    codec = copied(BIG[ENCODING_BASE_58, True].codec)  # type: ignore[operator]
    assert codec.decode(codec.encode(123456789)) == 123456789
    assert codec.encode(123456789) == "usr_111111BukQL"


@pytest.mark.parametrize("pad", [False, True, 7])
@pytest.mark.parametrize("encoding", ALPHABETS)
def test_ids_of_128_bits_survive_and_are_the_only_spelling(encoding: str, pad: bool | int) -> None:
    codec = Codec("ses_", encoding, 2**128 - 1, pad)
    base = len(codec.alphabet)
    edges = {base**power + step for power in range(1, codec.width) for step in (-1, 0, 1)}
    for key in (0, *edges, 2**128 - 2, 2**128 - 1):
        text = codec.encode(key)
        assert codec.decode(text) == key
        assert re.fullmatch(codec.pattern, text)
        with pytest.raises(MalformedSpicyIdError):
            codec.decode(f"ses_{codec.alphabet[0]}{text[4:]}")
    with pytest.raises(MalformedSpicyIdError):
        codec.decode("ses_" + codec.alphabet[-1] * (codec.width + (encoding == "hex")))


def test_an_id_that_is_padded_too_far_or_not_enough_is_refused() -> None:
    field = SpicyBigAutoField(primary_key=True, prefix="usr", pad=4)
    for text, reason in [("usr_00001", "padded to more than 4"), ("usr_001", "at least 4 are due")]:
        assert not field.re.match(text)
        with pytest.raises(MalformedSpicyIdError, match=reason):
            field.validate_string(text)
