"""Laws of axes: values keep their order and their distances, ticks are round and inside."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orefield.report.axes import Axis, exact_axis, linear_axis, log_axis, tick_label

numbers = st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=20)
positive = st.lists(st.floats(1e-30, 1e30), min_size=1, max_size=20)


def check(axis: Axis, values: list[float]) -> None:
    start, end = sorted((axis.start, axis.end))
    for value in [*values, *axis.ticks]:
        assert start - 1e-6 <= axis.pixel(value) <= end + 1e-6
    assert 2 <= len(axis.ticks) <= 8
    assert list(axis.ticks) == sorted(set(axis.ticks))
    assert axis.pixel(axis.low) == pytest.approx(axis.start)
    assert axis.pixel(axis.high) == pytest.approx(axis.end)


@given(numbers)
def test_every_value_and_every_tick_lies_on_a_linear_axis(values: list[float]) -> None:
    check(linear_axis(values, 226.0, 10.0), values)
    check(linear_axis(values, 226.0, 10.0, from_zero=True), values)


@given(st.lists(st.floats(1e-6, 1e12), min_size=1, max_size=20))
def test_time_and_steps_begin_at_zero_and_end_at_the_last(values: list[float]) -> None:
    axis = exact_axis(values, 58.0, 448.0)
    check(axis, values)
    assert axis.low == 0
    assert axis.high == pytest.approx(max(values))


@given(positive)
def test_every_value_and_every_tick_lies_on_a_logarithmic_axis(values: list[float]) -> None:
    axis = log_axis(values, 226.0, 10.0)
    check(axis, values)
    mantissas = {round(tick / 10 ** math.floor(math.log10(tick) + 1e-9), 6) for tick in axis.ticks}
    assert mantissas <= {1.0, 2.0, 5.0}


def test_places_are_proportional_to_values_or_to_their_logarithms() -> None:
    axis = linear_axis([10.0, 30.0], 200.0, 0.0)
    assert (axis.low, axis.high) == (10, 30)
    assert [axis.pixel(value) for value in (10.0, 20.0, 30.0)] == [200, 100, 0]
    axis = log_axis([0.001, 1.0], 300.0, 0.0)
    assert [axis.pixel(value) for value in (0.001, 0.01, 0.1, 1.0)] == pytest.approx(
        [300, 200, 100, 0]
    )


def test_ticks_are_labeled_as_short_as_they_are_exact() -> None:
    values = (0.0, 0.5, 22.5, 2000.0, 1e-05, 1500000.0, 0.30000000000000004)
    labels = ["0", "0.5", "22.5", "2,000", "1e-05", "1.5e+06", "0.3"]
    assert [tick_label(value) for value in values] == labels
