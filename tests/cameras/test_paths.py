from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from orefield.cameras.focus import look_at_point
from orefield.cameras.paths import look_at, orbit
from orefield.report.video import can_write_video, write_video

CENTER = torch.tensor([0.5, 0.4, 0.6])
UP = torch.tensor([0.0, 0.0, 1.0])


def ring(count: int, turn: float, radius: float = 2.0, height: float = 0.7) -> torch.Tensor:
    """Cameras on the part `turn` of a circle about CENTER, all looking at it."""
    angles = torch.arange(count) / count * turn * 2 * torch.pi
    offsets = torch.stack([angles.cos() * radius, angles.sin() * radius], 1)
    positions = CENTER + torch.cat([offsets, torch.full((count, 1), height)], 1)
    return torch.stack([look_at(position, CENTER, UP) for position in positions])


def test_look_at_gives_a_rotation_whose_axis_meets_the_target() -> None:
    pose = look_at(torch.tensor([2.0, -1.0, 3.0]), CENTER, UP)
    rotation = pose[:, :3]
    torch.testing.assert_close(rotation @ rotation.T, torch.eye(3))
    assert torch.det(rotation).item() == pytest.approx(1, abs=1e-5)
    distance = (CENTER - pose[:, 3]).norm()
    torch.testing.assert_close(pose[:, 3] + distance * pose[:, 2], CENTER)
    assert pose[:, 1] @ UP < 0  # the picture's y axis points down


def test_the_point_looked_at_is_found() -> None:
    torch.testing.assert_close(look_at_point(ring(12, 1.0)), CENTER, atol=1e-5, rtol=0)


def test_parallel_cameras_still_have_a_finite_point() -> None:
    poses = ring(1, 1.0).repeat(3, 1, 1)
    poses[:, :, 3] += 0.1 * torch.eye(3)
    assert torch.isfinite(orbit(poses, 4)).all()


DOWN = torch.diag(torch.tensor([1.0, -1.0, -1.0]))


def test_frames_over_the_ground_look_down_from_among_the_cameras() -> None:
    """A drone that turns round after each line, its gimbal off by a tenth of a degree."""
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        x, y = torch.cartesian_prod(torch.arange(6.0), torch.arange(4.0)).unbind(1)
        positions = torch.stack((x, y, torch.full_like(x, 0.9)), 1)
        turn = 1 - 2 * (y % 2)
        rotations = torch.diag_embed(torch.stack((turn, turn, torch.ones_like(x)), 1)) @ DOWN
        tilted = rotations[:, :, 2] + 0.002 * torch.randn((24, 3), generator=generator)
        rotations[:, :, 2] = torch.nn.functional.normalize(tilted, dim=1)
        path = orbit(torch.cat((rotations, positions[:, :, None]), 2), 12)
        assert (path[:, 2, 2] < -0.99).all()
        torch.testing.assert_close(
            path[:, :, :3].transpose(1, 2) @ path[:, :, :3], torch.eye(3).repeat(12, 1, 1)
        )
        assert (path[:, :, 3] >= positions.amin(0) - 1e-2).all()
        assert (path[:, :, 3] <= positions.amax(0) + 1e-2).all()
        assert len(path[:, :2, 3].unique(dim=0)) > 6  # it moves


@pytest.mark.parametrize("radius", [0.0, 0.3])
def test_frames_of_a_room_turn_once_at_one_of_its_cameras(radius: float) -> None:
    outward = ring(12, 1.0)
    outward[:, :, :3] = outward[:, :, :3] @ torch.diag(torch.tensor([-1.0, 1.0, -1.0]))
    outward[:, :, 3] = CENTER + radius * outward[:, :, 2]
    path = orbit(outward, 8)
    assert torch.isfinite(path).all()
    assert (path[:, :, 3] == path[0, :, 3]).all()
    assert (outward[:, :, 3] - path[0, :, 3]).norm(dim=1).min() < 1e-5
    torch.testing.assert_close(path[:, :, 2].sum(0), torch.zeros(3), atol=1e-5, rtol=0)
    assert (-path[:, :, 1] @ UP > 0.99).all()  # level


def test_a_single_camera_gives_frames_that_see_what_it_sees() -> None:
    path = orbit(ring(1, 1.0), 3)
    torch.testing.assert_close(path, ring(1, 1.0).expand(3, 3, 4), atol=1e-5, rtol=0)


@given(st.integers(3, 40), st.integers(1, 20))
def test_cameras_all_round_give_a_circle_at_their_distance(count: int, frames: int) -> None:
    poses = orbit(ring(count, 1.0), frames)
    assert poses.shape == (frames, 3, 4)
    offsets = poses[:, :, 3] - CENTER
    torch.testing.assert_close(
        offsets[:, :2].norm(dim=1), torch.full((frames,), 2.0), rtol=1e-3, atol=0
    )
    torch.testing.assert_close(offsets[:, 2], torch.full((frames,), 0.7), rtol=1e-3, atol=0)
    assert (-poses[:, :, 1] @ UP > 0.5).all()  # the right way up


def test_cameras_on_one_side_give_a_path_that_stays_among_them() -> None:
    given_poses = ring(20, 0.15)
    path = orbit(given_poses, 16)[:, :, 3]
    low, high = given_poses[:, :, 3].amin(0) - 0.05, given_poses[:, :, 3].amax(0) + 0.05
    # Sideways and up; along the view a chord lies a little nearer than its arc.
    assert ((path - CENTER).norm(dim=1) > 1.5).all()
    assert (path[:, 2] <= high[2]).all()
    assert (path[:, 1] >= low[1]).all()
    assert (path[:, 1] <= high[1]).all()


@pytest.mark.skipif(not can_write_video(), reason="the extra 'video' is not installed")
def test_a_video_holds_every_frame_in_order(tmp_path: Path) -> None:
    import av

    files = []
    for index in range(5):
        pixels = np.full((33, 47, 3), 50 * index, np.uint8)  # odd sizes lose a row and a column
        files.append(tmp_path / f"{index}.png")
        Image.fromarray(pixels).save(files[-1])
    write_video(tmp_path / "video.mp4", files, rate=10)
    with av.open(str(tmp_path / "video.mp4")) as container:
        assert container.streams.video[0].average_rate == 10
        frames = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
    assert frames.shape == (5, 32, 46, 3)
    means = frames.reshape(5, -1).mean(1)
    assert np.abs(means - 50 * np.arange(5)).max() < 4
