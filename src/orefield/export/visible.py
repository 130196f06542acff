"""Which points of a surface some photograph shows.

What lies inside of things, or below them, no photograph has taught anything: a field has surfaces
there that nobody ever saw.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from orefield.cameras import Camera, project
from orefield.export.space import FieldInSpace
from orefield.rendering.render import render_view
from orefield.scenes.scene import View

_WIDTH = 256
"""Pixels along the longer side of the depths that are rendered, at most."""
_STOPPED = 0.95
"""Share of a ray's light behind whose distance nothing counts as seen."""
_VIEWS = 100
"""Views that are looked from, at most."""


def seen(
    space: FieldInSpace,
    views: Sequence[View],
    points: Float[Tensor, "3 points"],
    cell: float,
    report: Callable[[float], None] = lambda share: None,
) -> Bool[Tensor, " points"]:
    """Whether some view sees each point, in scene units: light reaches it, or nearly does.

    That is at most two cells behind the distance at which nearly all light has been stopped. The
    median would not do: before a soft surface half of the light has been stopped already.

    `cell`: the width of a cell of the lattice that the points come from, in scene units, in a
    frustum in its cube. Of a pixel and its neighbors the deepest counts, so that edges and slopes
    count as seen. `report` is told the share that is done.
    """
    found = torch.zeros(points.shape[1], dtype=torch.bool)
    chosen = views if len(views) <= _VIEWS else views[:: -(-len(views) // _VIEWS)]
    for index, view in enumerate(chosen):
        camera = view.camera
        camera = camera.rescaled(min(_WIDTH / max(camera.width, camera.height), 1.0))
        depth = render_view(space.field, space.sampler, camera, view.pose, stopped=_STOPPED).median
        depth = torch.where(depth > 0, depth, torch.inf)[None]
        deepest = torch.nn.functional.max_pool2d(depth, 3, stride=1, padding=1)[0]
        # In a frustum a cell is as deep as disparity makes it.
        depth_of_cell = cell if space.frustum is None else cell * deepest**2 / space.frustum.near
        left = (~found).nonzero()[:, 0]
        reach = deepest + 2 * depth_of_cell
        found[left[_before(camera, view.pose, points[:, left], reach)]] = True
        report((index + 1) / len(chosen))
    return found


def _before(
    camera: Camera,
    pose: Float[Tensor, "3 4"],
    points: Float[Tensor, "3 points"],
    depth: Float[Tensor, "height width"],
) -> Bool[Tensor, " points"]:
    """Which points lie in the picture, no farther away than `depth` there."""
    offset = points - pose[:, 3:]
    pixels = project(camera, (pose[:, :3].T @ offset).T.contiguous())
    size = pixels.new_tensor([camera.width, camera.height])
    inside = ((pixels >= 0) & (pixels < size)).all(1)  # where there is none it is NaN
    x, y = torch.where(inside[:, None], pixels, 0.0).long().unbind(1)
    near: Tensor = inside & (offset.norm(dim=0) <= depth[y, x])
    return near
