"""Regular expressions, without anchors and groups, for ranges of numbers in the digits of an alphabet."""

from __future__ import annotations


def range_pattern(alphabet: str, digits: str, least: int) -> str:
    """Return that of the numbers from 0 to the one that `digits` spells, filled up to `least` digits."""
    width = len(digits)
    # One alternative for each position: the digits of the maximum up to there, a smaller one, then any.
    alternatives = [digits]
    for position, digit in enumerate(digits):
        first = 0 if position or least == width else 1
        smaller = alphabet[first : alphabet.index(digit)]
        if smaller:
            rest = width - position - 1
            alternatives.append(digits[:position] + _characters(smaller) + _repeated(alphabet, rest, rest))
    if least < width:
        alternatives.append(_repeated(alphabet, least, least))
    if least < width - 1:
        alternatives.append(_characters(alphabet[1:]) + _repeated(alphabet, least, width - 2))
    return f"(?:{'|'.join(alternatives)})"


def _repeated(alphabet: str, least: int, most: int) -> str:
    if not most:
        return ""
    return _characters(alphabet) + (f"{{{most}}}" if least == most else f"{{{least},{most}}}")


def _characters(characters: str) -> str:
    """Return the character class of some digits in the order of their code points, as ranges."""
    ranges: list[list[str]] = []
    for character in characters:
        if ranges and ord(character) == ord(ranges[-1][1]) + 1:
            ranges[-1][1] = character
        else:
            ranges.append([character, character])
    return f"[{''.join(low if low == high else f'{low}-{high}' for low, high in ranges)}]"
