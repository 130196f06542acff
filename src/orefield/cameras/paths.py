"""Camera paths about the subject of the photographs. Poses are camera to scene, OpenCV axes."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

_SURROUNDED = 0.5
"""Cameras surround the center if the mean of their unit directions from it is shorter than this."""
_SWAY = 0.7
"""Half axes of a swaying path, in standard deviations of the camera positions."""


def orbit(poses: Float[Tensor, "cameras 3 4"], frames: int) -> Float[Tensor, "frames 3 4"]:
    """A closed path at the cameras' distance, looking at the point they look at.

    Where the cameras stand all round their subject this is a circle about it, at their mean height.
    Where they face one way (a wall, a bush) it is a small ellipse about their mean position,
    because no photograph shows the other side.
    """
    center, up = look_at_point(poses), _unit(-poses[:, :, 1].mean(0))
    offsets = poses[:, :, 3] - center
    height = offsets @ up
    flat = offsets - height[:, None] * up
    towards = flat.mean(0)
    radius = flat.norm(dim=1).mean()
    a = _unit(towards if towards.norm() > 1e-3 * radius else _any_normal(up))
    b = torch.linalg.cross(up, a)
    angles = [2 * math.pi * i / frames for i in range(frames)]
    if _unit(flat).mean(0).norm() < _SURROUNDED:
        around = [radius * (math.cos(t) * a + math.sin(t) * b) for t in angles]
        positions = [center + p + height.mean() * up for p in around]
    else:
        side, rise = _SWAY * (flat @ b).std(), _SWAY * height.std()
        middle = poses[:, :, 3].mean(0)
        positions = [middle + side * math.cos(t) * b + rise * math.sin(t) * up for t in angles]
    return torch.stack([look_at(position, center, up) for position in positions])


def look_at_point(poses: Float[Tensor, "cameras 3 4"]) -> Float[Tensor, " 3"]:
    """The point nearest to all optical axes, in least squares.

    Parallel axes determine it only across their direction; along it, it is level with the mean of
    the camera positions.
    """
    axes, middle = poses[:, :, 2], poses[:, :, 3].mean(0)
    # Distance from an axis: the part of (point - position) across it, by the projector I - a a^T.
    across = torch.eye(3, dtype=axes.dtype) - axes[:, :, None] * axes[:, None, :]
    right = (across @ (poses[:, :, 3] - middle)[:, :, None]).sum(0)
    # The pseudoinverse leaves out the direction that parallel axes do not determine.
    offset: Tensor = (torch.linalg.pinv(across.sum(0), rtol=1e-6, hermitian=True) @ right)[:, 0]
    return middle + offset


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
    normal: Tensor = torch.linalg.cross(up, torch.eye(3)[up.abs().argmin()])
    return normal
