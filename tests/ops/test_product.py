"""Laws of the product in registers: compiled, it does what its Python body says."""

import numpy as np
import pytest
from numba import njit

from orefield.ops.cpu.product import ROWS, multiply, padded, rectify, rectify_backward, tile
from orefield.ops.cpu.vectors import LANES

EPS = float(np.finfo(np.float32).eps)

compiled_tile = njit(lambda a, b, row, column, out, add: tile(a, b, row, column, out, add))


def random(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("depth", [1, 7, 64])
@pytest.mark.parametrize("add", [True, False])
@pytest.mark.parametrize("turned", [True, False])
def test_a_tile_writes_its_part_of_the_product_and_nothing_else(depth, add, turned):
    a, b = random(0, 3 * ROWS, depth), random(1, depth, 40)
    a = np.asfortranarray(a) if turned else a
    a[ROWS + 2, depth // 2] = np.nan
    got, want = np.full((2, 3 * ROWS, 40), 7, np.float32)
    compiled_tile(a, b, ROWS, 5, got, add)
    tile(a, b, ROWS, 5, want, add)
    np.testing.assert_allclose(got, want, rtol=0, atol=(depth + 1) * 16 * EPS)
    written = np.zeros(got.shape, bool)
    written[ROWS : 2 * ROWS, 5 : 5 + LANES] = True
    assert (got[~written] == 7).all()
    assert np.isnan(got[ROWS + 2, 5 : 5 + LANES]).all()


def test_a_product_is_made_of_tiles():
    a, b = random(2, 4 * ROWS, 48), random(3, 48, 2 * LANES)
    out = np.full((4 * ROWS, 2 * LANES), 7, np.float32)
    multiply(a, b, out)
    np.testing.assert_allclose(out, a @ b, rtol=0, atol=48 * 16 * EPS)
    multiply(a, b, out, True)
    np.testing.assert_allclose(out, 2 * (a @ b), rtol=0, atol=48 * 32 * EPS)


def test_rectifying_and_its_gradient():
    x = np.array([[-1, 0, 2, np.nan]], np.float32)
    rectify(x)
    np.testing.assert_array_equal(x, [[0, 0, 2, np.nan]])
    grad = np.full((1, 4), 3, np.float32)
    rectify_backward(grad, x)
    np.testing.assert_array_equal(grad, [[0, 0, 3, 3]])


def test_weights_are_padded_with_zeros_to_whole_vectors():
    held = padded(np.ones((3, 17)))
    assert held.shape == (16, 32)
    assert held.dtype == np.float32
    assert held.sum() == held[:3, :17].sum() == 51
