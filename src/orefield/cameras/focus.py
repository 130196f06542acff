"""Where cameras look: the point nearest to their optical axes, and whether there is one."""

import torch
from jaxtyping import Float
from torch import Tensor

PARALLEL = 0.95
"""Cameras look one way if the mean of their unit axes is longer than this (18 degrees off)."""
MIN_AXIS_SPREAD = 3e-4
"""A focus needs axes whose mean squared sine to their common direction is at least this: one
degree. Calibration alone turns the axes of parallel cameras by as much, often all inward."""
CERTAIN = 4.0
"""A focus lies at least this many of its standard errors in front of the cameras. Axes with
independent errors alone come to that in less than 1 of 1,000 captures of ten photographs."""
ONE_PLACE = 1e-10
"""Cameras whose distances are below this share of their coordinates stand at one place."""


def nearly_parallel(poses: Float[Tensor, "cameras 3 4"]) -> bool:
    """Whether all cameras look one way, within about 18 degrees."""
    return float(poses[:, :, 2].mean(0).norm()) > PARALLEL


def at_one_place(positions: Float[Tensor, "cameras 3"]) -> bool:
    """Whether the cameras' distances are rounding errors of their coordinates, or zero."""
    away = (positions - positions.mean(0)).abs().max()
    return bool(away <= ONE_PLACE * positions.abs().max())


def look_at_point(poses: Float[Tensor, "cameras 3 4"]) -> Float[Tensor, " 3"]:
    """The point nearest to all optical axes, in least squares.

    Parallel axes determine it only across their direction; along it, it is level with the mean of
    the camera positions.
    """
    middle = poses[:, :, 3].mean(0)
    offsets = poses[:, :, 3] - middle  # small numbers, wherever the origin lies
    across = _across(poses)
    right = (across @ offsets[:, :, None]).sum(0)
    # The pseudoinverse leaves out the direction that parallel axes do not determine.
    offset: Tensor = (torch.linalg.pinv(across.sum(0), rtol=1e-6, hermitian=True) @ right)[:, 0]
    return middle + offset


def common_focus(
    poses: Float[Tensor, "cameras 3 4"], certain: float = CERTAIN
) -> Float[Tensor, " 3"] | None:
    """The point that the cameras look at: nearest to all optical axes, in least squares.

    None if they look at no common point: it is not in front of most cameras, or the axes do not
    determine it. They do if its distance in front of the cameras (the median along their axes) is
    more than `certain` times its standard error. That error follows from how far the axes pass it
    by and, along the direction in which they determine it least, from the angles between them.
    Where cameras look at nothing in common, a drone's straight down or a person's round a room, the
    distance is as often negative as positive, and seldom twice its error; for photographs of an
    object it is tens to hundreds of times its error.
    """
    poses = poses.double()
    positions, axes = poses[:, :, 3], poses[:, :, 2]
    along = float(torch.linalg.eigvalsh(axes.T @ axes / len(axes))[-1])  # mean squared cosine
    if 1 - along < MIN_AXIS_SPREAD or at_one_place(positions):
        return None
    focus = look_at_point(poses)
    across, away = _across(poses), focus - positions
    missed = (across @ away[:, :, None]).square().sum()
    # Each axis gives two equations; three of them go into the point.
    variance = missed / (2 * len(poses) - 3) / torch.linalg.eigvalsh(across.sum(0))[0]
    ahead = (away * axes).sum(1).median()
    return focus if bool(ahead > 0) and bool(ahead > certain * variance.sqrt()) else None


def _across(poses: Float[Tensor, "cameras 3 4"]) -> Float[Tensor, "cameras 3 3"]:
    """Projectors I - a a^T onto the plane across each axis: (point - position) across it."""
    axes = poses[:, :, 2]
    return torch.eye(3, dtype=axes.dtype) - axes[:, :, None] * axes[:, None, :]
