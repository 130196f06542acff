"""Laws of the cells that training cameras cover."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from orefield.cameras import Camera, panorama, pixel_directions
from orefield.ops.frustum import Frustum
from orefield.samplers import camera_coverage
from strategies import SEEDS, seeded

RES = 12
NARROW = Camera(40, 30, 60.0, 60.0, 20.0, 15.0)
WIDE = Camera(40, 30, 15.0, 15.0, 20.0, 15.0)  # 106 degrees across
OFF_CENTER = Camera(30, 40, 50.0, 40.0, 5.0, 33.0)
BARREL = Camera(40, 30, 30.0, 30.0, 20.0, 15.0, (-0.16, 0.0, 0.0, 0.0))  # bends its corners out
FISHEYE = Camera(40, 40, 20.0, 20.0, 20.0, 20.0, lens="fisheye")  # 162 degrees to its corners
BEHIND = Camera(40, 40, 12.0, 12.0, 14.0, 20.0, lens="fisheye")  # a corner is 157 off the axis


def looking_at(position: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    forward = target - position
    forward = forward / forward.norm()
    right = torch.linalg.cross(forward, torch.tensor([0.1, 0.3, 1.0]))
    right = right / right.norm()
    down = torch.linalg.cross(forward, right)
    return torch.stack([right, down, forward, position], 1)


def at(*position: float) -> torch.Tensor:
    """At this position, looking along +z; x right, y down."""
    return torch.cat([torch.eye(3), torch.tensor(position)[:, None]], 1)


@pytest.mark.parametrize(
    "camera", [NARROW, WIDE, OFF_CENTER, BARREL, FISHEYE, BEHIND, panorama(40, 20)]
)
@given(seed=SEEDS, near=st.sampled_from([0.0, 0.3]))
def test_whatever_shows_in_an_image_lies_in_a_seen_cell(camera, seed, near):
    generator = seeded(seed)
    position = 0.5 + 1.5 * torch.randn(3, generator=generator)
    pose = looking_at(position, torch.rand(3, generator=generator))
    seen = camera_coverage([(camera, pose)], RES, near)[0]
    size = torch.tensor([camera.width, camera.height])
    pixels = torch.rand(5000, 2, generator=generator) * size
    directions = pixel_directions(camera, pixels) @ pose[:, :3].T
    points = position + directions * (near + 4 * torch.rand(5000, 1, generator=generator))
    cells = (points * RES).floor().long()
    cells = cells[((cells >= 0) & (cells < RES)).all(1)]
    assert seen[cells[:, 0], cells[:, 1], cells[:, 2]].all()


def test_cells_behind_and_beside_the_camera_are_not_seen():
    seen = camera_coverage([(NARROW, at(0.5, 0.5, 0.5))], RES, 0.0)[0]
    assert seen[6, 6, 8:].all()
    assert not seen[:, :, :5].any()
    # At depth 0.4 the image is 0.27 wide: beyond 0.13 and a cell to the side there is nothing.
    assert not seen[:3, :, :].any()
    assert not seen[9:, :, :].any()


def test_a_fisheye_sees_a_cone_and_a_panorama_all_round():
    narrow = Camera(40, 40, 80.0, 80.0, 20.0, 20.0, lens="fisheye")  # 20 degrees to its corners
    seen = camera_coverage([(narrow, at(0.5, 0.5, 0.5))], RES, 0.0)[0]
    assert seen[6, 6, 8:].all()
    assert not seen[:, :, :5].any()
    assert not seen[:3, :, :].any()
    assert camera_coverage([(panorama(40, 20), at(0.5, 0.5, 0.5))], RES, 0.0).all()


def test_nothing_is_seen_before_near():
    axis = (torch.arange(RES) + 0.5) / RES
    centers = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1)
    distance = (centers - torch.tensor([0.5, 0.5, -1.0])).norm(dim=-1)
    seen = camera_coverage([(WIDE, at(0.5, 0.5, -1.0))], RES, 1.6)[0]
    assert not seen[distance < 1.6 - 3**0.5 / RES].any()
    assert seen[distance > 1.6].all()


def test_cameras_add_up():
    cameras = [(NARROW, at(0.2, 0.5, -1.0)), (OFF_CENTER, at(0.9, 0.5, 0.4))]
    both = camera_coverage(cameras, RES, 0.0)
    alone = [camera_coverage([camera], RES, 0.0) for camera in cameras]
    assert torch.equal(both, alone[0] | alone[1])
    assert not camera_coverage([], RES, 0.0).any()


def test_levels_miss_nothing_that_is_seen():
    """Every point in view lies in a seen cell, whatever its level; behind the camera none does."""
    seen = camera_coverage([(NARROW, at(0.5, 0.5, 0.5))], 32, 0.0, background_extent=4)
    assert seen.shape == (3, 32, 32, 32)
    for distance in (0.2, 0.45, 0.8, 1.4):
        level = max(math.ceil(math.log2(2 * distance)), 0)
        middle = int(((distance / 2**level) + 0.5) * 32)
        assert seen[level, 16, 16, middle]
        assert not seen[level, 16, 16, 3]


@pytest.mark.parametrize("camera", [NARROW, OFF_CENTER, BARREL])
@given(seed=SEEDS)
def test_whatever_shows_in_an_image_lies_in_a_seen_cell_of_a_frustum(camera, seed):
    generator = seeded(seed)
    frustum = Frustum(at(0.1, -0.2, 0.3), torch.full((2,), -1.5), torch.full((2,), 1.2), 0.4)
    pose = at(*(0.1 * torch.randn(3, generator=generator)).tolist())
    pose[:, :3] = looking_at(pose[:, 3], pose[:, 3] + torch.tensor([0.1, -0.2, 1.0]))[:, :3]
    seen = camera_coverage([(camera, pose)], RES, 0.0, frustum=frustum)[0]
    pixels = torch.rand(5000, 2, generator=generator)
    pixels *= torch.tensor([camera.width, camera.height])
    directions = pixel_directions(camera, pixels).float() @ pose[:, :3].T
    points = pose[:, 3] + directions / torch.rand(5000, 1, generator=generator)
    cells = (frustum.to_cube(points.T).T * RES).floor().long()
    cells = cells[((cells >= 0) & (cells < RES)).all(1)]
    assert len(cells) > 100
    assert seen[cells[:, 0], cells[:, 1], cells[:, 2]].all()


def test_cells_beside_a_narrow_camera_in_a_frustum_are_not_seen():
    """x / z from -1 to 1 in twelve cells, of which the image, a third to each side, shows four."""
    frustum = Frustum(at(0.0, 0.0, 0.0), -torch.ones(2), torch.ones(2), 0.4)
    seen = camera_coverage([(NARROW, at(0.0, 0.0, 0.0))], RES, 0.0, frustum=frustum)[0]
    assert seen[4:8, 5:7].all()
    assert not seen[:3].any()
    assert not seen[9:].any()
    assert not seen[:, :4].any()
    assert not seen[:, 8:].any()
