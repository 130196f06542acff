"""Laws of the multiresolution hash grid."""

from itertools import product

import numba
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import grid_sample

from orefield.ops.backend import using
from orefield.ops.hash_grid import (
    GridLayout,
    definition,
    grid_layout,
    hash_grid,
    hash_grid_backward,
)
from strategies import SEEDS, grid_settings, positions, seeded
from twins import COMPILED, FEW_TWINS, MANY, TWINS, moved, place, run

EPS = torch.finfo(torch.float32).eps
MIXED = grid_layout(4, 9, 4, 60)  # one dense level, three hashed
WIDE = grid_layout(4, 9, 4, 60, 4)


def random_table(layout: GridLayout, seed: int) -> torch.Tensor:
    return torch.randn(layout.shape, generator=seeded(seed))


def close(one: torch.Tensor, other: torch.Tensor, layout: GridLayout, terms: int = 1) -> None:
    """A position in units of cells, up to the largest resolution r, errs by r eps, and so does a
    weight; a feature or a gradient sums 8 of them, or so many terms, times values below 6."""
    error = 6 * 8 * EPS * max(layout.resolution) * max(terms, 1) ** 0.5
    torch.testing.assert_close(one, other, rtol=0, atol=error)


def backward(
    twin: str, grad: torch.Tensor, points: torch.Tensor, layout: GridLayout
) -> torch.Tensor:
    sink = torch.zeros(layout.shape, device=place(twin))
    with using(twin):
        hash_grid_backward(*moved((grad, points), place(twin)), layout, sink)
    return sink.cpu()


def repeated(twin: str, one: torch.Tensor, other: torch.Tensor, layout: GridLayout) -> None:
    """Bit for bit, unless atomic additions came in another order."""
    if twin == "gpu" and COMPILED:
        close(one, other, layout, terms=MANY)
    else:
        assert torch.equal(one, other)


@pytest.mark.parametrize("twin", ["cpu", "gpu"])
@given(levels=grid_settings(), points=positions(), seed=SEEDS)
def test_twin_equals_definition(twin, levels, points, seed):
    layout = grid_layout(*levels)
    table = random_table(layout, seed)
    want = run("definition", hash_grid, table, points, layout)
    got = run(twin, hash_grid, table, points, layout)
    assert got.shape == (layout.features, points.shape[1])
    close(got, want, layout)


@pytest.mark.parametrize("twin", ["cpu", "gpu"])
@given(
    levels=grid_settings(),
    points=positions(),
    seed=SEEDS,
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
)
def test_twin_has_the_definitions_gradient(twin, levels, points, seed, dtype):
    layout = grid_layout(*levels)
    grad = torch.randn(layout.features, points.shape[1], generator=seeded(seed)).to(dtype)
    grad *= torch.rand(grad.shape, generator=seeded(seed + 1)) < 0.7  # as behind a ReLU
    want = backward("definition", grad, points, layout)
    got = backward(twin, grad, points, layout)
    close(got, want, layout, terms=points.shape[1])
    if twin in FEW_TWINS:  # for the others see test_a_sink_gathers_what_autograd_would_get
        table = random_table(layout, seed).requires_grad_()
        with using(twin):
            run(twin, hash_grid, table, points, layout, dtype).backward(grad)
        repeated(twin, table.grad, got, layout)


@pytest.mark.parametrize("twin", TWINS)
def test_the_gradient_may_lie_sample_by_sample(twin):
    """As a matrix product leaves it."""
    points = torch.rand(3, 40, generator=seeded(0))
    grad = torch.randn(40, MIXED.features, generator=seeded(1))
    got = backward(twin, grad.T, points, MIXED)
    repeated(twin, got, backward(twin, grad.T.contiguous(), points, MIXED), MIXED)


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("layout", [MIXED, WIDE])
def test_many_samples(twin, layout):
    """More than the Triton twin's block; with a GPU, as many as in training."""
    points = torch.rand(3, MANY, generator=seeded(0))
    table, grad = random_table(layout, 2), torch.randn(layout.features, MANY, generator=seeded(1))
    want = run("definition", hash_grid, table, points, layout)
    close(run(twin, hash_grid, table, points, layout), want, layout)
    want = backward("definition", grad, points, layout)
    close(backward(twin, grad, points, layout), want, layout, terms=MANY)


@pytest.mark.parametrize("layout", [MIXED, WIDE])
def test_the_triton_twin_reads_a_table_in_half_precision(layout):
    from orefield.ops.gpu.hash_grid import forward

    half = random_table(layout, 2).half()
    points = torch.rand(3, 40, generator=seeded(0))
    want = definition(half.float(), points, layout)
    inputs = moved((half, points), place("gpu"))
    close(forward(*inputs, layout, torch.float32).cpu(), want, layout)


@given(grid_settings(), positions(), SEEDS)
def test_the_definitions_backward_equals_autograd(levels, points, seed):
    layout = grid_layout(*levels)
    grad = torch.randn(layout.features, points.shape[1], generator=seeded(seed))
    table = random_table(layout, seed).requires_grad_()
    definition(table, points, layout).backward(grad)
    want = backward("definition", grad, points, layout)
    close(want, table.grad, layout, terms=points.shape[1])


@pytest.mark.parametrize("twin", TWINS)
def test_bf16_features_are_the_rounded_fp32_ones(twin):
    table, points = random_table(MIXED, 0), torch.rand(3, MANY, generator=seeded(1))
    fine = run(twin, hash_grid, table, points, MIXED)
    coarse = run(twin, hash_grid, table, points, MIXED, torch.bfloat16)
    if twin == "gpu" and not COMPILED:  # Triton's interpreter cuts off where a GPU rounds
        torch.testing.assert_close(coarse.float(), fine, rtol=2**-7, atol=0)
    else:
        assert torch.equal(coarse, fine.bfloat16())


@pytest.mark.parametrize("twin", TWINS if COMPILED else ["cpu", "definition"])
def test_bf16_features_half_way_between_two_numbers_become_the_even_one(twin):
    ties = torch.tensor([[1 + 2**-8, 1 + 3 * 2**-8]])
    vertex = torch.zeros(3, 1)  # where one weight is 1 and the others are 0
    got = run(twin, hash_grid, ties.repeat(MIXED.rows, 1), vertex, MIXED, torch.bfloat16)
    assert got[:2, 0].tolist() == [1, 1 + 2**-6]


@pytest.mark.parametrize("twin", FEW_TWINS)
@given(levels=grid_settings(), points=positions(), seed=SEEDS)
def test_backward_is_the_adjoint_of_forward(twin, levels, points, seed):
    """Features are linear in the table, F = A table, so <g, A table> = <A^T g, table>."""
    layout = grid_layout(*levels)
    table = random_table(layout, seed)
    features = run(twin, hash_grid, table, points, layout)
    grad = torch.randn(features.shape, generator=seeded(seed + 1))
    scattered = backward(twin, grad, points, layout)
    left = (grad.double() * features.double()).sum()
    right = (scattered.double() * table.double()).sum()
    # Each side errs by eps for each of its terms, in the mean by the root of their number.
    size = (grad.abs().double() * features.abs().double()).sum().clamp(min=1)
    assert abs(float(left - right)) <= 100 * EPS * float(size)


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("width", [2, 4])
def test_one_dense_level_is_trilinear_interpolation(twin, width):
    r = 6
    layout = grid_layout(1, 10, r, r, width)
    assert layout.dense == (True,)
    table, points = random_table(layout, 0), torch.rand(3, 500, generator=seeded(1))
    points[:, :3] = torch.tensor([[0.0, 1.0, 0.5], [0.0, 1.0, 1.0], [0.0, 1.0, 0.0]])
    volume = table.T.reshape(1, width, r + 1, r + 1, r + 1)  # z, y, x: x runs fastest
    grid = (2 * points.T - 1).view(1, -1, 1, 1, 3)
    want = grid_sample(volume, grid, align_corners=True).view(width, -1)
    close(run(twin, hash_grid, table, points, layout), want, layout)


@pytest.mark.parametrize("twin", TWINS)
def test_a_vertex_has_the_features_of_its_row(twin):
    """Rows by the paper's formulas, in Python's whole numbers."""
    table, vertices = random_table(MIXED, 0), [(0, 0, 0), (1, 2, 3), (4, 0, 3), (4, 4, 4)]
    points, rows = [], []
    for (level, r), vertex in product(enumerate(MIXED.resolution), vertices):
        x, y, z = (v * r // 4 for v in vertex)
        row = x + y * (r + 1) + z * (r + 1) ** 2
        if not MIXED.dense[level]:
            row = (x ^ (y * 2654435761) ^ (z * 805459861)) % MIXED.size[level]
        rows.append(MIXED.first[level] + row)
        points.append(torch.tensor([x, y, z]) / r)
    features = run(twin, hash_grid, table, torch.stack(points, 1), MIXED)
    for i, row in enumerate(rows):
        level = i // len(vertices)
        close(features[2 * level : 2 * level + 2, i], table[row], MIXED)


@pytest.mark.parametrize("twin", FEW_TWINS)
@given(levels=grid_settings(), points=positions())
def test_a_constant_table_gives_constant_features(twin, levels, points):
    layout = grid_layout(*levels)
    row = torch.tensor([0.25, -3.0, 1.5, 7.0])[: layout.features_per_level]
    features = run(twin, hash_grid, row.expand(layout.shape).contiguous(), points, layout)
    want = row.repeat(len(layout.resolution))[:, None].expand_as(features)
    torch.testing.assert_close(features, want, rtol=8 * EPS, atol=0)


@pytest.mark.parametrize("twin", TWINS)
@given(levels=grid_settings(), points=positions(), seed=SEEDS)
def test_a_level_reads_its_own_rows_alone(twin, levels, points, seed):
    """On the cube's far faces a cell too far would read, and weigh with zero, what lies behind."""
    layout = grid_layout(*levels)
    table = random_table(layout, seed)
    want = run(twin, hash_grid, table, points, layout)
    levels = range(len(layout.first))
    for level in {levels[0], levels[-1]} if twin == "gpu" else levels:  # interpreted: fewer
        first, size = layout.first[level], layout.size[level]
        width = layout.features_per_level
        around = torch.full((layout.rows + 100_000, width), torch.nan, device=place(twin))
        around[first : first + size] = table[first : first + size]
        got = run(twin, hash_grid, around[: layout.rows], points, layout)
        rows = slice(width * level, width * (level + 1))
        assert torch.equal(got[rows], want[rows])


@pytest.mark.parametrize("twin", FEW_TWINS)
@given(levels=grid_settings(), points=positions(), seed=SEEDS)
def test_positions_outside_count_as_the_nearest_inside(twin, levels, points, seed):
    layout = grid_layout(*levels)
    table = random_table(layout, seed)
    both = points, points.clamp(0, 1)
    got, want = (run(twin, hash_grid, table, p, layout) for p in both)
    assert torch.equal(got, want)
    grad = torch.randn(got.shape, generator=seeded(seed))
    got, want = (backward(twin, grad, p, layout) for p in both)
    repeated(twin, got, want, layout)


@pytest.mark.parametrize("twin", TWINS)
def test_a_sink_gathers_what_autograd_would_get(twin):
    points = torch.rand(3, 40, generator=seeded(0))
    grad = torch.randn(MIXED.features, 40, generator=seeded(1))
    table, sink = random_table(MIXED, 2), torch.zeros(MIXED.shape)
    points, grad, table, sink = moved((points, grad, table, sink), place(twin))
    table.requires_grad_()
    with using(twin):
        hash_grid_backward(grad, points, MIXED, sink)
        once = sink.clone()
        hash_grid_backward(grad, points, MIXED, sink)
        hash_grid(table, points, MIXED).backward(grad)
    repeated(twin, table.grad, once, MIXED)
    torch.testing.assert_close(sink, 2 * once)


@pytest.mark.skipif(
    numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads; NUMBA_NUM_THREADS is 1"
)
def test_the_number_of_threads_changes_nothing():
    points = torch.rand(3, 1001, generator=seeded(0))
    table, grad = random_table(MIXED, 0), torch.randn(MIXED.features, 1001, generator=seeded(1))
    before, results = numba.get_num_threads(), []
    for threads in (1, 2):
        numba.set_num_threads(threads)
        results.append((hash_grid(table, points, MIXED), backward("cpu", grad, points, MIXED)))
    numba.set_num_threads(before)
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


@given(grid_settings())
def test_levels_tile_the_table(levels):
    layout = grid_layout(*levels)
    assert layout.first == tuple(sum(layout.size[:i]) for i in range(len(layout.size)))
    assert layout.rows == sum(layout.size)
    for r, size, dense in zip(layout.resolution, layout.size, layout.dense, strict=True):
        assert (size == (r + 1) ** 3) if dense else (size < (r + 1) ** 3)
        assert dense or size & (size - 1) == 0


def test_levels_grow_geometrically():
    layout = grid_layout(16, 19, 16, 2048)
    assert layout.resolution[0] == 16
    assert layout.resolution[-1] == 2048
    growth = 128 ** (1 / 15)
    for level, r in enumerate(layout.resolution):
        assert abs(r - 16 * growth**level) <= 0.5
    assert grid_layout(1, 12, 7, 300).resolution == (7,)


def test_bad_tables_are_refused():
    points = torch.rand(3, 2)
    with pytest.raises(ValueError, match=rf"table must be float32 \[{MIXED.rows}, 2\]"):
        hash_grid(torch.zeros(MIXED.rows - 1, 2), points, MIXED)
    with pytest.raises(ValueError, match="table must be float32"):
        hash_grid(torch.zeros(MIXED.rows, 2, dtype=torch.float64), points, MIXED)
    with pytest.raises(ValueError, match="features_per_level must be 2 or 4, got 3"):
        grid_layout(4, 9, 4, 60, 3)
