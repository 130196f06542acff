"""Camera paths about the subject of the photographs. Poses are camera to scene, OpenCV axes."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from orefield.cameras.focus import common_focus, nearly_parallel

_SURROUNDED = 0.5
"""Cameras surround the center if the mean of their unit directions from it is shorter than this."""
_SWAY = 0.7
"""Half axes of a swaying path, in standard deviations of the camera positions."""


def orbit(poses: Float[Tensor, "cameras 3 4"], frames: int) -> Float[Tensor, "frames 3 4"]:
    """A closed path about what the cameras look at.

    - Cameras all round a subject: a circle about it at their distance and mean height.
    - Cameras on one side of it (a bush, a front): a small ellipse about their mean position,
      because no photograph shows the other side. All frames look at the subject.
    - Cameras that look one way at nothing in common (a wall, the ground below a drone): the same
      ellipse, and all frames look that way.
    - Other cameras without a common point (photographs of a room from its middle): a full turn at
      the camera nearest to the middle.
    """
    given, poses = poses, poses.double()
    up, center = _unit(-poses[:, :, 1].mean(0)), common_focus(poses)
    if center is not None:
        path = _about(poses, center, up, frames)
    elif nearly_parallel(poses):
        view = _unit(poses[:, :, 2].mean(0))
        # Not the mean of all: over the ground drones turn round after each line.
        top = -poses[0, :, 1]
        up = _unit(top - (top @ view) * view)
        path = [look_at(p, p + view, up) for p in _ellipse(poses, view, up, frames)]
    else:
        middle = poses[:, :, 3].mean(0)
        nearest = poses[(poses[:, :, 3] - middle).norm(dim=1).argmin()]
        path = _turn(nearest, up if up.norm() > 0 else -nearest[:, 1], frames)
    return torch.stack(path).to(given)


def _about(
    poses: Float[Tensor, "cameras 3 4"],
    center: Float[Tensor, " 3"],
    up: Float[Tensor, " 3"],
    frames: int,
) -> list[Tensor]:
    """Poses of a path about `center`, all looking at it."""
    offsets = poses[:, :, 3] - center
    height = offsets @ up
    flat = offsets - height[:, None] * up
    towards = flat.mean(0)
    radius = flat.norm(dim=1).mean()
    a = _unit(towards if towards.norm() > 1e-3 * radius else _any_normal(up))
    b = torch.linalg.cross(up, a)
    if _unit(flat).mean(0).norm() < _SURROUNDED:
        around = [radius * (math.cos(t) * a + math.sin(t) * b) for t in _angles(frames)]
        positions = [center + p + height.mean() * up for p in around]
    else:
        positions = _ellipse(poses, a, up, frames)
    return [look_at(position, center, up) for position in positions]


def _ellipse(
    poses: Float[Tensor, "cameras 3 4"],
    view: Float[Tensor, " 3"],
    up: Float[Tensor, " 3"],
    frames: int,
) -> list[Tensor]:
    """Positions on an ellipse about the cameras' mean, across the direction of view."""
    b = torch.linalg.cross(up, view)
    offsets = poses[:, :, 3] - poses[:, :, 3].mean(0)
    side, rise = (_SWAY * (offsets @ axis).std(correction=0) for axis in (b, up))
    middle = poses[:, :, 3].mean(0)
    return [middle + side * math.cos(t) * b + rise * math.sin(t) * up for t in _angles(frames)]


def _turn(pose: Float[Tensor, "3 4"], up: Float[Tensor, " 3"], frames: int) -> list[Tensor]:
    """Poses of a full turn at a camera, from its own direction on, level."""
    level = pose[:, 2] - (pose[:, 2] @ up) * up
    a = _unit(level if level.norm() > 1e-3 else _any_normal(up))
    b = torch.linalg.cross(up, a)
    place = pose[:, 3]
    return [look_at(place, place + math.cos(t) * a + math.sin(t) * b, up) for t in _angles(frames)]


def _angles(frames: int) -> list[float]:
    return [2 * math.pi * i / frames for i in range(frames)]


def look_at(
    position: Float[Tensor, " 3"], target: Float[Tensor, " 3"], up: Float[Tensor, " 3"]
) -> Float[Tensor, "3 4"]:
    """The pose of a camera at `position` that looks at `target`, its top towards `up`."""
    forward = _unit(target - position)
    right = _unit(torch.linalg.cross(forward, up))
    down = torch.linalg.cross(forward, right)
    return torch.stack([right, down, forward, position], dim=1)


def _unit(vector: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    return torch.nn.functional.normalize(vector, dim=-1)


def _any_normal(up: Float[Tensor, " 3"]) -> Float[Tensor, " 3"]:
    normal: Tensor = torch.linalg.cross(up, torch.eye(3, dtype=up.dtype)[up.abs().argmin()])
    return normal
