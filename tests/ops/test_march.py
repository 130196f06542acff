"""Laws of marching through an occupancy grid."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from closed_forms import uncontract
from orefield.ops.backend import using
from orefield.ops.march import (
    ENDED,
    FARTHEST,
    Grid,
    clearance,
    distance_after,
    entry_and_exit,
    march,
    steps_to,
)
from orefield.ops.march_fixed import march_fixed
from orefield.types import PackedSamples, Rays
from strategies import RAY_KINDS, SEEDS, grids, rays, seeded
from twins import run

STEPS = st.sampled_from([0.013, 0.1, 1.0])
NEARS = st.sampled_from([0.0, 0.3, 2.5])
# The Triton twin keeps what the definition keeps, bit for bit: what follows from that is not tested
# again, because its interpreter takes a second for every hundred steps of a block of rays.
TWINS = ["cpu", "definition"]
FULL = clearance(torch.ones(1, 4, 4, 4, dtype=torch.bool))


def ray(origin: tuple[float, ...], direction: tuple[float, ...]) -> Rays:
    d = torch.tensor([direction], dtype=torch.float32)
    return Rays(torch.tensor([origin], dtype=torch.float32), d / d.norm())


def same(one: PackedSamples, other: PackedSamples) -> bool:
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in vars(one))


@settings(max_examples=100)
@given(rays(), grids(), STEPS, NEARS, st.none() | SEEDS, st.sampled_from([3, 1000]))
def test_twin_keeps_exactly_the_samples_of_the_definition(rays, grid, dt, near, seed, limit):
    jitter = None if seed is None else torch.rand(len(rays), generator=seeded(seed))
    with using("definition"):
        want, want_following = march(
            rays, Grid(clearance(grid[None]), dt, near), jitter, limit=limit
        )
    with using("cpu"):
        got, following = march(rays, Grid(clearance(grid[None]), dt, near), jitter, limit=limit)
    assert same(got, want)
    assert torch.equal(following, want_following)


def few_rays(each: int, seed: int) -> Rays:
    parts = [kind(seeded(seed), each) for kind in RAY_KINDS]
    origins, directions = (torch.cat(values) for values in zip(*parts, strict=True))
    return Rays(origins, directions / directions.norm(dim=1, keepdim=True))


@pytest.mark.parametrize("twin", ["gpu"])
@given(
    each=st.sampled_from([0, 1, 6]),
    grid=grids(),
    dt=st.sampled_from([0.07, 0.2, 1.0]),
    near=NEARS,
    seed=SEEDS,
    limit=st.sampled_from([1, 3, 1000]),
)
def test_so_does_the_triton_twin(twin, each, grid, dt, near, seed, limit):
    rays = few_rays(each, seed)
    jitter = torch.rand(len(rays), generator=seeded(seed))
    first = torch.randint(5, (len(rays),), generator=seeded(seed), dtype=torch.int32)
    inputs = rays, Grid(clearance(grid[None]), dt, near), jitter, first, limit
    want, want_following = run("definition", march, *inputs)
    got, following = run(twin, march, *inputs)
    assert same(got, want)
    assert torch.equal(following, want_following)


@pytest.mark.parametrize("twin", ["definition", "gpu"])
@pytest.mark.parametrize(
    ("capacity", "share"), [(1, 0.3), (40, 1.0), (5000, 0.3), (40, 0.0)]
)  # cut off soon and late, room to spare, nothing at all
def test_buffers_of_fixed_size_hold_the_first_samples(twin, capacity, share):
    these = few_rays(1, 1)
    grid = Grid(clearance(torch.rand(1, 5, 5, 5, generator=seeded(2)) < share), 0.1)
    jitter = torch.rand(len(these), generator=seeded(3))
    want, _ = run("definition", march, these, grid, jitter)
    samples, total = run(twin, march_fixed, these, grid, jitter, capacity)
    kept = min(len(want), capacity)
    assert int(total) == len(want)
    assert len(samples) == capacity
    for name in ("positions", "t", "dt", "ray"):
        part, whole = getattr(samples, name), getattr(want, name)
        assert torch.equal(part[..., :kept], whole[..., :kept])
    ends = want.spans.sum(1).clamp(max=capacity)
    first = want.spans[:, 0].clamp(max=capacity)
    assert torch.equal(samples.spans, torch.stack([first, ends - first], 1).int())
    empty = samples.positions[:, kept:]
    assert ((empty >= 0) & (empty <= 1)).all()
    assert (samples.dt[kept:] == 0).all()
    assert (samples.ray[kept:] == 0).all()


def test_buffers_without_a_slot_are_refused():
    with pytest.raises(ValueError, match="capacity at least 1"):
        march_fixed(
            few_rays(1, 1), Grid(clearance(torch.ones(1, 4, 4, 4).bool()), 0.1), torch.zeros(6), 0
        )


@given(grids())
def test_clearance_is_the_distance_to_the_nearest_occupied_cell(grid):
    cells = torch.cartesian_prod(*(torch.arange(n) for n in grid.shape))
    occupied = cells[grid.flatten()]
    far = torch.full((len(cells), 1), FARTHEST)
    distances = (cells[:, None] - occupied[None]).abs().amax(2)
    want = torch.cat([distances, far], 1).amin(1)
    assert torch.equal(clearance(grid[None]).flatten().long(), want)


@pytest.mark.parametrize("twin", TWINS)
@given(rays=rays(), grid=grids(), dt=STEPS, limit=st.sampled_from([1, 2, 7]))
def test_chunks_add_up_to_the_whole(twin, rays, grid, dt, limit):
    """As when rendering: marched until no ray goes on, each chunk from where the last one ended."""
    with using(twin):
        walk = Grid(clearance(grid[None]), dt)
        whole, ended = march(rays, walk)
        assert (ended == ENDED).all()
        first = torch.zeros(len(rays), dtype=torch.int32)
        found = [[] for _ in range(len(rays))]
        left = torch.arange(len(rays))
        while len(left):
            part = Rays(rays.origins[left], rays.directions[left])
            chunk, following = march(
                part, Grid(clearance(grid[None]), dt), first=first, limit=limit
            )
            assert (chunk.spans[:, 1] <= limit).all()
            for i, r in enumerate(left.tolist()):
                begin, count = chunk.spans[i].tolist()
                assert count == limit or following[i] == ENDED
                found[r] += chunk.t[begin : begin + count].tolist()
            left, first = left[following != ENDED], following[following != ENDED]
    assert [t for ts in found for t in ts] == whole.t.tolist()


@pytest.mark.parametrize("twin", TWINS)
@given(rays=rays(), grid=grids(), dt=STEPS, near=NEARS)
def test_samples_lie_where_they_should(twin, rays, grid, dt, near):
    with using(twin):
        samples, _ = march(rays, Grid(clearance(grid[None]), dt, near))
    ends = samples.spans.sum(1)
    assert ends.tolist() == samples.spans[:, 1].cumsum(0).tolist()
    assert (int(ends[-1]) if len(rays) else 0) == len(samples)
    assert samples.ray.tolist() == torch.repeat_interleave(samples.spans[:, 1]).tolist()
    assert (samples.dt == torch.tensor(dt)).all()
    assert (samples.t >= near).all()
    ray = samples.ray.long()
    points = rays.origins[ray] + samples.t[:, None] * rays.directions[ray]
    assert torch.equal(samples.positions, points.T)
    # |t| < 20 here, so a position errs by 20 eps and a bit.
    assert (samples.positions > -1e-5).all()
    assert (samples.positions < 1 + 1e-5).all()
    cell = (samples.positions * grid.shape[0]).long().clamp(0, grid.shape[0] - 1)
    assert grid[cell[0], cell[1], cell[2]].all()


@pytest.mark.parametrize("twin", TWINS)
@given(rays=rays(), dt=STEPS)
def test_a_full_grid_is_sampled_evenly_from_face_to_face(twin, rays, dt):
    with using(twin):
        samples, _ = march(rays, Grid(FULL, dt))
    entry, leave = entry_and_exit(rays, 0.0)
    # Sample k exists while entry + (k + 1/2) dt < leave.
    crossed = ((leave - entry) / dt).clamp(0, 1e6).double()
    assert (samples.spans[:, 1] - crossed).abs().max() <= 0.5 + 1e-3 if len(rays) else True
    gaps = samples.t.diff()[samples.ray.diff() == 0]
    torch.testing.assert_close(gaps, torch.full_like(gaps, dt), rtol=0, atol=1e-5)


def test_entry_and_exit_in_closed_form():
    def crossing(origin, direction, near=0.0):
        return tuple(float(v) for v in entry_and_exit(ray(origin, direction), near))

    assert crossing((-1, 0.5, 0.5), (1, 0, 0)) == (1, 2)
    assert crossing((0.5, 0.5, 3), (0, 0, -1)) == (2, 3)
    assert crossing((0.5, 0.25, 0.5), (0, 1, 0)) == (0, 0.75)
    assert crossing((-1, 0.5, 0.5), (1, 0, 0), near=1.5) == (1.5, 2)
    assert crossing((-1, -1, -1), (1, 1, 1)) == pytest.approx((math.sqrt(3), 2 * math.sqrt(3)))
    assert crossing((0.25, 0.0, -1), (0, 0, 1)) == (1, 2)  # in the plane of a face
    for origin, direction in [
        ((-1, 0.5, 0.5), (-1, 0, 0)),  # behind it
        ((-1, 1.5, 0.5), (1, 0, 0)),  # beside it, parallel
        ((-1, 0.5, 0.5), (1, 3, 0)),  # past it
    ]:
        entry, leave = crossing(origin, direction)
        assert leave <= entry


@pytest.mark.parametrize("twin", TWINS)
def test_jitter_moves_all_samples_of_a_ray_alike(twin):
    rays, full = ray((-1, 0.5, 0.5), (1, 0, 0)), FULL
    with using(twin):
        early, _ = march(rays, Grid(full, 0.25), jitter=torch.tensor([0.0]))
        late, _ = march(rays, Grid(full, 0.25), jitter=torch.tensor([0.75]))
    assert early.t.tolist() == [1, 1.25, 1.5, 1.75]
    assert late.t.tolist() == [1.1875, 1.4375, 1.6875, 1.9375]


def test_bad_grids_and_steps_are_refused():
    rays, full = ray((-1, 0.5, 0.5), (1, 0, 0)), FULL
    with pytest.raises(ValueError, match="dt must be positive"):
        march(rays, Grid(full, 0.0))
    with pytest.raises(ValueError, match="limit at least 1"):
        march(rays, Grid(full, 0.1), limit=0)


LEVELS = st.sampled_from([2, 3, 5])
CONES = st.sampled_from([0.0, 1 / 64, 1 / 8])


def cascades(levels: int, seed: int, share: float = 0.2) -> torch.Tensor:
    return torch.rand(levels, 8, 8, 8, generator=seeded(seed)) < share


@settings(max_examples=60)
@given(rays(), LEVELS, CONES, SEEDS, st.sampled_from([0.02, 0.3]), st.sampled_from([4, 1000]))
def test_twin_and_definition_agree_on_several_levels(rays, levels, cone_angle, seed, dt, limit):
    grid = Grid(clearance(cascades(levels, seed)), dt, 0.1, cone_angle)
    jitter = torch.rand(len(rays), generator=seeded(seed))
    want, want_following = run("definition", march, rays, grid, jitter, None, limit)
    got, following = run("cpu", march, rays, grid, jitter, None, limit)
    assert same(got, want)
    assert torch.equal(following, want_following)


@pytest.mark.parametrize("levels", [2, 4])
@pytest.mark.parametrize("twin", ["gpu"])
def test_the_triton_twin_agrees_on_several_levels(twin, levels):
    rays = few_rays(1, levels)
    grid = Grid(clearance(cascades(levels, levels)), 0.1, 0.1, 1 / 8)
    jitter = torch.rand(len(rays), generator=seeded(3))
    first = torch.randint(5, (len(rays),), generator=seeded(4), dtype=torch.int32)
    want, want_following = run("definition", march, rays, grid, jitter, first, 1000)
    got, following = run(twin, march, rays, grid, jitter, first, 1000)
    assert same(got, want)
    assert torch.equal(following, want_following)


@given(rays=rays(), levels=LEVELS, cone_angle=CONES, seed=SEEDS)
def test_samples_on_several_levels_lie_where_they_should(rays, levels, cone_angle, seed):
    occupied = cascades(levels, seed)
    grid = Grid(clearance(occupied), 0.1, 0.3, cone_angle)
    samples, _ = run("cpu", march, rays, grid)
    ray = samples.ray.long()
    points = rays.origins[ray] + samples.t[:, None] * rays.directions[ray]
    torch.testing.assert_close(
        uncontract(samples.positions.double()).T, points.double(), atol=1e-3, rtol=1e-3
    )
    away = (points - 0.5).abs().amax(1)
    assert (away <= grid.background_extent / 2 + 1e-4).all()
    level = torch.log2((2 * away).clamp(min=1)).ceil().long()
    cell = ((points - 0.5) / 2.0 ** level[:, None] + 0.5).mul(8)
    sure = (cell - cell.round()).abs().amin(1) > 1e-3  # else rounding decides
    x, y, z = cell.long().clamp(0, 7).unbind(1)
    assert occupied[level, x, y, z][sure].all()
    if cone_angle:
        assert (samples.dt <= (cone_angle * samples.t).clamp(min=0.1) * (1 + 1e-5)).all()
        assert (samples.dt >= cone_angle * samples.t / 2 * (1 - 1e-5)).all()
    else:
        assert (samples.dt == torch.tensor(0.1)).all()


def test_what_belongs_to_a_finer_level_is_as_clear_as_that_says():
    """A ray may leap through the middle of a level only where the levels within are empty."""
    occupied = torch.zeros(3, 8, 8, 8, dtype=torch.bool)
    occupied[0, 1, 6, 3] = True
    clear = clearance(occupied)
    assert (clear[1] == 0).nonzero().tolist() == [[2, 5, 3]]
    assert (clear[2] == 0).nonzero().tolist() == [[3, 4, 3]]


@given(
    st.floats(0.01, 500), st.sampled_from([2.0**24, 64.0, 100.0]), st.sampled_from([0.004, 0.05])
)
def test_steps_and_distances_are_inverse(t, octave, dt):
    u = steps_to(torch.tensor([t], dtype=torch.float64), dt, octave)
    back, step = distance_after(u, dt, octave)
    assert float(back) == pytest.approx(t, rel=1e-9)
    assert float(step) / dt == 2 ** max(math.floor(math.log2(t / (octave * dt))), 0)


@pytest.mark.parametrize("twin", TWINS)
def test_intervals_add_up_to_the_path_through_the_cube(twin):
    """The intervals of a ray's samples add up to what it crosses."""
    grid = Grid(clearance(torch.ones(4, 8, 8, 8, dtype=torch.bool)), 0.05, 0.2, 1 / 16)
    rays = few_rays(20, 5)
    with using(twin):
        samples, _ = march(rays, grid)
    entry, leave = entry_and_exit(rays, grid.near, grid.background_extent)
    crossed = torch.zeros(len(rays)).index_add(0, samples.ray.long(), samples.dt)
    want = (leave - entry).clamp(min=0)
    # Half a step at either end, and as much at each doubling.
    assert ((crossed - want).abs() <= leave.clamp(min=1) / 16 + 0.05).all()


def test_levels_that_do_not_fit_into_each_other_are_refused():
    with pytest.raises(ValueError, match="multiple of 4"):
        clearance(torch.ones(2, 6, 6, 6, dtype=torch.bool))
    with pytest.raises(ValueError, match="must be cubes"):
        clearance(torch.ones(1, 4, 4, 5, dtype=torch.bool))
