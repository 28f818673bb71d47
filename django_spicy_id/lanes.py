"""
Many large keys at once: a column of them, spelled side by side in one integer.

The digits of a key of 63 bits take Python more time than all else of reading it. Here each of up to `LANES` keys
has a lane of 128 bits in one very large integer, and is cut in two, in four, and so on down to its digits by
divisions that are made in all lanes at once: Python cannot divide them so, but it can multiply and shift them,
and to divide by a constant is to multiply with its reciprocal. In the end each digit is a byte.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache
from typing import Final, NamedTuple

#: As many rows as Django takes from the database at a time.
LANES: Final = 100
WIDTH: Final = 128
LARGEST: Final = 2**63 - 1
DIGITS: Final = 11
PACK_ALL: Final = struct.Struct(f">{LANES * '8xq'}").pack
#: The bytes that are no digit: what begins an id, and what is taken out.
MARK, NOTHING = 128, 129
#: No id has it, since preambles are ASCII.
SEPARATOR: Final = chr(MARK)


class Split(NamedTuple):
    """
    A division of all parts by a constant, and its two results side by side where the part was.

    A part n, which is q * divisor + r, becomes q * 2**half + r, so n + q * `spread`.
    """

    shift: int
    parts: int
    reciprocal: int
    scale: int
    quotients: int
    spread: int


@cache
def splits(base: int) -> list[Split]:
    """Return the divisions that lead from a key to its 11 digits: 6 and 5, 3 and 3 and 2 and 3, and so on."""
    return [
        _split(LARGEST, base**5, 128),
        _split(LARGEST // base**5, base**3, 64),
        _split(base**3 - 1, base**2, 32),
        _split(base**2 - 1, base, 16, room=32),
    ]


def _split(largest: int, divisor: int, bits: int, room: int = 0) -> Split:
    """
    Return the division of parts of `bits` bits, of which none is above `largest`.

    With 2**scale / divisor rounded up as the reciprocal, the quotient is exact as long as what the rounding
    added, times the largest part, is below 2**scale. The product must not reach into the next part: where it
    would, the twos in the divisor are divided out first, by a shift.
    """
    room = room or bits
    for shift in range(divisor.bit_length()):
        part, odd = largest >> shift, divisor >> shift
        scale = 0
        while (-(1 << scale) % odd) * part >= 1 << scale:
            scale += 1
        reciprocal = -(-(1 << scale) // odd)
        if part * reciprocal < 1 << room:
            break
    assert divisor == odd << shift
    return Split(
        shift,
        _everywhere(_ones(part), room),
        reciprocal,
        scale,
        _everywhere(_ones(largest // divisor), room),
        (1 << bits // 2) - divisor,
    )


def _ones(largest: int) -> int:
    return (1 << largest.bit_length()) - 1


def _everywhere(value: int, bits: int) -> int:
    """Return the integer that has `value` in each part of `bits` bits."""
    return int.from_bytes(value.to_bytes(bits // 8, "big") * (LANES * WIDTH // bits), "big")


SIGNS: Final = _everywhere(1 << 63, WIDTH)
#: The digits of a lane are 3 and 3 and 2 and 3, each group at the end of four bytes.
MARKS: Final = _everywhere(
    int.from_bytes([MARK, 0, 0, 0, NOTHING, 0, 0, 0, NOTHING, NOTHING, 0, 0, NOTHING, 0, 0, 0], "big"), WIDTH
)


def speller(preamble: str, alphabet: str, least: int) -> Callable[[list[int]], list[str]]:
    """
    Return the function from up to `LANES` keys to their ids.

    It raises struct.error if one of them is no integer of 64 bits, and OverflowError if one is negative.
    """
    divisions = splits(len(alphabet))
    digits = alphabet.encode().ljust(MARK, b"?") + bytes(range(MARK, 256))
    nothing = bytes([NOTHING])
    begin, zero = SEPARATOR + preamble, SEPARATOR + alphabet[0]
    most_zeros = DIGITS - least

    def spell(keys: list[int]) -> list[str]:
        count = len(keys)
        assert count <= LANES
        packed = PACK_ALL(*keys) if count == LANES else struct.pack(f">{count * '8xq'}", *keys)
        lanes = int.from_bytes(packed, "big")
        if lanes & SIGNS:
            raise OverflowError
        for shift, parts, reciprocal, scale, quotients, spread in divisions:
            lanes += ((((lanes >> shift) & parts) * reciprocal >> scale) & quotients) * spread
        values = (lanes | MARKS).to_bytes(LANES * WIDTH // 8, "big")[-count * WIDTH // 8 :]
        text = values.translate(digits, nothing).decode("latin-1")
        for _ in range(most_zeros):
            shorter = text.replace(zero, SEPARATOR)
            if shorter == text:
                break
            text = shorter
        return text.replace(SEPARATOR, begin).split(SEPARATOR)[1:]

    return spell
