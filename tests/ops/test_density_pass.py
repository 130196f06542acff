"""Laws of the density pass with early termination: the twin finds what the definition finds."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from orefield.ops.backend import using
from orefield.ops.density_network import DensityNet
from orefield.ops.density_pass import (
    TerminatedPass,
    terminated_density_pass,
    visible_mask,
)
from orefield.ops.hash_grid import GridLayout, grid_layout
from orefield.ops.march import Grid, clearance, march
from orefield.ops.transmittance import MIN_TRANSMITTANCE, RayTransmittance
from orefield.types import Rays
from strategies import SEEDS, grids, rays, seeded

LAYOUT = grid_layout(4, 8, 4, 40, 4)
DT = 0.04
MIN_WEIGHT = 1e-4


def net(
    seed: int, width: int = 16, log_scale: float = 30.0, layout: GridLayout = LAYOUT
) -> DensityNet:
    """Densities from near zero to opaque, different from position to position."""
    generator = seeded(seed)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    out = random(16, width) * 0.3
    out[0] *= log_scale
    hidden = random(width, layout.features) * 0.3
    return DensityNet(random(*layout.shape), layout, hidden, out, start=0.7)


def bundle(n: int, seed: int = 0) -> Rays:
    generator = seeded(seed)
    directions = torch.nn.functional.normalize(torch.randn(n, 3, generator=generator))
    return Rays(torch.rand(n, 3, generator=generator) - 1.5 * directions, directions)


def along(
    twin: str,
    these: Rays,
    grid: torch.Tensor,
    seed: int,
    *more,
    min_weight: float = MIN_WEIGHT,
    **options,
) -> TerminatedPass:
    jitter, cells = torch.rand(len(these), generator=seeded(seed)), Grid(clearance(grid[None]), DT)
    with using(twin):
        return terminated_density_pass(
            these, cells, jitter, net(seed, *more), min_weight, **options
        )


def pair(found: TerminatedPass) -> tuple[list[int], list[float]]:
    return found.samples.ray.tolist(), found.samples.t.tolist()


def same(one: TerminatedPass, other: TerminatedPass) -> bool:
    """The same samples, but for those on the very edge of being left out."""
    a, b = ({(r, round(t, 5)) for r, t in zip(*pair(x), strict=True)} for x in (one, other))
    return len(a ^ b) <= 1e-3 * max(len(a), 1) + 1


@given(rays=rays(), grid=grids(), seed=SEEDS, stretch=st.sampled_from([1, 3, 8, 64]))
def test_twin_finds_what_the_definition_finds(rays, grid, seed, stretch):
    want = along("definition", rays, grid, seed)
    got = along("cpu", rays, grid, seed, stretch=stretch)
    assert same(got, want)
    assert got.evaluated <= want.evaluated
    assert got.samples.spans[:, 1].sum() == len(got.samples) == len(got.geometry)


@pytest.mark.parametrize("width", [8, 13, 64])
@pytest.mark.parametrize("features", [2, 4])
def test_samples_and_geometry_agree_number_by_number(width, features):
    """Also for widths that do not come in fours, and more samples than were expected."""
    layout = grid_layout(4, 8, 4, 40, features)
    these, grid = bundle(300), torch.ones(8, 8, 8, dtype=torch.bool)
    want = along("definition", these, grid, 3, width, 3.0, layout)
    got = along("cpu", these, grid, 3, width, 3.0, layout, expected=10)
    assert len(got.samples) == len(want.samples) > 1024
    assert torch.equal(got.samples.spans, want.samples.spans)
    assert torch.equal(got.samples.ray, want.samples.ray)
    torch.testing.assert_close(got.samples.positions, want.samples.positions)
    torch.testing.assert_close(got.samples.t, want.samples.t)
    torch.testing.assert_close(got.geometry, want.geometry, rtol=1e-4, atol=1e-4)


def test_what_lies_behind_surfaces_is_not_evaluated():
    these, grid = bundle(300), torch.ones(8, 8, 8, dtype=torch.bool)
    marched = len(march(these, Grid(clearance(grid[None]), DT))[0])
    short, long = (along("cpu", these, grid, 5, 16, 60.0, stretch=n).evaluated for n in (1, 64))
    assert short < 0.7 * marched
    assert long == pytest.approx(marched, rel=0.05)
    # A ray ends by its transmittance, however small the weights that are wanted.
    assert along("cpu", these, grid, 5, 16, 60.0, stretch=1, min_weight=0.0).evaluated == short


def test_visible_are_samples_of_some_transmittance_and_weight_and_what_is_nan():
    before = torch.tensor([1, 0.5, 0.5, MIN_TRANSMITTANCE / 2, 1, torch.nan])
    weights = torch.tensor([0.5, 1e-6, 0.49, 1e-5, torch.nan, 0.5])
    along = RayTransmittance(before, weights, torch.zeros(1))
    assert visible_mask(along, 1e-4).tolist() == [True, False, True, False, True, True]
    assert visible_mask(along, 0.0).tolist() == [True, True, True, False, True, True]


def test_no_rays_and_empty_grids_have_no_samples():
    grid = torch.zeros(8, 8, 8, dtype=torch.bool)
    for n in (0, 5):
        found = along("cpu", bundle(n), grid, 0)
        assert (len(found.samples), found.evaluated, found.geometry.shape) == (0, 0, (0, 16))
        assert found.samples.spans.shape == (n, 2)


def test_a_net_that_does_not_fit_its_layout_is_refused():
    grid, one = torch.ones(4, 4, 4, dtype=torch.bool), net(0)
    with pytest.raises(ValueError, match="for this layout"):
        terminated_density_pass(
            bundle(2),
            Grid(clearance(grid[None]), DT),
            torch.rand(2),
            one._replace(table=one.table[:-1]),
            0.1,
        )
    with pytest.raises(ValueError, match="dt must be positive"):
        terminated_density_pass(
            bundle(2), Grid(clearance(grid[None]), 0.0), torch.rand(2), one, 0.1
        )
