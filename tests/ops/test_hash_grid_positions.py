"""Laws of the hash grid's gradient at the positions."""

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from orefield.ops.hash_grid import definition as hash_grid
from orefield.ops.hash_grid import grid_layout
from orefield.ops.hash_grid_positions import hash_grid_positions_backward
from strategies import SEEDS, seeded
from twins import MANY, TWINS, run

LAYOUTS = {width: grid_layout(3, 6, 3, 20, width) for width in (2, 4)}
"""One dense level, two hashed, by the length of a row."""


def case(n: int, seed: int, width: int = 2) -> tuple[torch.Tensor, ...]:
    generator = seeded(seed)
    positions = torch.rand(3, n, generator=generator) * 1.2 - 0.1  # some outside
    layout = LAYOUTS[width]
    table = torch.randn(layout.shape, generator=generator)
    return torch.randn(layout.features, n, generator=generator), table, positions


@pytest.mark.parametrize("twin", ["cpu", "gpu"])
@given(
    n=st.sampled_from([1, 127, 128, 129]),
    seed=SEEDS,
    sample_major=st.booleans(),
    width=st.sampled_from([2, 4]),
)
@example(n=MANY, seed=3, sample_major=True, width=2)
@example(n=MANY, seed=4, sample_major=False, width=4)
def test_twin_is_the_definition(twin, n, seed, sample_major, width):
    """About a block's end; gradients may come as a matrix product's backward pass leaves them."""
    (grad, table, positions), layout = case(n, seed, width), LAYOUTS[width]
    want = run("definition", hash_grid_positions_backward, grad, table, positions, layout)
    grad = grad.T.contiguous().T if sample_major else grad
    got = run(twin, hash_grid_positions_backward, grad, table, positions, layout)
    torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-3)


def test_it_is_the_slope_of_the_features():
    """Finite differences in float64, away from the faces of cells, where there is a kink."""
    grad, table, positions = (x.double() for x in case(200, 1))
    found = run("definition", hash_grid_positions_backward, grad, table, positions, LAYOUTS[2])
    step = 1e-7
    for axis in range(3):
        moved = torch.zeros(3, 1, dtype=torch.float64)
        moved[axis] = step
        ends = [hash_grid(table, positions + sign * moved, LAYOUTS[2]) for sign in (1, -1)]
        slope = ((ends[0] - ends[1]) * grad).sum(0) / (2 * step)
        assert ((found[axis] - slope).abs() < 1e-4 * (1 + slope.abs())).float().mean() > 0.99


@pytest.mark.parametrize("twin", TWINS)
def test_no_samples_have_no_gradient(twin):
    assert run(twin, hash_grid_positions_backward, *case(0, 0), LAYOUTS[2]).shape == (3, 0)
