"""The scene's box, found from the cameras alone, and the distance before which nothing is sampled.

Three rules, chosen by what the capture shows; all lengths are in the coordinates of the files:

1. *Forward-facing* (optical axes nearly parallel, near and far bounds known): the smallest cube
   round the cameras' frusta between their bounds.
2. *An object cut out* (cameras look at a common place, photographs have alpha or masks): the cube
   centred at the focus, the point nearest to all optical axes, and a little wider than the widest
   picture is there. An object that is seen whole fits, also when the cameras aim beside it.
3. *A place* (the same without alpha): the cube centred at the focus that reaches as far as the
   farthest camera, because opaque photographs also show what lies behind the subject.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from orefield.cameras import Camera, pixel_directions
from orefield.scenes.shots import Shot
from orefield.types import SceneError

PARALLEL = 0.95
"""Forward-facing: the mean of the unit viewing directions is longer than this (18 degrees off)."""
OBJECT_MARGIN = 1.05
"""An object's box is wider than the widest picture by this factor."""
NEAR_BOUND = 0.9
"""With known bounds, nothing is sampled nearer than this share of the nearest."""
NEAR_FOCUS = 0.2
"""Otherwise, nothing nearer than this share of the nearest camera's distance from the focus."""


@dataclass(frozen=True)
class Box:
    """A cube parallel to the axes, in the coordinates of the files."""

    centre: Float[Tensor, "3"]
    half: float
    """Half the length of an edge."""
    near: float
    """Distance from a camera before which nothing is sampled."""

    def to_world(self, scale: float = 1.0) -> Float[Tensor, "4 4"]:
        """Similarity that takes the unit cube to this box, enlarged by `scale` about its centre."""
        matrix = torch.eye(4, dtype=torch.float64)
        matrix[:3, :3] *= 2 * self.half * scale
        matrix[:3, 3] = self.centre - self.half * scale
        return matrix


def find_box(shots: Sequence[Shot], opaque: bool) -> Box:
    """The box of a capture; `opaque` tells that no photograph has a transparent pixel.

    Raises SceneError when the cameras look at no common place and no bounds are known.
    """
    poses = torch.stack([shot.pose for shot in shots])
    positions, axes = poses[:, :, 3], poses[:, :, 2]
    bounds = [shot.bounds for shot in shots if shot.bounds is not None]
    bounded = len(bounds) == len(shots)
    parallel = float(axes.mean(0).norm()) > PARALLEL
    focus = None if bounded and parallel else common_focus(positions, axes)
    if focus is not None:
        away = (positions - focus).norm(dim=1)
        spans = away * away.new_tensor([_widest_slope(shot.camera) for shot in shots])
        half = float(away.max()) if opaque else OBJECT_MARGIN * float(spans.max())
        near = NEAR_FOCUS * float(away.min())
    elif bounded:
        corners = torch.cat([_frustum(shot) for shot in shots])
        low, high = corners.min(0).values, corners.max(0).values
        focus, half, near = (low + high) / 2, float((high - low).max()) / 2, 0.0
    else:
        raise SceneError(
            f"{shots[0].image.parent}: no scene box: the {len(shots)} training cameras look at no "
            "common place, and no near and far bounds are given (as in poses_bounds.npy)"
        )
    if bounded:
        near = NEAR_BOUND * min(nearest for nearest, _ in bounds)
    return Box(focus, half, near)


def common_focus(
    positions: Float[Tensor, "cameras 3"], axes: Float[Tensor, "cameras 3"]
) -> Float[Tensor, "3"] | None:
    """The point with the least sum of squared distances to the optical axes (unit vectors).

    None when it is not determined (parallel axes) or is not in front of most of the cameras.
    """
    # Distance from an axis: the part of (point - position) across it, by the projector I - a a^T.
    across = torch.eye(3, dtype=axes.dtype) - axes[:, :, None] * axes[:, None, :]
    total = across.sum(0)
    spread = torch.linalg.eigvalsh(total)[0] / len(
        axes
    )  # mean squared sine to the closest common axis
    if spread < 1e-6:
        return None
    focus = torch.linalg.solve(total, (across @ positions[:, :, None]).sum(0))[:, 0]
    ahead = ((focus - positions) * axes).sum(1)
    return focus if bool(ahead.median() > 0) else None


def _picture_corners(camera: Camera) -> Float[Tensor, "4 3"]:
    """Camera coordinates, at depth 1, of the picture's corners."""
    width, height = camera.width, camera.height
    pixels = torch.tensor([[0, 0], [width, 0], [0, height], [width, height]], dtype=torch.float64)
    directions = pixel_directions(camera, pixels)
    return directions / directions[:, 2:]


def _widest_slope(camera: Camera) -> float:
    """Half the extent, at depth 1, of the picture's longer side."""
    return float(_picture_corners(camera)[:, :2].abs().max())


def _frustum(shot: Shot) -> Float[Tensor, "8 3"]:
    """Corners of what a camera sees between its bounds, in the coordinates of the files."""
    assert shot.bounds is not None
    corners = torch.cat([depth * _picture_corners(shot.camera) for depth in shot.bounds])
    return corners @ shot.pose[:, :3].T + shot.pose[:, 3]
