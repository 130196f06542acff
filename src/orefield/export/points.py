"""Points on the surfaces that photographs show: the median depth along pixels' rays."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8

from orefield.cameras import view_rays
from orefield.errors import ExportError
from orefield.export.mesh import Region, within
from orefield.export.space import FieldInSpace
from orefield.rendering.normals import view_normals
from orefield.rendering.render import render_view
from orefield.scenes.scene import View

_SPARE = 8
"""Pixels rendered for each point that is wanted of a view, because many see nothing."""
_SOLID = 0.9
"""Opacity of rays that count."""


@dataclass(frozen=True)
class Points:
    """Points in the coordinates of the scene's files."""

    positions: Float[np.ndarray, "points 3"]
    normals: Float[np.ndarray, "points 3"]
    """Unit vectors towards the side of the camera that sees the point."""
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
    camera = view.camera
    whole = camera.width * camera.height
    camera = camera.rescaled(min((_SPARE * number / whole) ** 0.5, 1.0))
    picture = render_view(space.field, space.sampler, camera, view.pose, 0.0)
    solid = (picture.opacity > _SOLID) & (picture.median > 0)
    rays = view_rays(camera, view.pose)
    places = (rays.origins + picture.median.view(-1, 1) * rays.directions).T
    if crop is not None:
        solid &= within(space, places, crop).view_as(solid)
    index = solid.view(-1).nonzero()[:, 0]
    index = index[torch.randperm(len(index), generator=generator)[:number]]
    normals = view_normals(camera, view.pose, picture.median).view(-1, 3)[index]
    color = picture.color.view(-1, 3)[index] / picture.opacity.view(-1, 1)[index]
    colors = (color.clamp(0, 1) * 255).round().to(torch.uint8)
    return space.to_files(places[:, index]).T.contiguous().numpy(), normals.numpy(), colors.numpy()
