"""Which cells of the occupancy grid any training camera sees."""

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from orefield.cameras import Camera, border_directions
from orefield.ops.frustum import Frustum

_BLOCK = 4
"""Cells on a side of a block that is tested as one, where there are several levels."""
_PER_SIDE = 65
"""Points on each side of an image, whose border a lens may bend outward."""


def camera_coverage(
    cameras: Iterable[tuple[Camera, Float[Tensor, "3 4"]]],
    resolution: int,
    near: float,
    background_extent: int = 1,
    frustum: Frustum | None = None,
) -> Bool[Tensor, "levels res res res"]:
    """Cells whose surrounding ball meets what some camera sees beyond distance `near`.

    A perspective camera's view is bounded by the pyramid round its image, a fisheye's by a cone;
    an equirectangular camera sees every direction. So cells may be counted that are not seen, but
    none is missed. Poses are camera to scene, OpenCV axes, in units of the cube. Of a `frustum`'s
    cube, which begins at its near plane, cells count that meet some camera's pyramid.
    """
    if frustum is not None:
        return _seen_in_frustum(list(cameras), resolution, frustum)[None]
    if background_extent == 1:
        return _seen(list(cameras), resolution, near, 1.0)[None]
    # Hundreds of cameras and a million cells would take minutes: blocks of cells are tested as one.
    coarse = resolution // _BLOCK if resolution % _BLOCK == 0 else resolution
    cameras, sides = list(cameras), [2.0**level for level in range(background_extent.bit_length())]
    seen = torch.stack([_seen(cameras, coarse, near, side) for side in sides])
    for axis in range(1, 4):
        seen = seen.repeat_interleave(resolution // coarse, axis)
    return seen


def _seen(
    cameras: Sequence[tuple[Camera, Float[Tensor, "3 4"]]],
    resolution: int,
    near: float,
    side: float,
) -> Bool[Tensor, "res res res"]:
    """Seen cells of the cube of that side about the unit cube's center."""
    axis = (torch.arange(resolution) + 0.5) / resolution * side - (side - 1) / 2
    centers = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).view(-1, 3)
    reach = 0.5 * 3**0.5 * side / resolution
    seen = torch.zeros(len(centers), dtype=torch.bool)
    for camera, pose in cameras:
        left = (~seen).nonzero()[:, 0]
        local = (centers[left] - pose[:, 3]) @ pose[:, :3]
        inside = _in_view(camera, local, reach) & (local.norm(dim=1) > near - reach)
        seen[left[inside]] = True
    return seen.view(resolution, resolution, resolution)


def _seen_in_frustum(
    cameras: Sequence[tuple[Camera, Float[Tensor, "3 4"]]], resolution: int, frustum: Frustum
) -> Bool[Tensor, "res res res"]:
    """Cells of a frustum's cube that some perspective camera sees a part of.

    Divided by the depth z, the distance from a plane is an affine function of the cube's
    coordinates: q . slope + offset, whose largest value in a cell is that in one of its corners.
    """
    axis = (torch.arange(resolution) + 0.5) / resolution
    centers = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).view(-1, 3)
    size = frustum.high - frustum.low
    seen = torch.zeros(len(centers), dtype=torch.bool)
    for camera, pose in cameras:
        normals = torch.cat((_sides(camera), torch.tensor([[0.0, 0.0, 1.0]]))) @ pose[:, :3].T
        local = normals @ frustum.pose[:, :3]
        behind = normals @ (pose[:, 3] - frustum.pose[:, 3]) / frustum.near
        slopes = torch.cat((local[:, :2] * size, behind[:, None]), 1)
        offsets = local[:, :2] @ frustum.low + local[:, 2] - behind
        most = centers @ slopes.T + offsets + slopes.abs().sum(1) / (2 * resolution)
        seen |= (most >= 0).all(1)
    return seen.view(resolution, resolution, resolution)


def _in_view(camera: Camera, local: Float[Tensor, "n 3"], reach: float) -> Bool[Tensor, " n"]:
    """Which balls of radius `reach` about points in camera axes a camera may see."""
    if camera.lens == "equirectangular":
        return torch.ones(len(local), dtype=torch.bool)
    if camera.lens == "fisheye":
        widest = float(border_directions(camera, _PER_SIDE)[:, 2].clamp(-1, 1).acos().amax())
        distance = local.norm(dim=1)
        angle = torch.atan2(local[:, :2].norm(dim=1), local[:, 2])
        margin = torch.asin((reach / distance.clamp(min=reach)).clamp(max=1))
        near_cone: Tensor = (distance <= reach) | (angle - margin <= widest)
        return near_cone
    inside = local[:, 2] > -reach
    for normal in _sides(camera):  # facing inward
        inside &= local @ normal > -reach
    return inside


def _sides(camera: Camera) -> Float[Tensor, "4 3"]:
    """Unit normals of the planes through the camera and its image's sides, facing inward."""
    border = border_directions(camera, _PER_SIDE)
    plane = border[:, :2] / border[:, 2:]
    (left, top), (right, bottom) = plane.amin(0).tolist(), plane.amax(0).tolist()
    planes = [(1.0, 0.0, -left), (-1.0, 0.0, right), (0.0, 1.0, -top), (0.0, -1.0, bottom)]
    normals = torch.tensor(planes)
    unit: Tensor = normals / normals.norm(dim=1, keepdim=True)
    return unit
