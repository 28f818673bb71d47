"""Numbers in any base, by the names of django-spicy-id 1.1.0. The fields use `django_spicy_id.encoding`."""

from __future__ import annotations

from typing import Final

from django_spicy_id.encoding import ALPHABETS, ENCODING_BASE_58, ENCODING_BASE_62, ENCODING_HEX, spell

BASE16_ALPHABET: Final = ALPHABETS[ENCODING_HEX]
BASE58_ALPHABET: Final = ALPHABETS[ENCODING_BASE_58]
BASE62_ALPHABET: Final = ALPHABETS[ENCODING_BASE_62]


class BaseConverter:
    """Integers to text in the given digits and back, with a sign in front of the negative ones."""

    def __init__(self, digits: str, sign: str = "-") -> None:
        if sign in digits:
            raise ValueError(f"the sign {sign!r} is one of the digits")
        self.digits = digits
        self.sign = sign

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: base{len(self.digits)} ({self.digits})>"

    def encode(self, number: int) -> str:
        """Return the text of an integer."""
        number = int(number)
        return (self.sign if number < 0 else "") + spell(abs(number), self.digits)

    def decode(self, text: str) -> int:
        """Return the integer of a text; raise ValueError for what is no digit."""
        digits = text.removeprefix(self.sign)
        number = 0
        for digit in digits:
            number = number * len(self.digits) + self.digits.index(digit)
        return -number if digits != text else number


base16: Final = BaseConverter(BASE16_ALPHABET)
base58: Final = BaseConverter(BASE58_ALPHABET)
base62: Final = BaseConverter(BASE62_ALPHABET)
