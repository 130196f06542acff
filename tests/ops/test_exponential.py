"""Laws of the exponentials that are worked on as vectors."""

import numpy as np
import pytest
from numba import njit

from orefield.ops.cpu.exponential import decay, exp

EPS = float(np.finfo(np.float32).eps)


@njit(error_model="numpy")
def exp_of_all(x, out):
    for i in range(len(x)):
        out[i] = exp(x[i])


@njit(error_model="numpy")
def decay_of_all(x, left, taken):
    for i in range(len(x)):
        left[i], taken[i] = decay(x[i])


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_exponentials_are_right_to_a_few_units_in_the_last_place(kind):
    x = np.linspace(-86.9, 87.9, 100_001).astype(kind)
    got, want = np.empty_like(x), np.exp(x.astype(np.float64))
    exp_of_all(x, got)
    assert (np.abs(got / want - 1) < 2 * np.finfo(kind).eps).all()


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_neither_part_of_a_decay_loses_its_digits_where_it_is_small(kind):
    x = np.concatenate([np.logspace(-30, 1.93, 100_001), [0.0]]).astype(kind)
    left, taken = np.empty_like(x), np.empty_like(x)
    decay_of_all(x, left, taken)
    exact = x.astype(np.float64)
    few = 3 * np.finfo(kind).eps
    assert (np.abs(left - np.exp(-exact)) <= few * np.exp(-exact)).all()
    assert (np.abs(taken + np.expm1(-exact)) <= -few * np.expm1(-exact)).all()


def test_ends_of_the_range_and_what_is_no_number():
    x = np.array([-np.inf, -200, 0, 200, np.inf, np.nan], np.float32)
    got = np.empty_like(x)
    exp_of_all(x, got)
    np.testing.assert_array_equal(got, [0, 0, 1, np.inf, np.inf, np.nan])
    left, taken = np.empty_like(x), np.empty_like(x)
    decay_of_all(np.abs(x), left, taken)
    np.testing.assert_array_equal(left, [0, 0, 1, 0, 0, np.nan])
    np.testing.assert_array_equal(taken, [1, 1, 0, 1, 1, np.nan])
