"""Laws of the projective coordinates of forward-facing captures."""

import pytest
import torch
from hypothesis import given

from orefield.ops.frustum import Frustum
from orefield.types import CubeRays, Rays
from strategies import SEEDS, seeded

AHEAD = Frustum(
    torch.eye(3, 4, dtype=torch.float64),
    torch.tensor([-1.0, -0.5], dtype=torch.float64),
    torch.tensor([1.0, 0.5], dtype=torch.float64),
    near=0.5,
)
"""A camera at the origin that looks along z."""


def some_frustum(seed: int) -> Frustum:
    generator = seeded(seed)
    turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))
    center = torch.randn(3, 1, generator=generator, dtype=torch.float64)
    low = -0.2 - torch.rand(2, generator=generator, dtype=torch.float64)
    high = 0.1 + torch.rand(2, generator=generator, dtype=torch.float64)
    near = 0.05 + float(torch.rand((), generator=generator))
    return Frustum(torch.cat((turn, center), 1), low, high, near)


def rays_into(frustum: Frustum, seed: int, count: int = 40) -> Rays:
    """From round the reference camera, before and behind its near plane, forward."""
    generator = seeded(seed + 1)
    local = torch.randn(2, count, 3, generator=generator, dtype=torch.float64) * frustum.near
    directions = local[1] / frustum.near * 0.4
    directions[:, 2] = 1
    directions = directions / directions.norm(dim=1, keepdim=True)
    turn = frustum.pose[:, :3]
    return Rays(local[0] @ turn.T + frustum.pose[:, 3], directions @ turn.T)


@given(SEEDS)
def test_it_has_an_inverse(seed):
    frustum = some_frustum(seed)
    points = torch.rand(3, 60, generator=seeded(seed), dtype=torch.float64) * 0.999
    torch.testing.assert_close(frustum.to_cube(frustum.to_scene(points)), points)


def test_corners_and_depths_in_closed_form():
    points = torch.tensor([[-0.5, -0.25, 0.5], [2.0, 0.0, 2.0], [0.0, 0.0, 5.0]]).double().T
    expected = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.5, 0.75], [0.5, 0.5, 0.9]]).double().T
    torch.testing.assert_close(AHEAD.to_cube(points), expected)


def test_points_behind_the_reference_camera_lie_outside_the_cube():
    behind = torch.tensor([[0.0, 0.1, 0.0], [0.0, 0.0, 0.2], [-1.0, 0.0, 0.2]]).double()
    assert (AHEAD.to_cube(behind)[2] < 0).all()


@given(SEEDS)
def test_a_rays_line_in_the_cube_is_the_image_of_the_ray(seed):
    """Positions on it are those of the distances that `to_scene` gives, which only grow."""
    frustum = some_frustum(seed)
    rays = rays_into(frustum, seed)
    cube = frustum.cube_rays(rays, near=0.01)
    torch.testing.assert_close(cube.lines.directions.norm(dim=1), cube.length / cube.length)
    last = torch.full_like(cube.start, -torch.inf)
    for share in torch.linspace(0, 0.98, 7).tolist():
        s = share * cube.length
        t = cube.to_scene(s)
        in_cube = cube.lines.origins + s[:, None] * cube.lines.directions
        in_scene = rays.origins + t[:, None] * rays.directions
        torch.testing.assert_close(frustum.to_cube(in_scene.T).T, in_cube)
        torch.testing.assert_close(cube.from_scene(t), s)
        assert (t > last).all()
        assert (t >= 0.01 - 1e-9).all()
        last = t
    assert cube.from_scene(cube.start - 1e-3).eq(0).all()


def test_without_a_frustum_lines_are_the_rays_and_distances_stay():
    rays = rays_into(AHEAD, 0)
    cube, t = CubeRays(rays), torch.rand(len(rays), generator=seeded())
    assert cube.lines is rays
    assert torch.equal(cube.to_scene(t), t)
    assert torch.equal(cube.from_scene(t), t)


def test_no_rays_are_no_lines():
    none = torch.zeros(0, 3).double()
    assert len(AHEAD.cube_rays(Rays(none, none), 0.1).lines) == 0


def test_a_ray_begins_at_the_near_plane_or_at_its_own_near_distance():
    ahead = torch.tensor([[0.0, 0.0, 1.0]]).double()
    for z, near, depth in ((0.0, 0.1, 0.5), (-1.0, 0.1, 0.5), (0.7, 0.1, 0.8), (0.45, 0.2, 0.65)):
        origin = torch.tensor([[0.0, 0.0, z]]).double()
        cube = AHEAD.cube_rays(Rays(origin, ahead), near)
        assert float(cube.lines.origins[0, 2]) == pytest.approx(1 - 0.5 / depth)
        assert float(cube.start) == pytest.approx(depth - z)


def test_a_ray_that_does_not_run_forward_misses_the_cube():
    directions = torch.tensor([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.6, 0.0, -0.8]]).double()
    cube = AHEAD.cube_rays(Rays(torch.zeros_like(directions), directions), 0.0)
    assert (cube.lines.origins > 1).all()
    assert (cube.lines.directions > 0).all()
    assert all(bool(values.isfinite().all()) for values in vars(cube.lines).values())


@given(SEEDS)
def test_numbers_say_all_of_it(seed):
    frustum = some_frustum(seed)
    again = Frustum.from_numbers(frustum.numbers())
    assert again.near == frustum.near
    for name in ("pose", "low", "high"):
        torch.testing.assert_close(getattr(again, name), getattr(frustum, name).float())
    assert Frustum.from_numbers(again.numbers()).numbers() == again.numbers()
