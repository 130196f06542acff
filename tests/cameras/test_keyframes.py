"""Laws of camera paths through keyframes."""

import builtins
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from orefield.cameras.keyframes import path_through, poses_at
from orefield.cameras.path_file import PathPose
from orefield.cameras.paths import look_at
from orefield.errors import CameraPathError


def keyframes(count: int) -> list[PathPose]:
    """Poses that look at the origin from here and there, far from the files' origin or near."""
    generator = torch.Generator().manual_seed(count)
    up = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    places = torch.randn(count, 3, generator=generator, dtype=torch.float64) + 3
    return [
        PathPose(look_at(place, 0.1 * place.flip(0), up), 30.0 + 7 * i)
        for i, place in enumerate(places)
    ]


def stacked(poses: tuple[PathPose, ...]) -> Tensor:
    return torch.stack([one.pose for one in poses])


@pytest.mark.parametrize("loop", [False, True])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_a_path_goes_through_its_keyframes(count: int, loop: bool) -> None:
    marks = keyframes(count)
    found = poses_at(marks, np.arange(count, dtype=float), loop)
    torch.testing.assert_close(stacked(found), stacked(tuple(marks)))
    assert [one.fov for one in found] == pytest.approx([one.fov for one in marks])


@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_looped_path_closes_smoothly(count: int) -> None:
    marks = keyframes(count)
    h = 1e-4
    before, end, start, after = poses_at(marks, np.array([count - h, count, 0.0, h]), True)
    torch.testing.assert_close(end.pose, start.pose)
    left, right = (end.pose - before.pose) / h, (after.pose - start.pose) / h
    torch.testing.assert_close(left, right, atol=2e-2, rtol=0)


def test_the_frames_of_an_open_path_reach_both_ends_and_those_of_a_loop_repeat_none() -> None:
    marks = keyframes(3)
    frames = path_through(marks, 5)
    torch.testing.assert_close(stacked(frames)[::2], stacked(tuple(marks)))
    looped = path_through(marks, 6, True)
    torch.testing.assert_close(stacked(looped)[::2], stacked(tuple(marks)))


@pytest.mark.parametrize("loop", [False, True])
def test_a_path_moves_with_its_keyframes(loop: bool) -> None:
    """A rigid motion, and a scale, of the keyframes is one of the frames."""
    marks = keyframes(4)
    angle = 0.7
    turn = torch.tensor(
        [[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]],
        dtype=torch.float64,
    )[:, [1, 2, 0]]
    shift = torch.tensor([[500.0], [-3.0], [2e5]], dtype=torch.float64)

    def moved(pose: Tensor) -> Tensor:
        return torch.cat([turn @ pose[..., :3], 3 * turn @ pose[..., 3:] + shift], -1)

    expected = moved(stacked(path_through(marks, 17, loop)))
    others = [PathPose(moved(one.pose), one.fov) for one in marks]
    found = stacked(path_through(others, 17, loop))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-9)


def test_every_frame_is_a_rotation_and_a_field_of_view() -> None:
    frames = path_through(
        [PathPose(k.pose, f) for k, f in zip(keyframes(4), (1.0, 179.0, 1.0, 90.0), strict=True)],
        50,
    )
    axes = stacked(frames)[:, :, :3]
    torch.testing.assert_close(axes.mT @ axes, torch.eye(3).double().expand(50, 3, 3))
    assert all(1 <= one.fov <= 179 for one in frames)


def test_no_keyframe_is_an_error() -> None:
    with pytest.raises(CameraPathError, match="0 keyframes"):
        path_through([], 10)


def test_without_scipy_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: object) -> object:
        if name.startswith("scipy"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(CameraPathError, match=r"pip install 'orefield\[viewer\]'"):
        path_through(keyframes(2), 10)
