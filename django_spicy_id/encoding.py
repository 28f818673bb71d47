"""
Integers to ids and back: the spelling alone, without any field or database.

An id is the preamble (prefix and separator) and the integer in the digits of an alphabet. Each integer from 0
to the maximum has exactly one spelling, and `Codec.decode` refuses every other string.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable
from functools import cache, lru_cache, partial
from typing import Any, Final

from django_spicy_id import lanes
from django_spicy_id.errors import MalformedSpicyIdError
from django_spicy_id.patterns import range_pattern

ENCODING_BASE_62: Final = "b62"
ENCODING_BASE_58: Final = "b58"
ENCODING_HEX: Final = "hex"
ENCODING_BASE_32: Final = "b32"

#: The digits of each encoding, in the order of their code points: so ids of one length have, as text, the
#: order of their integers, and `patterns` can speak of ranges of characters.
ALPHABETS: Final = {
    ENCODING_BASE_62: "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
    ENCODING_BASE_58: "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz",
    ENCODING_HEX: "0123456789abcdef",
    # Crockford's, in lower case: no letter that looks like a digit, and ids that differ in more than case.
    ENCODING_BASE_32: "0123456789abcdefghjkmnpqrstvwxyz",
}

#: Encodings whose keys of 63 bits have not the 11 digits that `lanes` cuts them into.
LANELESS: Final = frozenset({ENCODING_HEX, ENCODING_BASE_32})

#: What `from_db_value` of a Django field looks like; the last two arguments are not used here.
Reader = Callable[..., Any]

#: The same for up to `lanes.LANES` values of a column at a time.
ColumnReader = Callable[[list[Any]], Iterable[Any]]


def spell(number: int, alphabet: str) -> str:
    """Return the digits of `number`, not negative, without padding. Slow, for what is done once."""
    base = len(alphabet)
    digits = ""
    while True:
        number, digit = divmod(number, base)
        digits = alphabet[digit] + digits
        if not number:
            return digits


@cache
def _pairs(alphabet: str) -> list[str]:
    """Return the two digits of every number below the square of the base."""
    return [high + low for high in alphabet for low in alphabet]


@cache
def _pair_values(alphabet: str) -> dict[str, int]:
    return {pair: value for value, pair in enumerate(_pairs(alphabet))}


class Codec:
    """
    The spelling of one field.

    `encode(number)` and `decode(text)` are closures over tables and not methods: they are on the path of
    every row that is read. `read` is `encode` with the signature of `Field.from_db_value`, `read_column` the
    same for many values at once.
    """

    __slots__ = (
        *("alphabet", "encoding", "least", "maximum", "pad", "preamble", "width"),
        *("decode", "encode", "read", "read_column"),
    )

    def __init__(self, preamble: str, encoding: str, maximum: int, pad: bool | int) -> None:
        self.preamble = preamble
        self.encoding = encoding
        self.maximum = maximum
        self.pad = pad
        self.alphabet = ALPHABETS[encoding]
        self.width = len(spell(maximum, self.alphabet))
        # How many digits an id has at least: `pad` is that number, or True for as many as the longest has.
        self.least = self.width if pad is True else max(1, int(pad))
        self.read: Reader = _reader(self)
        self.read_column: ColumnReader = _column_reader(self)
        self.encode: Callable[[int], str] = self.read
        self.decode: Callable[[str], int] = _table_decoder(self) if _has_tables(self) else _decoder(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return codec_for, (self.preamble, self.encoding, self.maximum, self.pad)

    @property
    def pattern(self) -> str:
        """A regular expression, without anchors and groups, for exactly the strings that `decode` accepts."""
        return re.escape(self.preamble) + range_pattern(
            self.alphabet, spell(self.maximum, self.alphabet), self.least
        )


@lru_cache(maxsize=None, typed=True)  # since 1 is True
def codec_for(preamble: str, encoding: str, maximum: int, pad: bool | int) -> Codec:
    """Return the one codec of a declaration: migrations clone fields often."""
    return Codec(preamble, encoding, maximum, pad)


def _reader(codec: Codec) -> Reader:
    """Return the function from a column's value to its id; it takes and ignores two more arguments."""
    if codec.encoding == ENCODING_HEX:
        return _hexadecimal_reader(codec)
    if codec.width > 12:
        return _wide_reader(codec)
    return _table_reader(codec) if _has_tables(codec) else _padded_reader(codec)


def _has_tables(codec: Codec) -> bool:
    return codec.encoding != ENCODING_HEX and codec.least == 1 and codec.width <= 12


@cache
def _heads(preamble: str, alphabet: str) -> list[str]:
    """Return the beginning of an id for its first two digits, or its only one."""
    # The first row of the table of pairs is that of the leading zeros, which an id does not show.
    digits = [*alphabet, *_pairs(alphabet)[len(alphabet) :]]
    return [preamble + digit for digit in digits]


@cache
def _head_values(preamble: str, alphabet: str) -> dict[str, int]:
    return {head: value for value, head in enumerate(_heads(preamble, alphabet))}


def _column_reader(codec: Codec) -> ColumnReader:
    """Return the function from values of a column to ids: large keys side by side, others one by one."""
    read = codec.read
    if codec.encoding in LANELESS or codec.maximum != lanes.LARGEST:
        return partial(map, read)
    spell_large = lanes.speller(codec.preamble, codec.alphabet, codec.least)
    large = len(codec.alphabet) ** 8  # below that, one by one is as fast

    def read_column(values: list[Any]) -> Iterable[Any]:
        try:
            if values[0] >= large:  # as most are then
                return spell_large(values)
        except (TypeError, OverflowError, struct.error):
            pass  # NULL, or what is no integer of 64 bits, or negative
        return map(read, values)

    return read_column


def _read_oddity(codec: Codec, value: Any) -> str | None:
    """
    Return the text for a value that is not an integer of the range, as a query can yield.

    NULL is None. A sum of ids can be a Decimal (PostgreSQL) or too large, and a row written by other means
    can have a negative key: these are shown so that they can be found, but `decode` accepts none of them.
    """
    if value is None:
        return None
    number = int(value)
    sign = "-" if number < 0 else ""
    digits = spell(abs(number), codec.alphabet).rjust(codec.least, codec.alphabet[0])
    return f"{codec.preamble}{sign}{digits}"


def _hexadecimal_reader(codec: Codec) -> Reader:
    maximum = codec.maximum
    # By the operator, which has a shorter way for an integer in hexadecimal than an f-string.
    form = codec.preamble.replace("%", "%%") + f"%0{codec.least}x"

    def read(value: Any, _expression: object = None, _connection: object = None) -> Any:
        if value.__class__ is int and 0 <= value <= maximum:
            return form % value
        return _read_oddity(codec, value)

    return read


def _padded_reader(codec: Codec) -> Reader:
    """Numbers of up to four digits, as automatic keys mostly are, by table; the others are filled up."""
    preamble, width, zero, maximum = codec.preamble, codec.least, codec.alphabet[0], codec.maximum
    digits = codec_for("", codec.encoding, maximum, False).encode
    pairs = _pairs(codec.alphabet)
    heads: list[str] = []
    two = len(pairs)
    short = two**2 if width >= 4 else 0

    def read(value: Any, _expression: object = None, _connection: object = None) -> Any:
        if value.__class__ is int and 0 <= value <= maximum:
            if value >= short:
                return preamble + digits(value).rjust(width, zero)
            try:
                return heads[value // two] + pairs[value % two]
            except IndexError:  # the first time
                heads[:] = [preamble + zero * (width - 4) + pair for pair in pairs]
                return read(value)
        return _read_oddity(codec, value)

    return read


def _wide_reader(codec: Codec) -> Reader:
    """Numbers of more digits, such as those of 128 bits: eight digits at a time, by table."""
    preamble, least, zero, maximum = codec.preamble, codec.least, codec.alphabet[0], codec.maximum
    base = len(codec.alphabet)
    pairs = _pairs(codec.alphabet)
    two, four, eight = base**2, base**4, base**8

    def digits(value: int) -> str:
        high = value // four
        low = value % four
        return f"{pairs[high // two]}{pairs[high % two]}{pairs[low // two]}{pairs[low % two]}"

    def read(value: Any, _expression: object = None, _connection: object = None) -> Any:
        if value.__class__ is int and 0 <= value <= maximum:
            high, low = divmod(value, eight)
            top, middle = divmod(high, eight)
            first = digits(top) if top < eight else spell(top, codec.alphabet)
            return preamble + f"{first}{digits(middle)}{digits(low)}".lstrip(zero).rjust(least, zero)
        return _read_oddity(codec, value)

    return read


def _table_reader(codec: Codec) -> Reader:
    """
    Two digits a look-up, and the leading ones with the preamble already in front.

    Numbers above four digits are cut into parts of four digits first, since arithmetic on integers below
    2**30 is faster than on larger ones. Tables of three digits were tried, and are slower: their look-ups
    miss the processor's caches.
    """
    maximum, base = codec.maximum, len(codec.alphabet)
    pairs = _pairs(codec.alphabet)
    heads: list[str] = []
    two, four = base**2, base**4

    def read(value: Any, _expression: object = None, _connection: object = None) -> Any:
        try:
            if value < four:
                if value >= two:
                    return heads[value // two] + pairs[value % two]
                if value >= 0:
                    return heads[value]
            elif value <= maximum:
                high = value // four
                low = value % four
                if high < four:
                    head = heads[high] if high < two else heads[high // two] + pairs[high % two]
                    return f"{head}{pairs[low // two]}{pairs[low % two]}"
                top = high // four
                high %= four
                head = heads[top] if top < two else heads[top // two] + pairs[top % two]
                return f"{head}{pairs[high // two]}{pairs[high % two]}{pairs[low // two]}{pairs[low % two]}"
        except TypeError:
            pass  # None cannot be compared, and a Decimal cannot be an index
        except IndexError:  # the first time: a table takes room, and not every process reads every model
            heads[:] = _heads(codec.preamble, codec.alphabet)
            return read(value)
        return _read_oddity(codec, value)

    return read


def _decoder(codec: Codec) -> Callable[[str], int]:
    """Return the function from an id to its integer; it raises MalformedSpicyIdError for any other value."""
    preamble, maximum, least, width = codec.preamble, codec.maximum, codec.least, codec.width
    alphabet = codec.alphabet
    values = {digit: value for value, digit in enumerate(alphabet)}
    zero, base, start = alphabet[0], len(alphabet), len(preamble)
    longest, shortest = start + width, start + least

    def decode(text: str) -> int:
        if text.__class__ is not str and not isinstance(text, str):
            raise MalformedSpicyIdError(f"an id is a string, not {type(text).__name__}")
        if not text.startswith(preamble):
            raise MalformedSpicyIdError(f"it does not start with {preamble!r}")
        length = len(text)
        if length > longest or length < shortest:
            raise MalformedSpicyIdError(_length_reason(length - start, width, least))
        number = 0
        try:
            for digit in text[start:]:
                number = number * base + values[digit]
        except KeyError:
            raise MalformedSpicyIdError(f"{digit!r} is not a digit of {codec.encoding}") from None
        if text[start] == zero and length != shortest:
            raise MalformedSpicyIdError(_padding_reason(least))
        if number > maximum:
            raise MalformedSpicyIdError(f"it is above the largest id, {codec.encode(maximum)!r}")
        return number

    return decode


def _table_decoder(codec: Codec) -> Callable[[str], int]:
    """
    The same as `_decoder`, and twice as fast for short ids.

    One look-up takes the preamble and the first digits together, and so checks both. Whatever is not found
    goes the long way, which says why.
    """
    explain = _decoder(codec)
    heads: dict[str, int] = {}
    pairs = _pair_values(codec.alphabet)
    values = {digit: value for value, digit in enumerate(codec.alphabet)}
    base, two = len(codec.alphabet), len(codec.alphabet) ** 2
    start, width, maximum = len(codec.preamble), codec.width, codec.maximum

    def decode(text: str) -> int:
        try:
            digits = len(text) - start
            if digits <= 2:
                return heads[text]
            if digits <= 4:
                number = heads[text[:-2]] * two + pairs[text[-2:]]
            elif digits <= width:
                number = heads[text[: start + 2]]
                for digit in text[start + 2 :]:
                    number = number * base + values[digit]
            else:
                return explain(text)
        except (KeyError, TypeError):
            if heads:
                return explain(text)
            heads.update(_head_values(codec.preamble, codec.alphabet))  # the first time
            return decode(text)
        # Below two digits' worth it was padded: the head of three or four digits was a zero.
        return number if two <= number <= maximum else explain(text)

    return decode


def _padding_reason(least: int) -> str:
    return (
        f"it is padded to more than {least} digits"
        if least > 1
        else "it is padded, and no id of the field is"
    )


def _length_reason(digits: int, width: int, least: int) -> str:
    if least == width:
        return f"it has {digits} digits after the separator where {width} are due"
    if not digits:
        return "there is nothing after the separator"
    if digits < least:
        return f"it has {digits} digits after the separator where at least {least} are due"
    return f"it has {digits} digits after the separator where at most {width} are possible"
