"""Laws of the vector functions: compiled, they do what their Python bodies say."""

import numpy as np
import pytest
import torch
from numba import njit

from orefield.ops.cpu.vectors import as_rows, mix, scatter
from strategies import seeded

COLUMNS = 40
EPS = float(np.finfo(np.float32).eps)

compiled_mix = njit(lambda rows, index, weight, q, out: mix(rows, index, weight, q, out))
compiled_scatter = njit(lambda rows, index, weight, q, grad: scatter(rows, index, weight, q, grad))


def corners(seed: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Eight rows for each column, some of them the same, and their weights."""
    index = torch.randint(rows, (8, COLUMNS), generator=seeded(seed)).numpy().astype(np.uint32)
    return index, torch.rand(8, COLUMNS, generator=seeded(seed + 1)).numpy()


@pytest.mark.parametrize("width", [2, 4])
def test_a_row_is_its_numbers(width):
    table = torch.randn(5, width, generator=seeded(0))
    rows = as_rows(table)
    assert rows.shape == (5,)
    assert rows.itemsize == 4 * width
    assert np.array_equal(rows.view(np.float32).reshape(5, width), table.numpy())
    rows[3] = 0
    assert torch.equal(table[3], torch.zeros(width))  # the same memory


@pytest.mark.parametrize("width", [2, 4])
def test_a_mix_is_the_weighted_sum_of_eight_rows(width):
    rows = as_rows(torch.randn(50, width, generator=seeded(0)))
    index, weight = corners(1, 50)
    got, want = np.full((2, width, COLUMNS), np.nan, np.float32)
    for q in range(COLUMNS - 1):
        compiled_mix(rows, index, weight, q, got)
        mix(rows, index, weight, q, want)
    assert np.abs(got - want)[:, :-1].max() <= 8 * EPS * 8 * 4
    assert np.isnan(got[:, -1]).all()


@pytest.mark.parametrize("width", [2, 4])
def test_a_scatter_adds_to_eight_rows_one_after_the_other(width):
    index, weight = corners(2, 6)  # eight of six: some twice
    grad = torch.randn(width, COLUMNS, generator=seeded(4)).numpy()
    got, want = torch.zeros(2, 7, width)
    for q in range(COLUMNS):
        compiled_scatter(as_rows(got), index, weight, q, grad)
        scatter(as_rows(want), index, weight, q, grad)
    torch.testing.assert_close(got, want, rtol=0, atol=8 * COLUMNS * 4 * EPS * 4)
    assert torch.equal(got[6], torch.zeros(width))
