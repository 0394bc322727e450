"""Whole numbers in as few bits as the largest of them needs.

A Python int of any length serves as the register: the numbers lie in it side by side, a lane each, and a few masks and
shifts push all of them together at once. That takes as long for thirty numbers as a loop does for three.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, TypeAlias

FEW: Final = 8
"""So many numbers are not worth a column: it would take longer than it saves."""
WORDS: Final = (*((8, "B"),) * 9, *((16, "H"),) * 8, *((32, "I"),) * 16, *((64, "Q"),) * 32)
"""By how many bits a number has, the lane it is put into and what `array` calls it."""
MANY: Final = 16
"""More numbers than this are worth looking for what they have in common."""
IN_BITS: Final = 8
"""What is added to a column's width in bits; one that starts with less has a width in bytes, as version 3 wrote it."""

LITTLE: Final = 100
"""So few bits are not worth the pushing."""

Column: TypeAlias = bytes | list[int]
"""Whole numbers: as they are, or as bytes: IN_BITS and a width, then the numbers in it, lowest bits first, then a 1."""


def pack_column(numbers: Sequence[int]) -> Column:
    """Whole numbers from 0 to 2^64 - 1."""
    number = len(numbers)
    if number <= FEW:
        return list(numbers)
    width = max(numbers).bit_length() or 1
    lane, word = WORDS[width]
    if (lane - width) * number < LITTLE:
        width = lane
    lanes = squeezed(int.from_bytes(array(word, numbers).tobytes(), "little"), lane, width, number)
    bits = width * number
    return bytes((IN_BITS + width,)) + (lanes | 1 << bits).to_bytes(bits // 8 + 1, "little")


def unpack_column(packed: Column) -> list[int]:
    """The numbers that `pack_column` packed, in this release or the one before."""
    if isinstance(packed, list):
        return packed
    if packed[0] <= IN_BITS:
        return _unpack_bytes(packed)
    width = packed[0] - IN_BITS
    lane, word = WORDS[width]
    if lane == width:  # whole words, and a byte for the 1
        return array(word, packed[1:-1]).tolist()
    lanes = int.from_bytes(packed, "little") >> 8
    bits = lanes.bit_length() - 1
    number = bits // width
    lanes = spread(lanes ^ 1 << bits, lane, width, number)
    return array(word, lanes.to_bytes(number * lane // 8, "little")).tolist()


def squeezed(lanes: int, lane: int, width: int, number: int) -> int:
    """Numbers of at most `width` bits in lanes of `lane` bits, pushed together."""
    if lane > width:
        for low, high, _, shift in _steps(lane, width, (number - 1).bit_length()):
            lanes = lanes & low | (lanes & high) >> shift
    return lanes


def spread(lanes: int, lane: int, width: int, number: int) -> int:
    """What `squeezed` pushed together, in lanes again."""
    if lane > width:
        for low, _, moved, shift in reversed(_steps(lane, width, (number - 1).bit_length())):
            lanes = lanes & low | (lanes & moved) << shift
    return lanes


@lru_cache(1024)
def _steps(lane: int, width: int, doublings: int) -> list[tuple[int, int, int, int]]:
    """How numbers of `width` bits in lanes are pushed together: first each second one to the one before, then pairs,
    and so on: what stays, what moves, the same after it moved, and how far.
    """
    found = []
    for place in range(doublings):
        pairs = 1 << doublings - place - 1
        spread = ((1 << 2 * lane * pairs) - 1) // ((1 << 2 * lane) - 1)
        low = ((1 << width) - 1) * spread
        shift = lane - width
        found.append((low, low << lane, low << width, shift))
        lane, width = 2 * lane, 2 * width
    return found


def _unpack_bytes(packed: bytes) -> list[int]:
    """Of a width in bytes; where no machine word is as wide, the lowest bytes of all come first, then the next ones."""
    width = packed[0]
    lane, word = WORDS[8 * width]
    if lane == 8 * width:
        return array(word, packed[1:]).tolist()
    number = (len(packed) - 1) // width
    raw = bytearray(8 * number)
    for place in range(width):
        raw[place::8] = packed[1 + place * number : 1 + (place + 1) * number]
    return array("Q", raw).tolist()
