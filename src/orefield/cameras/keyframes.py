"""A smooth camera path through keyframes.

Each transition from one keyframe to the next takes the same time: keyframe i has time i, and on a
closed path the first has also the time that follows the last.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from orefield.cameras.path_file import PathPose
from orefield.errors import CameraPathError

_LEAST_FOV, _LARGEST_FOV = 1.0, 179.0


def path_through(
    keyframes: Sequence[PathPose], frames: int, loop: bool = False
) -> tuple[PathPose, ...]:
    """So many frames, evenly spaced in time, from the first keyframe to the last.

    With `loop` back to the first, which is not repeated at the end. Raises CameraPathError where
    there is no keyframe or no frame, or without scipy.
    """
    if not keyframes or frames < 1:
        got = f"{len(keyframes)} keyframes and {frames} frames"
        raise CameraPathError(f"a camera path needs a keyframe and a frame, got {got}")
    last = len(keyframes) if loop else len(keyframes) - 1
    return poses_at(keyframes, np.linspace(0, last, frames, endpoint=not loop), loop)


def poses_at(
    keyframes: Sequence[PathPose], times: Float[np.ndarray, " times"], loop: bool = False
) -> tuple[PathPose, ...]:
    """Poses of the path at times from 0 to the last keyframe's, or with `loop` one more.

    Positions follow a cubic spline, rotations one whose angular velocity is smooth, fields of view
    a monotone one, in [1, 179] degrees. Raises CameraPathError without scipy.
    """
    if len(keyframes) == 1:
        return tuple(keyframes) * len(times)
    try:
        from scipy.interpolate import CubicSpline, PchipInterpolator
        from scipy.spatial.transform import Rotation, RotationSpline
    except ImportError:
        raise CameraPathError(
            "smooth camera paths need scipy: pip install 'orefield[viewer]'"
        ) from None
    poses = torch.stack([one.pose.double() for one in keyframes]).numpy()
    fovs = np.array([one.fov for one in keyframes])
    knots = np.arange(len(keyframes))
    places = CubicSpline(knots, poses[:, :, 3], bc_type="natural")
    if loop:
        closed = np.concatenate([poses[:, :, 3], poses[:1, :, 3]])
        places = CubicSpline(np.arange(len(closed)), closed, bc_type="periodic")
        # Rotations and fields of view have no closed splines: what goes round several times has
        # the same velocity at both ends of a turn in the middle, to within rounding.
        turns = 2 + -(-8 // len(keyframes))
        around = np.tile(knots, 2 * turns + 1)
        poses, fovs = poses[around], fovs[around]
        knots = np.arange(len(around)) - turns * len(knots)
    rotations = RotationSpline(knots, Rotation.from_matrix(poses[:, :, :3]))(times).as_matrix()
    degrees = PchipInterpolator(knots, fovs)(times).clip(_LEAST_FOV, _LARGEST_FOV)
    return tuple(
        PathPose(_pose(rotation, place), float(fov))
        for rotation, place, fov in zip(rotations, places(times), degrees, strict=True)
    )


def _pose(
    rotation: Float[np.ndarray, "3 3"], place: Float[np.ndarray, " 3"]
) -> Float[Tensor, "3 4"]:
    return torch.from_numpy(np.concatenate([rotation, place[:, None]], 1))
