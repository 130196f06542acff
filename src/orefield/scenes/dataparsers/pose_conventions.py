"""Camera poses from files: checked to be rigid, and turned to OpenCV axes."""

import torch
from jaxtyping import Float
from torch import Tensor

from orefield.types import SceneError

ROUNDING = 1e-3
"""How far the axes of a pose may be from equal lengths and right angles, because files round."""


def rigid(pose: Float[Tensor, "3 4"], where: str) -> Float[Tensor, "3 4"]:
    """The pose with its 3 x 3 part, up to rounding and a scale, replaced by the nearest rotation.

    Raises SceneError, naming `where`, for numbers that are not finite and for anything but a
    rotation: axes of different length, oblique axes, a mirror image.
    """
    if not bool(pose.isfinite().all()):
        raise SceneError(f"{where} must hold finite numbers")
    u, lengths, vt = torch.linalg.svd(pose[:, :3].double())
    # The singular values of a rotation times a scale are all that scale.
    if lengths[2] <= 0 or lengths[0] / lengths[2] > 1 + ROUNDING:
        raise SceneError(
            f"{where} must be rigid: its 3 x 3 part stretches lengths by {lengths[2]:.4g} to "
            f"{lengths[0]:.4g}, expected a rotation"
        )
    rotation = u @ vt
    if torch.linalg.det(rotation) < 0:
        raise SceneError(f"{where} must be rigid: its 3 x 3 part mirrors, expected a rotation")
    return torch.cat((rotation, pose[:, 3:].double()), dim=1)


def from_opengl(pose: Float[Tensor, "3 4"]) -> Float[Tensor, "3 4"]:
    """From OpenGL camera axes (x right, y up, z backward) to OpenCV's."""
    return pose * pose.new_tensor([1, -1, -1, 1])


def from_llff(pose: Float[Tensor, "3 4"]) -> Float[Tensor, "3 4"]:
    """From LLFF camera axes (x down, y right, z backward) to OpenCV's."""
    return torch.stack((pose[:, 1], pose[:, 0], -pose[:, 2], pose[:, 3]), dim=1)
