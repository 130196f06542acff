"""Which cells of the grid any training camera sees."""

from collections.abc import Iterable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from orefield.cameras import Camera


def seen_cells(
    cameras: Iterable[tuple[Camera, Float[Tensor, "3 4"]]], resolution: int, near: float
) -> Bool[Tensor, "res res res"]:
    """Cells whose surrounding ball meets some camera's pyramid of view beyond distance `near`.

    Poses are camera to scene, OpenCV axes, in units of the cube.
    """
    axis = (torch.arange(resolution) + 0.5) / resolution
    centres = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).view(-1, 3)
    reach = 0.5 * 3**0.5 / resolution
    seen = torch.zeros(len(centres), dtype=torch.bool)
    for camera, pose in cameras:
        left = (~seen).nonzero()[:, 0]
        local = (centres[left] - pose[:, 3]) @ pose[:, :3]
        inside = (local[:, 2] > -reach) & (local.norm(dim=1) > near - reach)
        # The pyramid's sides, facing inward. Distortion bends rays by less than a cell or two.
        for normal in _sides(camera):
            inside &= local @ normal > -reach
        seen[left[inside]] = True
    return seen.view(resolution, resolution, resolution)


def _sides(camera: Camera) -> Float[Tensor, "4 3"]:
    """Unit normals of the planes through the camera and an edge of its image, facing inward."""
    left, right = -camera.cx / camera.fx, (camera.width - camera.cx) / camera.fx
    top, bottom = -camera.cy / camera.fy, (camera.height - camera.cy) / camera.fy
    planes = [(1.0, 0.0, -left), (-1.0, 0.0, right), (0.0, 1.0, -top), (0.0, -1.0, bottom)]
    normals = torch.tensor(planes)
    unit: Tensor = normals / normals.norm(dim=1, keepdim=True)
    return unit
