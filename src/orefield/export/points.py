"""Points on the surfaces that photographs show: the median depth along random pixels' rays."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8

from orefield.cameras import pixel_directions
from orefield.errors import ExportError
from orefield.export.mesh import Region, within
from orefield.export.space import FieldInSpace
from orefield.rendering.render import render_rays
from orefield.scenes.scene import View
from orefield.types import Rays

_STEP = 1 / 256
"""Scene units between the densities that a normal is made from."""
_SOLID = 0.9
"""Opacity of rays that count."""


@dataclass(frozen=True)
class Points:
    """Points in the coordinates of the scene's files."""

    positions: Float[np.ndarray, "points 3"]
    normals: Float[np.ndarray, "points 3"]
    """Unit vectors towards the camera's side; zero where density does not change."""
    colors: UInt8[np.ndarray, "points 3"]


def extract_points(
    space: FieldInSpace,
    views: Sequence[View],
    number: int = 500_000,
    crop: Region | None = None,
    seed: int = 0,
    report: Callable[[float], None] = lambda share: None,
) -> Points:
    """At most `number` points, from as many pixels of each view, drawn at random.

    Left out are rays that are not opaque, and points outside of the `crop`, two opposite corners in
    the coordinates of the files. A point has the color that its ray sees. Raises ExportError where
    nothing is left.
    """
    generator, parts = torch.Generator().manual_seed(seed), []
    each = -(-number // max(len(views), 1))
    for index, view in enumerate(views):
        parts.append(_points_of(space, view, each, crop, generator))
        report((index + 1) / len(views))
    positions, normals, colors = (
        np.concatenate(part) if parts else np.zeros((0, 3)) for part in zip(*parts, strict=True)
    )
    if not len(positions):
        where = "" if crop is None else f" inside the crop {crop}"
        raise ExportError(f"no view of {len(views)} sees a surface{where}: no ray is opaque")
    return Points(positions[:number], normals[:number], colors[:number])


def _points_of(
    space: FieldInSpace, view: View, number: int, crop: Region | None, generator: torch.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    size = torch.tensor([view.camera.width, view.camera.height])
    pixels = torch.rand((number, 2), generator=generator) * size
    directions = pixel_directions(view.camera, pixels).to(view.pose) @ view.pose[:, :3].T
    rays = Rays(view.pose[:, 3].expand(number, 3), directions)
    device = next(iter(space.field.parameters())).device
    seen = render_rays(space.field, space.sampler, rays.to(device))
    solid = ((seen.opacity > _SOLID) & (seen.median > 0)).cpu()
    depth, color = (
        seen.median.cpu()[solid],
        seen.color.cpu()[solid] / seen.opacity.cpu()[solid, None],
    )
    points = (rays.origins[solid] + depth[:, None] * directions[solid]).T
    if crop is not None:
        inside = within(space, points, crop)
        points, color, directions = points[:, inside], color[inside], directions[solid][inside]
    else:
        directions = directions[solid]
    normals = space.normals(points.contiguous(), _STEP).T
    facing = torch.where((normals * directions).sum(1, keepdim=True) > 0, -normals, normals)
    colors = (color.clamp(0, 1) * 255).round().to(torch.uint8)
    return space.to_files(points).T.numpy(), facing.numpy(), colors.numpy()
