"""Laws of the occupancy grid."""

import dataclasses

import pytest
import torch

from closed_forms import Ball, uncontract
from orefield.config import SamplerConfig
from orefield.samplers import OccupancySampler
from orefield.types import Rays
from strategies import seeded

RES = 16
CONFIG = SamplerConfig(
    kind="occupancy",
    resolution=RES,
    steps_per_diagonal=256,
    cone_angle=1 / 256,
    refresh_every=4,
    warmup=16,
)


def everything() -> torch.Tensor:
    return torch.arange(RES**3)


def refreshed(sampler: OccupancySampler, density, rounds: int = 1, seed: int = 0):
    generator = seeded(seed)
    for _ in range(rounds):
        sampler.refresh(everything(), density, generator)
    return sampler


def cell_distances(ball: Ball) -> torch.Tensor:
    """From the ball's center to the center of every cell."""
    axis = (torch.arange(RES) + 0.5) / RES
    centers = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1)
    return (centers - torch.tensor(ball.center)).norm(dim=-1)


def nothing(points: torch.Tensor) -> torch.Tensor:
    return torch.zeros(points.shape[1])


def test_refresh_finds_a_ball_and_little_else():
    ball = Ball(center=(0.4, 0.5, 0.7))
    occupied = refreshed(OccupancySampler(CONFIG, 0.0), ball.density, rounds=4).occupied[0]
    distance, half_diagonal = cell_distances(ball), 0.5 * 3**0.5 / RES
    assert occupied[distance < ball.radius - half_diagonal].all()
    assert not occupied[distance > ball.radius + half_diagonal].any()


def test_emptied_cells_are_forgotten_and_not_before():
    """Decay 0.95 takes density 10 below the threshold, 0.01 per step, in 38 refreshes or so."""
    ball = Ball(sigma=10.0)
    sampler = refreshed(OccupancySampler(CONFIG, 0.0), ball.density, rounds=4)
    inside = cell_distances(ball) < ball.radius - 0.06
    wall = torch.zeros(RES, RES, RES, dtype=torch.bool)
    wall[0] = True

    def only_the_wall(points: torch.Tensor) -> torch.Tensor:
        return 1000.0 * (points[0] < 1 / RES)

    refreshed(sampler, only_the_wall, rounds=5)
    assert sampler.occupied[0][inside].all()
    refreshed(sampler, only_the_wall, rounds=40)
    assert torch.equal(sampler.occupied[0], wall)


def test_the_grid_is_never_empty():
    sampler = refreshed(OccupancySampler(CONFIG, 0.0), nothing, rounds=3)
    assert sampler.occupied.all()


def test_where_all_density_is_small_cells_above_the_mean_stay_occupied():
    """Below the threshold everywhere, what is there can still grow."""
    occupied = refreshed(OccupancySampler(CONFIG, 0.0), lambda p: 1e-3 * (1 + p[0])).occupied
    assert 0.4 < occupied.float().mean() < 0.6
    assert occupied[0, -1].all()
    assert not occupied[0, 0].any()


def test_cells_no_camera_sees_are_never_occupied():
    covered = torch.zeros(1, RES, RES, RES, dtype=torch.bool)
    covered[:, :5] = True
    sampler = OccupancySampler(CONFIG, 0.0, covered)
    assert torch.equal(sampler.occupied, covered)
    for density in (lambda p: 100 * torch.ones(p.shape[1]), nothing):
        refreshed(sampler, density, rounds=2)
        assert not sampler.occupied[~covered].any()
        assert sampler.occupied.any()
    farthest = []

    def watched(points: torch.Tensor) -> torch.Tensor:
        farthest.append(points[0].max())
        return nothing(points)

    for step in range(0, 60, 4):
        sampler.update(step, watched, seeded(step))
    assert max(farthest) < 5 / RES


def test_updates_come_on_time():
    sampler, calls = OccupancySampler(CONFIG, 0.0), []

    def density(points: torch.Tensor) -> torch.Tensor:
        calls.append(points.shape[1])
        return 10 * (points[0] > 0.5).float()

    for step in range(24):
        before = len(calls)
        sampler.update(step, density, seeded(step))
        assert (len(calls) > before) == (step % 4 == 0)
    warm, later = calls[:4], calls[4:]
    assert warm == [RES**3] * 4
    # Afterwards: a quarter of the cells at random and as many occupied ones, less the repeated.
    assert all(RES**3 / 4 < cells <= RES**3 / 2 for cells in later)


def test_partial_updates_find_new_density_too():
    ball = Ball()
    sampler = OccupancySampler(CONFIG, 0.0)
    for step in range(0, 16, 4):
        sampler.update(step, lambda p: 1000.0 * (p[0] < 0.1), seeded(step))
    inside = cell_distances(ball) < ball.radius - 0.06
    assert not sampler.occupied[0][inside].any()
    for step in range(16, 16 + 4 * 30, 4):
        sampler.update(step, ball.density, seeded(step))
    assert sampler.occupied[0][inside].float().mean() > 0.99


def test_the_seed_decides_the_grid():
    ball = Ball(radius=0.21, sigma=3.0)
    grids = [
        refreshed(OccupancySampler(CONFIG, 0.0), ball.density, seed=seed).densities
        for seed in (1, 1, 2)
    ]
    assert torch.equal(grids[0], grids[1])
    assert not torch.equal(grids[0], grids[2])


def rays_through() -> Rays:
    generator = seeded(3)
    origins = torch.tensor([[-1.0, 0.5, 0.5]]).repeat(40, 1)
    directions = torch.rand(40, 3, generator=generator) - origins
    return Rays(origins, directions / directions.norm(dim=1, keepdim=True))


def test_samples_lie_in_the_ball_and_beyond_near():
    ball, rays = Ball(), rays_through()
    sampler = refreshed(OccupancySampler(CONFIG, 1.4), ball.density, rounds=4)
    samples = sampler(rays, None)
    assert len(samples) > 0
    assert (samples.t >= 1.4).all()
    away = (samples.positions.T - 0.5).norm(dim=1)
    assert (away < ball.radius + 3**0.5 / RES).all()
    assert (samples.dt == torch.tensor(3**0.5 / 256)).all()


def test_jitter_comes_from_the_generator_alone():
    sampler, rays = OccupancySampler(CONFIG, 0.0), rays_through()
    one, same, other = (sampler(rays, seeded(seed)).t for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(sampler(rays, None).t, sampler(rays, None).t)
    # A phase of its own for each ray, in [0, 1) steps.
    samples = sampler(rays, seeded(1))
    starts = samples.t[samples.spans[:, 0].long()] - 1 / rays.directions[:, 0]
    phases = starts / sampler.dt
    assert ((phases > -1e-3) & (phases < 1)).all()
    assert phases.std() > 0.2


def test_state_survives_a_round_trip():
    covered = torch.rand(1, RES, RES, RES, generator=seeded()) < 0.8
    sampler = refreshed(OccupancySampler(CONFIG, 0.1, covered), Ball().density)
    other = OccupancySampler(CONFIG, 0.1)
    stale = other.clear.clone()
    other.load_state_dict({name: value.clone() for name, value in sampler.state_dict().items()})
    for name in ("densities", "occupied", "covered", "clear"):
        assert torch.equal(getattr(other, name), getattr(sampler, name))
    # What follows from the occupied cells is not saved; it follows after loading, in place.
    assert "clear" not in sampler.state_dict()
    assert not torch.equal(other.grid.clear, stale)
    assert torch.equal(other(rays_through(), None).t, sampler(rays_through(), None).t)
    # From there on both go the same way, and on their own.
    for one in (sampler, other):
        one.update(400, Ball(radius=0.1).density, seeded(9))
    assert torch.equal(sampler.densities, other.densities)
    refreshed(sampler, nothing)
    assert not torch.equal(sampler.densities, other.densities)


def test_a_state_of_another_resolution_is_refused():
    small = OccupancySampler(dataclasses.replace(CONFIG, resolution=8), 0.0)
    with pytest.raises(RuntimeError, match="size mismatch for densities"):
        OccupancySampler(CONFIG, 0.0).load_state_dict(small.state_dict())
    state = OccupancySampler(CONFIG, 0.0).state_dict()
    del state["covered"]
    with pytest.raises(RuntimeError, match='"covered"'):
        OccupancySampler(CONFIG, 0.0).load_state_dict(state)


def test_a_ball_far_outside_the_box_is_found():
    """In the third level, contracted; and rays towards it have their samples in it."""
    center, radius = torch.tensor([1.9, 0.5, 0.5]), 0.3

    def density(contracted: torch.Tensor) -> torch.Tensor:
        away = (uncontract(contracted) - center[:, None]).norm(dim=0)
        return 50.0 * (away < radius)

    sampler = OccupancySampler(CONFIG, 0.0, background_extent=4)
    generator = seeded(1)
    for step in range(0, 16, 4):
        sampler.update(step, density, generator)
    samples = sampler(Rays(torch.full((1, 3), 0.5), torch.tensor([[1.0, 0.0, 0.0]])), None)
    assert len(samples) > 5
    points = uncontract(samples.positions)
    assert ((points - center[:, None]).norm(dim=0) < radius + 4 * 3**0.5 / RES).all()
    assert (samples.dt == torch.tensor(3**0.5 / 256)).all()
    assert not sampler.covered[
        1:, RES // 4 : -RES // 4, RES // 4 : -RES // 4, RES // 4 : -RES // 4
    ].any()


def test_a_refresh_evaluates_few_cells_where_there_are_many():
    config = dataclasses.replace(CONFIG, resolution=64, warmup=8)
    sampler, evaluated = OccupancySampler(config, 0.0, background_extent=16), []

    def density(points: torch.Tensor) -> torch.Tensor:
        evaluated.append(points.shape[1])
        return torch.ones(points.shape[1])

    for step in (0, 40):
        before = sum(evaluated)
        sampler.update(step, density, seeded(step))
        assert 2**16 < sum(evaluated) - before <= 2**17
