"""Laws of the numbers on the page."""

from dataclasses import dataclass

import pytest

from orefield.viewer.numbers import LiveNumbers


@dataclass
class Step:
    step: int
    seconds: float
    loss: float = 0.01
    evaluated: int = 1000
    kept: int = 250


def test_averages_leave_out_steps_that_were_skipped() -> None:
    numbers = LiveNumbers()
    for i in range(1, 5):
        numbers.add(Step(i, 0.1 * i, float("nan") if i == 2 else 0.01), i / 10)
    assert numbers.psnr == pytest.approx(20)
    assert numbers.kept == pytest.approx(25)
    for part in ("20.00 dB", "25 %", "step 4", "40 % of the budget", "viewer 7 %"):
        assert part in numbers.text(0.07)


def test_a_long_curve_keeps_its_ends_and_a_bounded_length() -> None:
    numbers = LiveNumbers()
    for i in range(4_000):
        numbers.add(Step(i, 0.01 * i), i / 4_000)
    percent = [point[0] for point in numbers.curve]
    assert len(percent) <= 400
    assert percent[0] == 0
    assert percent[-1] > 98
    assert percent == sorted(percent)
