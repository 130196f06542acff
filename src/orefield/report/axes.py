"""Axes of a chart: from values to pixels, and the round numbers that are written beside them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

_MOST_TICKS = 6
_ROUND = (1, 2, 5, 10)


@dataclass(frozen=True)
class Axis:
    """Values from `low` to `high` lie on pixels from `start` to `end`, evenly or by powers."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]
    log: bool = False

    def pixel(self, value: float) -> float:
        """Where a value lies; on a logarithmic axis values must be positive."""
        low, high = self._position(self.low), self._position(self.high)
        return self.start + (self._position(value) - low) / (high - low) * (self.end - self.start)

    def _position(self, value: float) -> float:
        return math.log10(value) if self.log else value


def linear_axis(values: Sequence[float], start: float, end: float, from_zero: bool = False) -> Axis:
    """An axis over all values, of which there must be some, widened to round numbers."""
    low, high = min(values), max(values)
    low = min(low, 0.0) if from_zero else low
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        room = 0.1 * abs(high) or 1.0
        low, high = low - (0 if from_zero and low == 0 else room), high + room
    step = _round_step((high - low) / (_MOST_TICKS - 1))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(index * step for index in range(first, last + 1))
    return Axis(ticks[0], ticks[-1], start, end, ticks)


def exact_axis(values: Sequence[float], start: float, end: float) -> Axis:
    """An axis from zero that ends with the largest value, for seconds and steps."""
    high = max(max(values), 1e-9)
    step = _round_step(high / (_MOST_TICKS - 1))
    ticks = tuple(index * step for index in range(math.floor(high / step + 1e-9) + 1))
    return Axis(0.0, max(high, ticks[-1]), start, end, ticks)


def log_axis(values: Sequence[float], start: float, end: float) -> Axis:
    """A logarithmic axis over positive values, widened to 1, 2 or 5 times a power of ten."""
    low, high = max(min(values), 1e-300), max(max(values), 1e-300)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    marks = [factor * 10.0**power for power in range(first, last + 1) for factor in (1, 2, 5)]
    bottom = max(mark for mark in marks if mark <= low * (1 + 1e-9))
    top = min(mark for mark in [*marks, 10.0 ** (last + 1)] if mark >= high * (1 - 1e-9))
    if top <= bottom:
        top = 10 * bottom
    inside = [mark for mark in marks if bottom <= mark <= top]
    if len(inside) > _MOST_TICKS:
        inside = [10.0**power for power in range(first, last + 1) if bottom <= 10.0**power <= top]
    every = -(-len(inside) // _MOST_TICKS)
    return Axis(bottom, top, start, end, tuple(inside[::every]), log=True)


def tick_label(value: float) -> str:
    """A tick's value as short as it is exact: `0.5`, `2,000`, `1e-05`."""
    short = f"{value:.6g}"
    return f"{value:,.0f}" if "e" not in short and abs(value) >= 1000 else short


def _round_step(least: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is at least that."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in _ROUND if factor * power >= least * (1 - 1e-9))
