"""Which photographs are compared, as pairs of indices in their natural order."""

from itertools import combinations

OVERLAP = 10
"""Neighbors on each side that a photograph is compared with, beside those 16, 32, 64, ... away, so
that a loop is closed."""


def all_pairs(number: int) -> list[tuple[int, int]]:
    """Each photograph with each other one."""
    return list(combinations(range(number), 2))


def sequential_pairs(number: int, overlap: int = OVERLAP) -> list[tuple[int, int]]:
    """Each photograph with its neighbors, and with ever fewer that are farther away."""
    powers = {1 << exponent for exponent in range(number.bit_length())}
    offsets = sorted({*range(1, overlap + 1), *powers})
    return [
        (first, first + offset)
        for first in range(number)
        for offset in offsets
        if first + offset < number
    ]
