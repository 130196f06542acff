"""Cameras as the page has them: quaternions, positions, vertical fields of view."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from orefield.cameras import Camera


def pose_of(
    wxyz: tuple[float, float, float, float], position: tuple[float, float, float]
) -> Float[Tensor, "3 4"]:
    """A pose, float64, from a quaternion, which need not have length one, and a position."""
    quaternion = torch.tensor(wxyz, dtype=torch.float64)
    w, x, y, z = (quaternion / quaternion.norm()).tolist()
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y), position[0]],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x), position[1]],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y), position[2]],
    ]
    return torch.tensor(rows, dtype=torch.float64)


def quaternion_of(pose: Float[Tensor, "3 4"]) -> tuple[float, float, float, float]:
    """The rotation of a pose as a quaternion (w, x, y, z) of length one."""
    r = pose[:, :3].double()
    # The eigenvector of the largest eigenvalue (Bar-Itzhack 2000), stable for every rotation.
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = r.tolist()
    symmetric = torch.tensor(
        [
            [xx + yy + zz, zy - yz, xz - zx, yx - xy],
            [zy - yz, xx - yy - zz, yx + xy, zx + xz],
            [xz - zx, yx + xy, yy - xx - zz, zy + yz],
            [yx - xy, zx + xz, zy + yz, zz - xx - yy],
        ],
        dtype=torch.float64,
    )
    w, x, y, z = torch.linalg.eigh(symmetric).eigenvectors[:, -1].tolist()
    return w, x, y, z


def vertical_fov(camera: Camera) -> float:
    """Vertical field of view of a camera in degrees; of a wide lens 120 at most."""
    if camera.lens == "perspective":
        return math.degrees(2 * math.atan(camera.height / 2 / camera.fy))
    return min(math.degrees(camera.height / camera.fy), 120.0)
