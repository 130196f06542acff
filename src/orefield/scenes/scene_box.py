"""The scene's box, and the distance from a camera nearer than which nothing is sampled.

The kind of capture decides the box; all lengths are in the coordinates of the files:

1. *A ball stated by the files* (DTU): the cube round it.
2. *Looking one way* (optical axes nearly parallel, near and far bounds known): the smallest cube
   round the cameras' frusta between their bounds. Opaque captures from one side have a frustum
   instead (scene_frustum.py).
3. *An object cut out* (the cameras look at a common point, photographs have alpha or masks): the
   cube centered at that point, the focus, and a little wider than the widest photograph shows
   there. An object that every photograph shows whole fits, even when the cameras aim beside it.
4. *An unbounded scene* (the same without alpha): the cube centered at the focus that reaches as far
   as the farthest camera, because opaque photographs also show what lies behind the subject.
5. *Cameras that look at no common point*, without bounds (straight down from a drone, along a wall,
   round a room, in all directions at once): poses alone do not say how far away anything is, but
   photographs of one capture overlap. The scene is unbounded; the cube is centered at the mean of
   what the cameras see at the depth where neighbours share three quarters of a photograph, and
   holds all of that and the cameras.

A box or a near distance that is given replaces what these rules find.

An unbounded scene has a background: what is sampled is a larger cube, whose side is
`background_extent` times that of the box, a power of two. It reaches as far as the files say
(`aabb_scale`) or as nearly all points do, else 16 times as far as the box. Without a background
(background_extent = 1 is asked for) the box of an unbounded scene with points is the smallest cube
round all cameras and most of the points.

Points also replace missing bounds: the depths of those in a camera's view, less a few at each end.

What rule 5 guarantees for cameras that look one way at even distances: whatever two neighbours both
show is farther than `near`, at any overlap. The surface they photograph is inside the sampled cube
if neighbours share 50 to 99 % of a photograph (50 to 90 % without a background).
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from orefield.cameras.focus import common_focus, nearly_parallel
from orefield.scenes.dataparsers.parsed_scene import Frame
from orefield.scenes.scene import SceneWarning
from orefield.scenes.scene_bounds import (
    DEFAULT_BACKGROUND_EXTENT,
    box_of_frusta,
    box_of_points,
    choose_extent,
    half_overlap_depth,
    known_bounds,
    widest_slope,
)
from orefield.types import SceneError

OBJECT_MARGIN = 1.05
"""An object's box is wider than the widest photograph by this factor."""
NEAR_BOUND = 0.9
"""With known bounds, nothing is sampled nearer than this share of the nearest."""
NEAR_POINTS = 0.5
"""Than this share, where points are the bounds: bare walls have none."""
NEAR_FOCUS = 0.2
"""Without, nothing nearer than this share of the nearest camera's distance from the focus, or of
the depth at which neighbouring photographs share one half."""
NEAR_LEAST = 1e-4
"""And this share of the box's half size, for a camera that stands in the focus itself."""
NEAR_INSIDE = 0.02
"""The same for a box that is given: it may be a room, with the cameras inside."""
TYPICAL_DEPTH = 2.0
"""Neighbouring photographs share 3/4 at this many times the depth at which they share one half."""
BOXED_DEPTH = 10.0
"""And 19/20 at this many times; a box without a background holds what cameras see up to there."""
FARTHEST_DEPTH = 100.0
"""The background reaches as far, in such depths, where only neighbours tell distances."""
MAX_POINTS = 50_000
"""Of more points a subset is used; its quantiles are nearly the same."""
FAR_OFF = 20.0
"""A camera is far off if it is this many times as far from the middle as nine in ten are."""
LARGEST_OFFSET = 1e10
"""The center's coordinates, in half sizes of the box, up to which float64 resolves the poses."""
GIVE_BOX = (
    "or give the box: --scene.box X Y Z SIDE (its center and side, in the units of the files)"
)


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
    given: tuple[float, float, float, float] | None = None,
    near: float = 0.0,
) -> Box:
    """The box of a capture; `opaque` says that no photograph has a transparent pixel.

    `points`, `ball` and `half_extent` are ParsedScene's. `background_extent`, the box `given` as
    center and side, and `near` are SceneConfig's and taken as they are; 0 and None choose. Raises
    SceneError for cameras that all stand at one place, where no bounds and no box are given, for a
    capture without a sensible size, and for a `near` beyond all that is sampled.
    """
    positions = torch.stack([frame.pose[:, 3] for frame in frames])
    if points is not None:
        points = points[:: len(points) // MAX_POINTS + 1]
    if given is not None:
        box = _given_box(frames, opaque, points, half_extent, background_extent, given)
    elif ball is not None:
        center, radius = ball
        away = float((positions - center).norm(dim=1).min())
        box = Box(center, radius, _near(away, radius), background_extent or 1)
    else:
        _warn_of_far_off(frames, positions)
        box = _box_from_cameras(frames, opaque, points, half_extent, background_extent)
    if near:
        box = replace(box, near=near)
    where = frames[0].image.parent
    # Also refuses sizes that would be zero or infinite in float32.
    fits = bool((box.center.abs() < LARGEST_OFFSET * box.half).all())
    if not (1e-12 < box.half < 1e15 and fits):
        raise SceneError(
            f"{where}: no scene box: it would have half size {box.half:.3g} round "
            f"{box.center.tolist()}; expected cameras in different places, {GIVE_BOX}"
        )
    end = (positions - box.center).abs() + box.half * box.background_extent
    farthest = float(end.norm(dim=1).max())
    if not 0 < box.near < farthest:
        raise SceneError(
            f"{where}: nothing would be sampled: the near distance is {box.near:.3g}, and the box "
            f"and its background end {farthest:.3g} from the cameras; expected a smaller "
            "--scene.near"
        )
    return box


def _near(away: float, half: float) -> float:
    """Near distance for things, round which the box is, that are at least `away` from a camera."""
    return max(NEAR_FOCUS * away, NEAR_LEAST * half)


def _given_box(
    frames: Sequence[Frame],
    opaque: bool,
    points: Float[Tensor, "points 3"] | None,
    half_extent: float | None,
    background_extent: int,
    given: tuple[float, float, float, float],
) -> Box:
    """The box as given. Its near distance follows from bounds, else from how far cameras are."""
    center, half = torch.tensor(given[:3], dtype=torch.float64), given[3] / 2
    if (bounds := known_bounds(frames, points)) is not None:
        near = min(nearest for nearest, _ in bounds.values())
        near *= NEAR_BOUND if frames[0].bounds else NEAR_POINTS
    else:
        offsets = torch.stack([frame.pose[:, 3] for frame in frames]) - center
        outside = (offsets.abs() - half).clamp(min=0).norm(dim=1)
        near = max(NEAR_FOCUS * float(outside.min()), NEAR_INSIDE * half)
    if not background_extent:
        background_extent = choose_extent(center, half, points, half_extent) if opaque else 1
    return Box(center, half, near, background_extent)


def _box_from_cameras(
    frames: Sequence[Frame],
    opaque: bool,
    points: Float[Tensor, "points 3"] | None,
    half_extent: float | None,
    background_extent: int,
) -> Box:
    poses = torch.stack([frame.pose for frame in frames])
    positions = poses[:, :, 3]
    bounds, stated = known_bounds(frames, points), all(frame.bounds for frame in frames)
    parallel = nearly_parallel(poses)
    if bounds is None:
        # What is straight ahead in a picture of all directions is no more than the rest.
        directed = all(frame.camera.lens != "equirectangular" for frame in frames)
        focus = common_focus(poses) if directed else None
    else:
        focus = None if parallel else common_focus(poses, certain=0.0)
    if focus is None and bounds is None:
        return _box_from_spacing(frames, points, half_extent, background_extent)
    if focus is not None:
        away = (positions - focus).norm(dim=1)
        half = float(away.max())
        near = _near(float(away.min()), half)
        if parallel and (depth := half_overlap_depth(frames)):
            near = min(near, _near(depth, half))  # parallel cameras may look beyond the ground
        if not opaque:
            spans = away * away.new_tensor([widest_slope(frame.camera) for frame in frames])
            half = OBJECT_MARGIN * float(spans.max())
        else:
            if bounds is not None and not stated:
                near = NEAR_POINTS * min(nearest for nearest, _ in bounds.values())
            if background_extent == 1 and points is not None and bounds is not None and not stated:
                focus, half = box_of_points(positions, points, focus, half)
            if not background_extent:
                background_extent = choose_extent(focus, half, points, half_extent)
    else:
        assert bounds is not None
        focus, half = box_of_frusta(frames, bounds)
        near = NEAR_POINTS * min(nearest for nearest, _ in bounds.values())
    if stated:
        assert bounds is not None
        near = NEAR_BOUND * min(nearest for nearest, _ in bounds.values())
    return Box(focus, half, near, background_extent or 1)


def _box_from_spacing(
    frames: Sequence[Frame],
    points: Float[Tensor, "points 3"] | None,
    half_extent: float | None,
    background_extent: int,
) -> Box:
    """The box of cameras that look at no common point: only their distances give a length."""
    depth = half_overlap_depth(frames)
    if depth is None:
        n = len(frames)
        cameras = f"all {n} training cameras stand at one place" if n > 1 else "of one camera"
        raise SceneError(
            f"{frames[0].image.parent}: no scene box: {cameras}, and no near and far bounds are "
            f"given (as in poses_bounds.npy); expected cameras in different places, {GIVE_BOX}"
        )
    near, boxed = NEAR_FOCUS * depth, background_extent == 1
    reach = depth * (BOXED_DEPTH if boxed else TYPICAL_DEPTH)
    all_round = any(frame.camera.lens == "equirectangular" for frame in frames)
    if boxed and not all_round:
        center, half = box_of_frusta(frames, dict.fromkeys(range(len(frames)), (near, reach)))
        return Box(center, half, max(near, NEAR_LEAST * half), 1)
    poses = torch.stack([frame.pose for frame in frames])
    # A picture of all directions has no axis: what it shows at that depth is a ball.
    seen = poses[:, :, 3] + (0.0 if all_round else reach) * poses[:, :, 2]
    center = seen.mean(0)
    half = float((torch.cat((poses[:, :, 3], seen)) - center).norm(dim=1).max())
    half += reach * all_round
    if not background_extent:
        chosen = choose_extent(center, half, points, half_extent)
        farthest = choose_extent(center, half, None, FARTHEST_DEPTH * depth)
        background_extent = max(chosen, farthest, DEFAULT_BACKGROUND_EXTENT)
    return Box(center, half, max(near, NEAR_LEAST * half), background_extent)


def _warn_of_far_off(frames: Sequence[Frame], positions: Float[Tensor, "cameras 3"]) -> None:
    """Say it if one camera makes the box large: its pose may be wrong."""
    away = (positions - positions.median(0).values).norm(dim=1)
    most = float(away.quantile(0.9, interpolation="lower"))  # of few cameras, too
    index = int(away.argmax())
    times = float(away[index]) / most if most > 0 and len(frames) > 2 else 0.0
    if times > FAR_OFF:
        warnings.warn(
            f"{frames[index].image}: its camera is {times:.0f} times as far from the middle of all "
            "as nine in ten are; the scene box may be too large: if the pose is wrong, leave the "
            "photograph out, or give --scene.box",
            SceneWarning,
            stacklevel=2,
        )
