"""Which cells of the grid any training camera sees."""

from collections.abc import Iterable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from orefield.cameras import Camera


def seen_cells(
    cameras: Iterable[tuple[Camera, Float[Tensor, "3 4"]]], resolution: int, near: float
) -> Bool[Tensor, "res res res"]:
    """Cells whose centre, widened by a cell's diagonal, falls into some image in front of `near`.

    Poses are camera to scene, OpenCV axes, in units of the cube.
    """
    axis = (torch.arange(resolution) + 0.5) / resolution
    centres = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).view(-1, 3)
    reach = 0.5 * 3**0.5 / resolution
    seen = torch.zeros(len(centres), dtype=torch.bool)
    for camera, pose in cameras:
        left = (~seen).nonzero()[:, 0]
        local = (centres[left] - pose[:, 3]) @ pose[:, :3]
        depth = local[:, 2]
        margin = reach * max(camera.fx, camera.fy) / depth.clamp(min=reach)
        # Distortion bends rays far outside the image; the pinhole bound with a margin is enough
        # here.
        x = camera.fx * local[:, 0] / depth.clamp(min=1e-6) + camera.cx
        y = camera.fy * local[:, 1] / depth.clamp(min=1e-6) + camera.cy
        inside = (x > -margin) & (x < camera.width + margin)
        inside &= (y > -margin) & (y < camera.height + margin)
        seen[left[inside & (depth > near - reach)]] = True
    return seen.view(resolution, resolution, resolution)
