"""Numbers that are not finite, or far too large, in every input of every kernel.

Nothing is read or written out of bounds, no loop goes on for ever, and what has nothing to do with
such a number comes out as without it. An index out of bounds may end the process: that is how these
laws fail.
"""

import math

import pytest
import torch

from orefield.ops.backend import using
from orefield.ops.contraction import contract
from orefield.ops.density_network import DensityNet
from orefield.ops.density_pass import terminated_density_pass
from orefield.ops.hash_grid import grid_layout, hash_grid, hash_grid_backward
from orefield.ops.hash_grid_positions import hash_grid_positions_backward
from orefield.ops.march import ENDED, Grid, clearance, march
from orefield.ops.march_fixed import march_fixed
from orefield.ops.median_depth import median_depth
from orefield.ops.pdf import interlevel_loss, render_weights
from orefield.ops.sample_pdf import sample_pdf
from orefield.ops.sparse_adam import adam_scalars, sparse_adam
from orefield.ops.transmittance import transmittance
from orefield.ops.volume_rendering import volume_rendering_backward, volume_rendering_forward
from orefield.types import Rays
from strategies import packed, seeded
from twins import TWINS, moved, place, run

HOSTILE = [math.nan, math.inf, -math.inf, 1e38, -1e38]
LAYOUTS = [grid_layout(4, 9, 4, 60), grid_layout(2, 14, 4, 12)]  # mostly hashed; all dense
GUARD = 7.0
NEAR = Grid(clearance(torch.rand(1, 8, 8, 8, generator=seeded(2)) < 0.4), 0.05)
FAR = Grid(clearance(torch.rand(4, 8, 8, 8, generator=seeded(3)) < 0.4), 0.05, 0.1, 1 / 16)

# Triton's interpreter converts with numpy, which tells of a NaN that becomes an integer.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def with_hostile(points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Columns of three numbers with each hostile value in one or all places; which are clean."""
    hostile, number = points.clone(), 0
    clean = torch.ones(points.shape[1], dtype=torch.bool)
    for value in HOSTILE:
        for rows in ([0], [1], [2], [0, 1, 2]):
            hostile[rows, 3 * number] = value
            clean[3 * number] = False
            number += 1
    return hostile, clean


def guarded(rows: int) -> torch.Tensor:
    """A table of zeros, between 64 rows before and after that nothing may change."""
    memory = torch.full((rows + 128, 2), GUARD)
    memory[64:-64] = 0
    return memory


def unharmed(memory: torch.Tensor) -> bool:
    return bool((memory[:64] == GUARD).all() and (memory[-64:] == GUARD).all())


@pytest.mark.parametrize("layout", LAYOUTS, ids=["hashed", "dense"])
@pytest.mark.parametrize("twin", TWINS)
def test_features_are_of_rows_in_the_table(twin, layout):
    table, points = torch.randn(layout.rows, 2), torch.rand(3, 150, generator=seeded())
    hostile, clean = with_hostile(points)
    for dtype in (torch.float32, torch.bfloat16):
        got = run(twin, hash_grid, table, hostile, layout, dtype)
        want = run(twin, hash_grid, table, points, layout, dtype)
        assert torch.equal(got[:, clean], want[:, clean])
        clamped = run(twin, hash_grid, table, hostile.clamp(0, 1), layout, dtype)
        known = ~hostile.isnan().any(0)
        assert torch.equal(got[:, known], clamped[:, known])


@pytest.mark.parametrize("layout", LAYOUTS, ids=["hashed", "dense"])
@pytest.mark.parametrize("twin", TWINS)
def test_gradients_go_to_rows_in_the_table(twin, layout):
    hostile, clean = with_hostile(torch.rand(3, 150, generator=seeded()))
    grad = torch.randn(layout.features, 150, generator=seeded(1))
    added = {}
    for name, part in {"hostile": grad, "silent": grad * clean}.items():
        memory = moved(guarded(layout.rows), place(twin))
        with using(twin):
            hash_grid_backward(*moved((part, hostile), place(twin)), layout, memory[64:-64])
        assert unharmed(memory.cpu())
        added[name] = memory[64:-64].cpu()
    if twin != "definition":  # which adds a NaN times zero
        want = torch.zeros(layout.rows, 2)
        with using("definition"):
            hash_grid_backward(grad[:, clean], hostile[:, clean], layout, want)
        torch.testing.assert_close(added["silent"], want, rtol=0, atol=1e-3)


@pytest.mark.parametrize("twin", TWINS)
def test_slopes_at_positions_read_rows_in_the_table(twin):
    layout = LAYOUTS[1]
    table, points = torch.randn(layout.rows, 2), torch.rand(3, 150, generator=seeded())
    hostile, clean = with_hostile(points)
    grad = torch.randn(layout.features, 150, generator=seeded(1))
    got = run(twin, hash_grid_positions_backward, grad, table, hostile, layout)
    want = run(twin, hash_grid_positions_backward, grad, table, points, layout)
    assert torch.equal(got[:, clean], want[:, clean])


def hostile_rays(kind: str) -> tuple[Rays, Rays, torch.Tensor]:
    """Rays through the cube, some of them spoiled; the same unspoiled; which are clean."""
    generator = seeded(5)
    directions = torch.nn.functional.normalize(torch.randn(64, 3, generator=generator))
    good = Rays(torch.rand(64, 3, generator=generator) - directions, directions)
    if kind == "directions":
        bad, clean = with_hostile(directions.T)
        return Rays(good.origins, bad.T.contiguous()), good, clean
    if kind == "origins":
        bad, clean = with_hostile(good.origins.T)
        return Rays(bad.T.contiguous(), directions), good, clean
    clean = torch.arange(64) >= 4  # directions that lead nowhere
    lengths = torch.tensor([0.0, 1e-38, 1e-30, 1e-25])[:, None]
    return Rays(good.origins, torch.cat([directions[:4] * lengths, directions[4:]])), good, clean


@pytest.mark.parametrize("grid", [NEAR, FAR], ids=["one level", "four levels"])
@pytest.mark.parametrize("kind", ["origins", "directions", "short"])
@pytest.mark.parametrize("twin", TWINS)
def test_rays_that_are_not_finite_miss_and_leave_the_others_alone(twin, kind, grid):
    bad, good, clean = hostile_rays(kind)
    if twin == "gpu":  # its interpreter is slow
        bad, good, clean = bad[:16], good[:16], clean[:16]
        grid = grid._replace(dt=0.4)
    samples, following = run(twin, march, bad, grid)
    alone, _ = run(twin, march, good[clean], grid)
    assert (following == ENDED).all()
    assert (samples.spans[~clean, 1] == 0).all()
    assert torch.equal(samples.spans[clean, 1], alone.spans[:, 1])
    assert torch.equal(samples.positions, alone.positions)
    assert torch.equal(samples.t, alone.t)


@pytest.mark.parametrize("twin", ["cpu", "definition"])
def test_jitter_that_is_not_finite_ends_its_ray(twin):
    _, good, _ = hostile_rays("origins")
    jitter = torch.full((64,), 0.5)
    jitter[:3] = torch.tensor([math.nan, math.inf, 1e38])
    samples, _ = run(twin, march, good, NEAR, jitter)
    alone, _ = run(twin, march, good[3:], NEAR)
    assert torch.equal(samples.spans[3:, 1], alone.spans[:, 1])
    fixed, _ = run(twin, march_fixed, good, NEAR, jitter, 32)
    assert len(fixed) == 32


def test_steps_from_very_far_away_end():
    """Where doublings would have no end; float32 knows few points of the cube there."""
    direction = torch.tensor([[1.0, 0.0, 0.0]]).expand(6, 3).contiguous()
    origins = torch.full((6, 3), 0.5)
    origins[:, 0] = -(10.0 ** torch.arange(2, 14, 2))
    for twin in ("cpu", "definition"):
        samples, following = run(twin, march, Rays(origins, direction), FAR)
        assert (following == ENDED).all()
        assert samples.t.isfinite().all()


def density_net(**spoiled: float) -> DensityNet:
    """Every fifth number of the parts named is the one given."""
    layout = LAYOUTS[1]
    parts = {
        "table": torch.randn(layout.rows, 2),
        "hidden": 0.3 * torch.randn(16, layout.features),
        "out": 0.3 * torch.randn(16, 16),
    }
    for name, value in spoiled.items():
        parts[name].view(-1)[::5] = value
    return DensityNet(parts["table"], layout, parts["hidden"], parts["out"])


@pytest.mark.parametrize("kind", ["origins", "directions", "short"])
@pytest.mark.parametrize("twin", ["cpu", "definition"])
def test_the_density_pass_keeps_rays_apart(twin, kind):
    bad, good, clean = hostile_rays(kind)
    net, jitter = density_net(), torch.full((64,), 0.5)
    found = run(twin, terminated_density_pass, bad, NEAR, jitter, net, 1e-4)
    alone = run(twin, terminated_density_pass, good[clean], NEAR, jitter[clean], net, 1e-4)
    assert torch.equal(found.samples.positions, alone.samples.positions)
    assert torch.equal(found.geometry, alone.geometry)


@pytest.mark.parametrize("spoiled", ["table", "hidden", "out"])
@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("twin", ["cpu", "definition"])
def test_the_density_pass_ends_with_any_network(twin, spoiled, value):
    _, good, _ = hostile_rays("origins")
    net, jitter = density_net(**{spoiled: value}), torch.full((64,), 0.5)
    found = run(twin, terminated_density_pass, good, NEAR, jitter, net, 1e-4)
    assert found.samples.positions.isfinite().all()


@pytest.mark.parametrize("spoiled", range(4))
@pytest.mark.parametrize("twin", TWINS)
def test_adam_writes_rows_of_the_table_and_leaves_the_others(twin, spoiled):
    """Of table, gradient and both moments, one is hostile."""
    rows = 40
    memories = [guarded(rows) for _ in range(4)]
    tables = [memory[64:-64] for memory in memories]
    tables[0][:] = torch.randn(rows, 2, generator=seeded())
    tables[1][::2] = torch.randn(rows // 2, 2, generator=seeded(1))
    for row, value in enumerate(HOSTILE):
        tables[spoiled][2 * row] = value
    before = tables[0].clone()
    there = moved(tuple(memories), place(twin))
    with using(twin):
        numbers = adam_scalars(torch.tensor(0.1), torch.tensor(1.0)).to(place(twin))
        sparse_adam(*(v[64:-64] for v in there), numbers)
    after = [v.cpu() for v in there]
    assert all(map(unharmed, after))
    table = after[0][64:-64]
    assert torch.equal(table[1::2], before[1::2])  # no gradient there
    assert table[10:].isfinite().all()
    assert (table[10::2] != before[10::2]).all()


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("twin", TWINS)
def test_rendering_keeps_rays_apart(twin, value):
    """A hostile sample spoils its own ray at most."""
    raw, t, dt, spans = packed([3, 4, 0, 5], "thin")
    spoiled, others = raw.clone(), torch.tensor([0, 2, 3])
    spoiled[4] = value  # in the second ray
    got, tape = run(twin, volume_rendering_forward, spoiled, t, dt, spans)
    want, clean_tape = run(twin, volume_rendering_forward, raw, t, dt, spans)
    assert torch.equal(got.color[others], want.color[others])
    assert torch.equal(got.opacity[others], want.opacity[others])
    rgb, one = torch.ones(4, 3), torch.ones(4)
    back = run(twin, volume_rendering_backward, tape, spoiled, t, spans, rgb, one)
    wanted = run(twin, volume_rendering_backward, clean_tape, raw, t, spans, rgb, one)
    samples = torch.tensor([0, 1, 2, 7, 8, 9, 10, 11])
    assert torch.equal(back[samples], wanted[samples])
    log = spoiled[:, 0].contiguous()
    along = run(twin, transmittance, log, dt, spans)
    alone = run(twin, transmittance, raw[:, 0].contiguous(), dt, spans)
    assert torch.equal(along.weights[samples], alone.weights[samples])


@pytest.mark.parametrize("value", HOSTILE)
def test_a_median_depth_is_its_own_rays(value):
    raw, t, dt, spans = packed([3, 4, 0, 5], "mixed")
    spoiled = raw[:, 0].clone()
    spoiled[4] = value
    others = torch.tensor([0, 2, 3])
    got, want = (median_depth(s, t, dt, spans)[others] for s in (spoiled, raw[:, 0]))
    assert torch.equal(got, want)


def test_a_median_depth_does_not_feel_an_endless_interval_of_the_ray_before():
    """As unbounded scenes have: its optical depth would swallow all that comes after it."""
    dt = torch.tensor([0.1, 1e10, 0.1, 0.1, 0.1])
    t = torch.tensor([0.5, 5e9, 0.5, 0.6, 0.7])
    spans = torch.tensor([[0, 2], [2, 3]], dtype=torch.int32)
    log = torch.tensor([-3.0, 14.0, 1.0, 1.5, 2.0])
    alone = median_depth(log[2:], t[2:], dt[2:], torch.tensor([[0, 3]], dtype=torch.int32))
    assert alone > 0
    torch.testing.assert_close(median_depth(log, t, dt, spans)[1:], alone, rtol=1e-6, atol=0)


@pytest.mark.parametrize("value", HOSTILE)
def test_histograms_keep_rays_apart(value):
    edges = torch.linspace(0, 1, 9).expand(3, 9).contiguous()
    weights = torch.rand(3, 8, generator=seeded())
    spoiled, moved_edges = weights.clone(), edges.clone()
    spoiled[1, 3], moved_edges[1, 4] = value, value
    drawn = sample_pdf(moved_edges, spoiled, 5)
    assert drawn[1].isnan().any() or not torch.tensor(value).isnan()
    assert torch.equal(drawn[[0, 2]], sample_pdf(edges, weights, 5)[[0, 2]])
    density = render_weights(spoiled, moved_edges)
    assert torch.equal(density[[0, 2]], render_weights(weights, edges)[[0, 2]])
    assert interlevel_loss(moved_edges, spoiled, moved_edges, spoiled).shape == ()


def test_contraction_leads_into_the_cube_or_to_nan():
    points = contract(torch.tensor(HOSTILE).expand(3, 5).contiguous())
    assert (points.isnan() | ((points >= 0) & (points <= 1))).all()
