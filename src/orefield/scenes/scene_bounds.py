"""What a capture says about distances: bounds, the spacing of cameras, the reach of its points."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from orefield.cameras import Camera, border_directions, pixel_directions, project
from orefield.cameras.focus import at_one_place
from orefield.scenes.dataparsers.parsed_scene import Frame

DEPTH_QUANTILES = (0.01, 0.99)
"""Quantiles of the depths of points in view that serve as bounds."""
SAME_PLACE = 1e-4
"""Cameras nearer to each other than this share of their spread are no neighbours, but one place."""
MAX_CAMERAS = 1000
"""Of more cameras only so many, evenly spaced, look for their neighbours: all cost too much."""
BOX_QUANTILES = (0.05, 0.95)
"""A box of points holds those between these quantiles along each axis; others may be wrong."""
MAX_BOX_REACH = 4.0
"""It reaches at most this many times as far as the farthest camera: beyond is sky."""
BACKGROUND_QUANTILE = 0.99
"""The background holds this share of the points."""
DEFAULT_BACKGROUND_EXTENT = 16
"""Where nothing says how far the background reaches."""
MAX_BACKGROUND_EXTENT = 128


def known_bounds(
    frames: Sequence[Frame], points: Float[Tensor, "points 3"] | None
) -> dict[int, tuple[float, float]] | None:
    """By index of frame, the depths of the nearest and farthest thing in its view.

    As the files state them or the points in view show. None if they are unknown: every frame has
    its depths, or of a capture with points more than half, as a few cameras may look at bare walls.
    """
    found = {
        i: b for i, frame in enumerate(frames) if (b := frame.bounds or _depths(frame, points))
    }
    most = points is not None and 2 * len(found) > len(frames)
    return found if len(found) == len(frames) or most else None


def half_overlap_depth(frames: Sequence[Frame]) -> float | None:
    """Depth, in the files' units, at which neighbouring photographs share one half.

    There the axis of the next camera meets the border of a camera's image, at its longer side, if
    the two look one way. The median over the cameras; None if all stand at one place. At k times
    this depth, neighbours share 1 - 1 / (2 k) of what each shows; they share nothing at half of it
    and nearer, or, where the step from one to the next is along the image's diagonal, at a third.
    """
    positions = torch.stack([frame.pose[:, 3] for frame in frames])
    if at_one_place(positions):
        return None
    positions = positions - positions.mean(0)
    step = -(-len(frames) // MAX_CAMERAS)
    gaps = torch.cdist(positions[::step], positions)
    gaps[gaps <= SAME_PLACE * positions.norm(dim=1).max()] = torch.inf
    slopes = gaps.new_tensor([widest_slope(frame.camera) for frame in frames[::step]])
    return float((gaps.amin(1) / slopes).median())


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


def _frustum(frame: Frame, bounds: tuple[float, float]) -> Float[Tensor, "n 3"]:
    """Corners of a camera's frustum between two depths, in the coordinates of the files."""
    corners = torch.cat([depth * _image_corners(frame.camera) for depth in bounds])
    return corners @ frame.pose[:, :3].T + frame.pose[:, 3]


def widest_slope(camera: Camera) -> float:
    """How far, at depth 1, the image reaches from the optical axis to its farther side.

    At most 1 for a wide lens: an object photographed from outside does not reach the camera.
    """
    if camera.lens == "perspective":
        return float(_image_corners(camera)[:, :2].abs().max())
    x, y, z = border_directions(camera, 5).unbind(1)
    slopes = torch.maximum(x.abs(), y.abs()) / z.clamp(min=1e-6)
    return min(float(slopes.max()), 1.0)


def _image_corners(camera: Camera) -> Float[Tensor, "n 3"]:
    """The image's corners in camera coordinates, at depth 1; its border, unit vectors, if wide."""
    if camera.lens != "perspective":
        return torch.cat((border_directions(camera, 5), torch.tensor([[0.0, 0.0, 1.0]]).double()))
    width, height = camera.width, camera.height
    pixels = torch.tensor([[0, 0], [width, 0], [0, height], [width, height]], dtype=torch.float64)
    directions = pixel_directions(camera, pixels)
    return directions / directions[:, 2:]


def choose_extent(
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
    times = min(max(half_extent / half, 1.0), MAX_BACKGROUND_EXTENT)
    return 1 << math.ceil(math.log2(times))


def box_of_points(
    positions: Float[Tensor, "cameras 3"],
    points: Float[Tensor, "points 3"],
    focus: Float[Tensor, "3"],
    farthest: float,
) -> tuple[Float[Tensor, "3"], float]:
    """Center and half size of a cube round all cameras and most points.

    It ends `MAX_BOX_REACH` times as far from the focus as the camera that is `farthest` from it.
    """
    reach = MAX_BOX_REACH * farthest
    quantiles = points.new_tensor(BOX_QUANTILES)
    most = torch.quantile(points, quantiles, dim=0).clamp(focus - reach, focus + reach)
    corners = torch.cat((positions, most))
    low, high = corners.min(0).values, corners.max(0).values
    return (low + high) / 2, float((high - low).max()) / 2


def box_of_frusta(
    frames: Sequence[Frame], bounds: dict[int, tuple[float, float]]
) -> tuple[Float[Tensor, "3"], float]:
    """Center and half size of the smallest cube round frusta, given by index of frame."""
    corners = torch.cat([_frustum(frames[i], depths) for i, depths in bounds.items()])
    low, high = corners.min(0).values, corners.max(0).values
    return (low + high) / 2, float((high - low).max()) / 2
