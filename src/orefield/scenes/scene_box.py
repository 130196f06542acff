"""The scene's box, and the distance from a camera nearer than which nothing is sampled.

The kind of capture decides the box; all lengths are in the coordinates of the files:

1. *A ball stated by the files* (DTU): the cube round it.
2. *Forward-facing* (optical axes nearly parallel, near and far bounds known): the smallest cube
   round the cameras' frusta between their bounds.
3. *An object cut out* (the cameras look at a common point, photographs have alpha or masks): the
   cube centered at that point, the focus, and a little wider than the widest photograph shows
   there. An object that every photograph shows whole fits, even when the cameras aim beside it.
4. *An unbounded scene* (the same without alpha): the cube centered at the focus that reaches as far
   as the farthest camera, because opaque photographs also show what lies behind the subject.

An unbounded scene has a background: what is sampled is a larger cube, whose side is
`background_extent` times that of the box, a power of two. It reaches as far as the files say
(`aabb_scale`) or as nearly all points do, else 16 times as far as the box. Without a background
(background_extent = 1 is asked for) the box of an unbounded scene with points is the smallest cube
round all cameras and most of the points.

Points also replace missing bounds: the depths of those in a camera's view, less a few at each end.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from orefield.cameras import Camera, border_directions, pixel_directions, project
from orefield.cameras.paths import look_at_point
from orefield.scenes.dataparsers.parsed_scene import Frame
from orefield.types import SceneError

PARALLEL = 0.95
"""Forward-facing: the mean of the unit viewing directions is longer than this (18 degrees off)."""
OBJECT_MARGIN = 1.05
"""An object's box is wider than the widest photograph by this factor."""
NEAR_BOUND = 0.9
"""With known bounds, nothing is sampled nearer than this share of the nearest."""
NEAR_FOCUS = 0.2
"""Without, nothing nearer than this share of the nearest camera's distance from the focus."""
MIN_AXIS_SPREAD = 1e-6
"""A focus needs axes whose mean squared sine to their common direction is at least this."""
BOX_QUANTILES = (0.05, 0.95)
"""A box of points holds those between these quantiles along each axis; others may be wrong."""
MAX_BOX_REACH = 4.0
"""It reaches at most this many times as far as the farthest camera: beyond is sky."""
BACKGROUND_QUANTILE = 0.99
"""The background holds this share of the points."""
DEFAULT_BACKGROUND_EXTENT = 16
"""Where nothing says how far the background reaches."""
MAX_BACKGROUND_EXTENT = 128
DEPTH_QUANTILES = (0.01, 0.99)
"""Quantiles of the depths of points in view that serve as bounds."""
NEAR_POINTS = 0.5
"""Nothing is sampled nearer than this share of such a bound: bare walls have no points."""
MAX_POINTS = 50_000
"""Of more points a subset is used; its quantiles are nearly the same."""


@dataclass(frozen=True)
class Box:
    """A cube parallel to the axes, in the coordinates of the files."""

    center: Float[Tensor, "3"]
    half: float
    """Half the length of an edge."""
    near: float
    """Distance from a camera nearer than which nothing is sampled."""
    background_extent: int = 1
    """Side of the cube that is sampled, in sides of the box."""

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
    half_extent: float | None = None,
    background_extent: int = 0,
) -> Box:
    """The box of a capture; `opaque` says that no photograph has a transparent pixel.

    `points`, `ball` and `half_extent` are ParsedScene's. `background_extent` is taken as it is; 0
    chooses one. Raises SceneError if the cameras look at no common point and no bounds are known,
    and for a capture without any size.
    """
    positions = torch.stack([frame.pose[:, 3] for frame in frames])
    if ball is not None:
        center, radius = ball
        near = NEAR_FOCUS * float((positions - center).norm(dim=1).min())
        box = Box(center, radius, near, background_extent or 1)
    else:
        if points is not None:
            points = points[:: len(points) // MAX_POINTS + 1]
        box = _box_from_cameras(frames, opaque, points, half_extent, background_extent)
    # Also refuses sizes that would be zero or infinite in float32.
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
    half_extent: float | None,
    background_extent: int,
) -> Box:
    poses = torch.stack([frame.pose for frame in frames])
    positions, axes = poses[:, :, 3], poses[:, :, 2]
    known = {
        i: b for i, frame in enumerate(frames) if (b := frame.bounds or _depths(frame, points))
    }
    # A few cameras may look at bare walls, where there are no points.
    bounded = len(known) == len(frames) or (points is not None and 2 * len(known) > len(frames))
    given = all(frame.bounds for frame in frames)
    parallel = float(axes.mean(0).norm()) > PARALLEL
    focus = None if bounded and parallel else common_focus(poses)
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
                focus, half = _box_of_points(positions, points, focus, MAX_BOX_REACH * half)
            if not background_extent:
                background_extent = _choose_extent(focus, half, points, half_extent)
    elif bounded:
        corners = torch.cat([_frustum(frames[i], bounds) for i, bounds in known.items()])
        low, high = corners.min(0).values, corners.max(0).values
        focus, half = (low + high) / 2, float((high - low).max()) / 2
        near = NEAR_POINTS * min(nearest for nearest, _ in known.values())
    else:
        raise SceneError(
            f"{frames[0].image.parent}: no scene box: the {len(frames)} training cameras look at "
            "no common point, and no near and far bounds are given (as in poses_bounds.npy)"
        )
    if given:
        near = NEAR_BOUND * min(nearest for nearest, _ in known.values())
    return Box(focus, half, near, background_extent or 1)


def _choose_extent(
    focus: Float[Tensor, "3"],
    half: float,
    points: Float[Tensor, "points 3"] | None,
    half_extent: float | None,
) -> int:
    """How many boxes wide the cube is that holds an unbounded scene and its background."""
    if half_extent is None and points is not None and len(points):
        away = (points - focus).abs().amax(1)
        half_extent = float(away.quantile(BACKGROUND_QUANTILE))
    if half_extent is None:
        return DEFAULT_BACKGROUND_EXTENT
    return min(1 << math.ceil(math.log2(max(half_extent / half, 1.0))), MAX_BACKGROUND_EXTENT)


def _box_of_points(
    positions: Float[Tensor, "cameras 3"],
    points: Float[Tensor, "points 3"],
    focus: Float[Tensor, "3"],
    reach: float,
) -> tuple[Float[Tensor, "3"], float]:
    """Center and half size of a cube round all cameras and most points, cut off at `reach`."""
    quantiles = points.new_tensor(BOX_QUANTILES)
    most = torch.quantile(points, quantiles, dim=0).clamp(focus - reach, focus + reach)
    corners = torch.cat((positions, most))
    low, high = corners.min(0).values, corners.max(0).values
    return (low + high) / 2, float((high - low).max()) / 2


def _depths(frame: Frame, points: Float[Tensor, "points 3"] | None) -> tuple[float, float] | None:
    """Depths between which most points in view lie; None for fewer than ten such points."""
    if points is None:
        return None
    local = (points - frame.pose[:, 3]) @ frame.pose[:, :3]
    pixels = project(frame.camera, local)
    size = pixels.new_tensor([frame.camera.width, frame.camera.height])
    in_view = ((pixels >= 0) & (pixels <= size)).all(1)
    if int(in_view.sum()) < 10:
        return None
    straight = frame.camera.lens == "perspective"
    depths = local[in_view, 2] if straight else local[in_view].norm(dim=1)
    nearest, farthest = torch.quantile(depths, depths.new_tensor(DEPTH_QUANTILES)).tolist()
    return (nearest, farthest) if 0 < nearest < farthest else None


def common_focus(poses: Float[Tensor, "cameras 3 4"]) -> Float[Tensor, "3"] | None:
    """The point nearest to all optical axes, in least squares.

    None if parallel axes do not determine it, or if it is not in front of most of the cameras.
    """
    positions, axes = poses[:, :, 3], poses[:, :, 2]
    along = float(torch.linalg.eigvalsh(axes.T @ axes / len(axes))[-1])  # mean squared cosine
    if 1 - along < MIN_AXIS_SPREAD:
        return None
    focus = look_at_point(poses)
    ahead = ((focus - positions) * axes).sum(1)
    return focus if bool(ahead.median() > 0) else None


def _image_corners(camera: Camera) -> Float[Tensor, "n 3"]:
    """The image's corners in camera coordinates, at depth 1; its border, unit vectors, if wide."""
    if camera.lens != "perspective":
        return torch.cat((border_directions(camera, 5), torch.tensor([[0.0, 0.0, 1.0]]).double()))
    width, height = camera.width, camera.height
    pixels = torch.tensor([[0, 0], [width, 0], [0, height], [width, height]], dtype=torch.float64)
    directions = pixel_directions(camera, pixels)
    return directions / directions[:, 2:]


def _widest_slope(camera: Camera) -> float:
    """How far, at depth 1, the image reaches from the optical axis to its farther side.

    At most 1 for a wide lens: an object photographed from outside does not reach the camera.
    """
    if camera.lens == "perspective":
        return float(_image_corners(camera)[:, :2].abs().max())
    x, y, z = border_directions(camera, 5).unbind(1)
    slopes = torch.maximum(x.abs(), y.abs()) / z.clamp(min=1e-6)
    return min(float(slopes.max()), 1.0)


def _frustum(frame: Frame, bounds: tuple[float, float]) -> Float[Tensor, "n 3"]:
    """Corners of a camera's frustum between two depths, in the coordinates of the files."""
    corners = torch.cat([depth * _image_corners(frame.camera) for depth in bounds])
    return corners @ frame.pose[:, :3].T + frame.pose[:, 3]
