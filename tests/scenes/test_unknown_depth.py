"""Boxes of captures whose cameras look at no common point: only their spacing gives a length."""

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from orefield.cameras import Camera, panorama
from orefield.scenes.dataparsers.parsed_scene import Frame
from orefield.scenes.scene_bounds import half_overlap_depth
from orefield.scenes.scene_box import find_box

CAMERA = Camera(120, 80, 110.0, 110.0, 60.0, 40.0)
WIDE, HIGH = 120 / 110, 80 / 110
"""Width and height of what the camera sees, at depth 1."""


def turned(axis, degrees):
    """The rotation by these angles about one axis: a tensor of angles to one of matrices."""
    angles = torch.deg2rad(degrees)
    matrices = torch.eye(3, dtype=torch.float64).repeat(len(angles), 1, 1)
    i, j = [k for k in range(3) if k != axis]
    matrices[:, i, i] = matrices[:, j, j] = angles.cos()
    matrices[:, i, j], matrices[:, j, i] = -angles.sin(), angles.sin()
    return matrices


def frames_of(rotations, positions, camera=CAMERA):
    poses = torch.cat((rotations, positions[..., None]), 2)
    return [Frame("x", Path("flight/x.jpg"), None, camera, pose) for pose in poses]


def flight(seed, count, height, overlap, degrees, lines=1):
    """A drone's photographs straight down, line by line, with a gimbal off by so many degrees.

    Along a line photographs share `overlap` of what they show, and lines share as much. It turns
    round after each line, and is blown off its places by a twentieth of their distance.
    """
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    step = torch.tensor([WIDE, HIGH]).double() * height * (1 - overlap)
    per_line = -(-count // lines)
    index = torch.arange(count)
    line, along = index // per_line, index % per_line
    along = torch.where(line % 2 == 1, per_line - 1 - along, along)
    ground = torch.stack((line, along), 1) * step
    positions = torch.cat((ground, torch.full((count, 1), height, dtype=torch.float64)), 1)
    positions += 0.05 * step.min() * noise(count, 3)
    down = torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))
    yaw = turned(2, 180.0 * (line % 2) + 3 * noise(count))
    pitch, roll = (turned(axis, degrees * noise(count)) for axis in (0, 1))
    return frames_of(yaw @ pitch @ roll @ down, positions)


def terrain(frames, height, relief, seed):
    """Points that the photographs show: ground at 0, hills and holes up to `relief` heights."""
    generator = torch.Generator().manual_seed(seed)
    positions = torch.stack([frame.pose[:, 3] for frame in frames])
    shifts = torch.rand((len(frames), 30, 3), generator=generator, dtype=torch.float64) - 0.5
    shifts *= torch.tensor([WIDE, HIGH, 2 * relief]).double() * height
    points = positions[:, None] + shifts
    points[:, :, 2] -= positions[:, None, 2]
    return points.view(-1, 3)


@settings(max_examples=60)
@given(
    st.integers(0, 10_000),
    st.integers(10, 100),
    st.sampled_from([0.3, 50.0, 2500.0]),
    st.floats(0.5, 0.99),
    st.floats(0.05, 3.0),
    st.sampled_from([1, 2, 5]),
    st.sampled_from([0, 1]),
)
def test_the_ground_below_a_drone_can_be_rendered(
    seed, count, height, overlap, degrees, lines, extent
):
    if extent == 1:
        overlap = min(overlap, 0.9)
    frames = flight(seed, count, height, overlap, degrees, lines)
    points = terrain(frames, height, 0.25, seed)
    box = find_box(frames, True, background_extent=extent)
    positions = torch.stack([frame.pose[:, 3] for frame in frames])
    assert box.near < torch.cdist(points, positions).min()
    offsets = (points - box.center).abs().amax(1)
    assert offsets.max() < box.half * box.background_extent
    spread = float((positions - positions.mean(0)).norm(dim=1).max())
    assert 0.8 * spread < box.half < (6 if extent == 1 else 2) * max(spread, height)


@pytest.mark.parametrize("degrees", [0.0, 0.1, 1.0])
def test_a_wall_along_which_one_walks_can_be_rendered(degrees):
    """Cameras on a line, level, that all look the same way; far origins too."""
    for seed, far in ((0, 0.0), (1, 5.6e6)):
        generator = torch.Generator().manual_seed(seed)
        yaw = degrees * torch.randn(20, generator=generator, dtype=torch.float64)
        along = torch.arange(20, dtype=torch.float64)
        positions = torch.stack((0.4 * along + far, 0 * along, 0 * along), 1)
        box = find_box(frames_of(turned(1, yaw), positions), opaque=True)
        assert box.near < 1.0
        assert box.center[2] + box.half * box.background_extent > 20
        assert box.half < 10


def test_neighbours_share_half_at_the_depth_that_their_distances_give():
    """There the next camera's axis, 3 to the side, meets the border of the image."""
    positions = torch.tensor([[0.0, 0, 0], [3, 0, 0], [6, 0, 0], [9, 0, 0]], dtype=torch.float64)
    straight = torch.eye(3, dtype=torch.float64).repeat(4, 1, 1)
    expected = 3 * 110 / 60
    assert half_overlap_depth(frames_of(straight, positions)) == pytest.approx(expected)
    # Of several photographs at one place, the next place counts.
    twice = frames_of(straight.repeat(2, 1, 1), positions.repeat(2, 1))
    assert half_overlap_depth(twice) == pytest.approx(expected)
    assert half_overlap_depth(twice[:1]) is None
    # Of very many cameras, some look for their neighbours among all; most have this lens.
    many = torch.arange(2500, dtype=torch.float64)[:, None] * torch.tensor([[3.0, 0, 0]]).double()
    turns, longer = straight[:1].expand(2500, 3, 3), Camera(120, 80, 220.0, 220.0, 60.0, 40.0)
    row = frames_of(turns[:900], many[:900]) + frames_of(turns[900:], many[900:], longer)
    assert half_overlap_depth(row) == pytest.approx(2 * expected)


def test_axes_that_calibration_bends_inward_are_still_parallel():
    """Photographs of flat ground leave a dome: axes that meet, exactly, far below the ground."""
    frames = flight(0, 100, 50.0, 0.7, 0.0, lines=8)
    positions = torch.stack([frame.pose[:, 3] for frame in frames])
    middle = positions.mean(0)
    for depth, most in ((20_000.0, 400.0), (1500.0, 3000.0)):
        tilt = torch.rad2deg((positions - middle) / depth)
        down = torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))
        inward = turned(0, -tilt[:, 1]) @ turned(1, -tilt[:, 0]) @ down
        box = find_box(frames_of(inward, positions), opaque=True)
        points = terrain(frames, 50.0, 0.2, 0)
        assert box.near < torch.cdist(points, positions).min()
        assert (points - box.center).abs().max() < box.half * box.background_extent
        assert box.half < most


def outward(count, radius, camera=CAMERA):
    """Level photographs in all directions from a circle, as taken at arm's length."""
    turns = torch.arange(count, dtype=torch.float64) * 360 / count
    rotations = turned(1, turns)
    return frames_of(rotations, radius * rotations[:, :, 2], camera)


def walk(camera):
    """Places along a bent path through a room of 6 by 4, the camera's front wherever it goes."""
    along = torch.linspace(0, 1, 30, dtype=torch.float64)
    positions = torch.stack((5 * along - 2.5, 0 * along, 1.2 * (5 * along).sin()), 1)
    return frames_of(turned(1, 90.0 - 60 * (5 * along).cos()), positions, camera)


@pytest.mark.parametrize("frames", [outward(24, 0.4), outward(60, 1.0), walk(panorama(80, 40))])
def test_a_room_photographed_from_inside_can_be_rendered(frames):
    """Walls 2 and 3 from the middle."""
    positions = torch.stack([frame.pose[:, 3] for frame in frames])
    for extent in (0, 1):
        box = find_box(frames, True, background_extent=extent)
        assert ((positions - box.center).abs() < box.half).all()
        assert 0 < box.near < 0.4
        assert box.half < 40
        if extent == 0:
            assert box.half * box.background_extent > 3 + float(box.center.abs().max())


def test_what_is_in_front_of_a_panorama_counts_no_more_than_the_rest():
    """Turning all such cameras in place changes nothing, though their axes meet in a point."""
    camera, turns = panorama(80, 40), torch.arange(12, dtype=torch.float64) * 30
    inward = turned(1, turns)
    positions = -2 * inward[:, :, 2]
    one = find_box(frames_of(inward, positions, camera), opaque=True)
    other = find_box(frames_of(turned(0, turns), positions, camera), opaque=True)
    torch.testing.assert_close(one.center, other.center)
    # It holds what any of them, 2 from the middle, shows to any side where neighbours share 3/4.
    depth = half_overlap_depth(frames_of(inward, positions, camera))
    assert one.half == pytest.approx(2 + 2 * depth)
    assert (one.half, one.near) == pytest.approx((other.half, other.near))


def test_cameras_that_look_up_and_down_have_a_box_round_them_all():
    places = torch.cartesian_prod(torch.arange(4.0), torch.arange(3.0)).double()
    positions = torch.cat((3 * places, torch.zeros(12, 1, dtype=torch.float64)), 1)
    halves = turned(0, 180.0 * (torch.arange(12) % 2).double())
    box = find_box(frames_of(halves, positions), opaque=True)
    assert ((positions - box.center).abs() < box.half).all()
    assert box.near < half_overlap_depth(frames_of(halves, positions))


@pytest.mark.parametrize("gap", [0.1, 2.0])
def test_two_parallel_cameras_have_a_box(gap):
    positions = torch.tensor([[0.0, 0, 0], [gap, 0, 0]], dtype=torch.float64)
    box = find_box(frames_of(torch.eye(3).double().repeat(2, 1, 1), positions), opaque=True)
    assert math.isclose(box.near, 0.2 * gap * 110 / 60)
    assert ((positions - box.center).abs() < box.half).all()
