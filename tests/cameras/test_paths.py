from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from orefield.cameras.paths import look_at, look_at_point, orbit
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
    import imageio.v3 as iio

    files = []
    for index in range(5):
        pixels = np.full((33, 47, 3), 50 * index, np.uint8)  # odd sizes lose a row and a column
        files.append(tmp_path / f"{index}.png")
        Image.fromarray(pixels).save(files[-1])
    write_video(tmp_path / "video.mp4", files, rate=10)
    frames = iio.imread(tmp_path / "video.mp4", plugin="pyav")
    assert frames.shape == (5, 32, 46, 3)
    means = frames.reshape(5, -1).mean(1)
    assert np.abs(means - 50 * np.arange(5)).max() < 4
