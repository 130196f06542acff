"""The scene's box, and the distance before which nothing is sampled.

Four rules, chosen by what the capture shows; all lengths are in the coordinates of the files:

1. *A ball given by the files* (DTU): the cube round it.
2. *Forward-facing* (optical axes nearly parallel, near and far bounds known): the smallest cube
   round the cameras' frusta between their bounds.
3. *An object cut out* (cameras look at a common place, photographs have alpha or masks): the cube
   centered at the focus, the point nearest to all optical axes, and a little wider than the widest
   picture is there. An object that is seen whole fits, also when the cameras aim beside it.
4. *A place* (the same without alpha): the cube centered at the focus that reaches as far as the
   farthest camera, because opaque photographs also show what lies behind the subject.

A place has surroundings: what is sampled is a larger cube, whose side in boxes, a power of two, is
the scene's background_extent. It reaches as far as the files say (`aabb_scale`) or as nearly all points do, or
else 16 times as far as the box. Without surroundings (an background_extent of 1 is asked for) the box of a
place with points is the smallest cube round all cameras and most of the points.

Points also stand in for bounds: those in a camera's view, less a few at either end.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from orefield.cameras import Camera, border_directions, pixel_directions, project
from orefield.scenes.dataparsers.parsed_scene import Frame
from orefield.types import SceneError

PARALLEL = 0.95
"""Forward-facing: the mean of the unit viewing directions is longer than this (18 degrees off)."""
OBJECT_MARGIN = 1.05
"""An object's box is wider than the widest picture by this factor."""
NEAR_BOUND = 0.9
"""With known bounds, nothing is sampled nearer than this share of the nearest."""
NEAR_FOCUS = 0.2
"""Otherwise, nothing nearer than this share of the nearest camera's distance from the focus."""


POINTS_KEPT = (0.05, 0.95)
"""A place holds the points between these quantiles along each axis: the rest are far or wrong."""
POINTS_REACH = 4.0
"""A place never reaches farther than this many times the farthest camera: the rest is sky."""
POINTS_SURROUNDING = 0.99
"""Surroundings reach as far as this share of the points."""
DEFAULT_BACKGROUND_EXTENT = 16
"""How far they reach, in boxes, where nothing says so."""
MAX_BACKGROUND_EXTENT = 128
DEPTHS_KEPT = (0.01, 0.99)
"""Quantiles of the depths of points in view that stand for bounds."""
NEAR_POINTS = 0.5
"""Nothing is sampled nearer than this share of the nearest such depth: points miss bare walls."""
MOST_POINTS = 50_000
"""Points looked at per camera; quantiles of more are the same."""


@dataclass(frozen=True)
class Box:
    """A cube parallel to the axes, in the coordinates of the files."""

    center: Float[Tensor, "3"]
    half: float
    """Half the length of an edge."""
    near: float
    """Distance from a camera before which nothing is sampled."""
    background_extent: int = 1
    """Side of the cube that is sampled, in sides of this one."""

    def to_world(self, scale: float = 1.0) -> Float[Tensor, "4 4"]:
        """Similarity that takes the unit cube to this box, enlarged by `scale` about its center."""
        matrix = torch.eye(4, dtype=torch.float64)
        matrix[:3, :3] *= 2 * self.half * scale
        matrix[:3, 3] = self.center - self.half * scale
        return matrix


def find_box(
    frames: Sequence[Frame],
    opaque: bool,
    points: Float[Tensor, "points 3"] | None = None,
    ball: tuple[Float[Tensor, "3"], float] | None = None,
    reach: float | None = None,
    background_extent: int = 0,
) -> Box:
    """The box of a capture; `opaque` tells that no photograph has a transparent pixel.

    `points` lie on surfaces, `ball` is a center and a radius, `reach` how far from the middle the
    files say there is something. `background_extent` is the one wanted, 0 for what suits. Raises SceneError
    when the cameras look at no common place and no bounds are known, and for a capture without any
    size.
    """
    positions = torch.stack([frame.pose[:, 3] for frame in frames])
    if ball is not None:
        center, radius = ball
        near = NEAR_FOCUS * float((positions - center).norm(dim=1).min())
        box = Box(center, radius, near, background_extent or 1)
    else:
        if points is not None:
            points = points[:: len(points) // MOST_POINTS + 1]
        box = _box_from_cameras(frames, opaque, points, reach, background_extent)
    # Also refuses what float32 would make nothing or infinite.
    if not (1e-12 < box.half < 1e15 and bool((box.center.abs() < 1e6 * box.half).all())):
        raise SceneError(
            f"{frames[0].image.parent}: no scene box: it would have half size {box.half:.3g} round "
            f"{box.center.tolist()}; expected cameras in different places"
        )
    return box


def _box_from_cameras(
    frames: Sequence[Frame],
    opaque: bool,
    points: Float[Tensor, "points 3"] | None,
    reach: float | None,
    background_extent: int,
) -> Box:
    poses = torch.stack([frame.pose for frame in frames])
    positions, axes = poses[:, :, 3], poses[:, :, 2]
    known = {
        i: b for i, frame in enumerate(frames) if (b := frame.bounds or _depths(frame, points))
    }
    # Points may leave a few cameras out, which look at bare walls.
    bounded = len(known) == len(frames) or (points is not None and 2 * len(known) > len(frames))
    given = all(frame.bounds for frame in frames)
    parallel = float(axes.mean(0).norm()) > PARALLEL
    focus = None if bounded and parallel else common_focus(positions, axes)
    if focus is not None:
        away = (positions - focus).norm(dim=1)
        near = NEAR_FOCUS * float(away.min())
        if not opaque:
            spans = away * away.new_tensor([_widest_slope(frame.camera) for frame in frames])
            half = OBJECT_MARGIN * float(spans.max())
        else:
            half = float(away.max())
            if bounded and not given:
                near = NEAR_POINTS * min(nearest for nearest, _ in known.values())
            if background_extent == 1 and points is not None and bounded and not given:
                focus, half = _place(positions, points, focus, POINTS_REACH * half)
            background_extent = background_extent or _surroundings(focus, half, points, reach)
    elif bounded:
        corners = torch.cat([_frustum(frames[i], bounds) for i, bounds in known.items()])
        low, high = corners.min(0).values, corners.max(0).values
        focus, half = (low + high) / 2, float((high - low).max()) / 2
        near = NEAR_POINTS * min(nearest for nearest, _ in known.values())
    else:
        raise SceneError(
            f"{frames[0].image.parent}: no scene box: the {len(frames)} training cameras look at no "
            "common place, and no near and far bounds are given (as in poses_bounds.npy)"
        )
    if given:
        near = NEAR_BOUND * min(nearest for nearest, _ in known.values())
    return Box(focus, half, near, background_extent or 1)


def _surroundings(
    focus: Float[Tensor, "3"],
    half: float,
    points: Float[Tensor, "points 3"] | None,
    reach: float | None,
) -> int:
    """How many boxes wide the cube is that holds a place and what surrounds it."""
    if reach is None and points is not None and len(points):
        away = (points - focus).abs().amax(1)
        reach = float(away.quantile(POINTS_SURROUNDING))
    if reach is None:
        return DEFAULT_BACKGROUND_EXTENT
    return min(1 << math.ceil(math.log2(max(reach / half, 1.0))), MAX_BACKGROUND_EXTENT)


def _place(
    positions: Float[Tensor, "cameras 3"],
    points: Float[Tensor, "points 3"],
    focus: Float[Tensor, "3"],
    reach: float,
) -> tuple[Float[Tensor, "3"], float]:
    """Center and half size of a cube round all cameras and most points, not far from the focus."""
    quantiles = points.new_tensor(POINTS_KEPT)
    most = torch.quantile(points, quantiles, dim=0).clamp(focus - reach, focus + reach)
    corners = torch.cat((positions, most))
    low, high = corners.min(0).values, corners.max(0).values
    return (low + high) / 2, float((high - low).max()) / 2


def _depths(frame: Frame, points: Float[Tensor, "points 3"] | None) -> tuple[float, float] | None:
    """Depths between which most points in view lie; None for fewer than ten points."""
    if points is None:
        return None
    local = (points - frame.pose[:, 3]) @ frame.pose[:, :3]
    pixels = project(frame.camera, local)
    size = pixels.new_tensor([frame.camera.width, frame.camera.height])
    seen = ((pixels >= 0) & (pixels <= size)).all(1)
    if int(seen.sum()) < 10:
        return None
    straight = frame.camera.lens == "perspective"
    depths = local[seen, 2] if straight else local[seen].norm(dim=1)
    nearest, farthest = torch.quantile(depths, depths.new_tensor(DEPTHS_KEPT)).tolist()
    return (nearest, farthest) if 0 < nearest < farthest else None


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


def _picture_corners(camera: Camera) -> Float[Tensor, "n 3"]:
    """Camera coordinates, at depth 1, of the picture's corners; at distance 1 for a wide lens."""
    if camera.lens != "perspective":
        return torch.cat((border_directions(camera, 5), torch.tensor([[0.0, 0.0, 1.0]]).double()))
    width, height = camera.width, camera.height
    pixels = torch.tensor([[0, 0], [width, 0], [0, height], [width, height]], dtype=torch.float64)
    directions = pixel_directions(camera, pixels)
    return directions / directions[:, 2:]


def _widest_slope(camera: Camera) -> float:
    """Half the background_extent, at depth 1, of the picture's longer side.

    At most 1 for a wide lens: an object that is seen from outside does not reach the camera.
    """
    if camera.lens == "perspective":
        return float(_picture_corners(camera)[:, :2].abs().max())
    x, y, z = border_directions(camera, 5).unbind(1)
    slopes = torch.maximum(x.abs(), y.abs()) / z.clamp(min=1e-6)
    return min(float(slopes.max()), 1.0)


def _frustum(frame: Frame, bounds: tuple[float, float]) -> Float[Tensor, "n 3"]:
    """Corners of what a camera sees between two depths, in the coordinates of the files."""
    corners = torch.cat([depth * _picture_corners(frame.camera) for depth in bounds])
    return corners @ frame.pose[:, :3].T + frame.pose[:, 3]
