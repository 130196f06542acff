"""Surface normals of a rendered view, from its median depth."""

import torch
from jaxtyping import Float
from torch import Tensor

from orefield.cameras import Camera, view_rays


def view_normals(
    camera: Camera, pose: Float[Tensor, "3 4"], depth: Float[Tensor, "height width"]
) -> Float[Tensor, "height width 3"]:
    """Unit vectors, in scene axes, towards the camera's side of the surface; zero where it is not.

    `depth`: distance along the ray through each pixel's center, 0 where nothing is. The normal is
    that of the plane through the neighbors across and down; of the two on either side, the one
    whose depth is nearer to the pixel's, so that edges of surfaces stay sharp.
    """
    rays = view_rays(camera, pose)
    shape = (camera.height, camera.width, 3)
    directions = rays.directions.view(shape)
    points = rays.origins.view(shape) + depth[..., None] * directions
    across, down = (_slope(points, depth, axis) for axis in (1, 0))
    normals = torch.nn.functional.normalize(torch.linalg.cross(across, down), dim=-1)
    away = (normals * directions).sum(-1, keepdim=True) > 0
    solid = (depth > 0)[..., None]
    return torch.where(solid, torch.where(away, -normals, normals), 0.0)


def _slope(
    points: Float[Tensor, "height width 3"], depth: Float[Tensor, "height width"], axis: int
) -> Float[Tensor, "height width 3"]:
    """From each point to a neighbor along an axis, or from the neighbor before to it."""
    ahead = torch.roll(points, -1, axis) - points
    behind = points - torch.roll(points, 1, axis)
    after, before = torch.roll(depth, -1, axis), torch.roll(depth, 1, axis)
    far_after = (after - depth).abs() + torch.where(after > 0, 0.0, torch.inf)
    far_before = (before - depth).abs() + torch.where(before > 0, 0.0, torch.inf)
    size = depth.shape[axis]
    index = torch.arange(size).view(-1, 1) if axis == 0 else torch.arange(size)
    far_after = far_after.masked_fill(index == size - 1, torch.inf)
    far_before = far_before.masked_fill(index == 0, torch.inf)
    return torch.where((far_before < far_after)[..., None], behind, ahead)
