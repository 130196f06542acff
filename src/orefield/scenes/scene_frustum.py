"""The frustum that is sampled for a forward-facing capture, in place of a box.

A box round cameras that look one way, and all that they see, is empty for the most part: no camera
sees its corners, and a photograph resolves a near thing as finely as a far one, though not its
depth. The frustum of a reference camera, the mean of all, wastes neither (ops/frustum.py).
"""

import warnings
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from orefield.cameras import border_directions
from orefield.cameras.focus import nearly_parallel
from orefield.config import SceneConfig
from orefield.ops.frustum import Frustum
from orefield.scenes.dataparsers.parsed_scene import Frame
from orefield.scenes.scene import SceneWarning
from orefield.scenes.scene_bounds import known_bounds
from orefield.scenes.scene_box import LARGEST_OFFSET, MAX_POINTS, Box
from orefield.types import SceneError

MAX_SLOPE = 3.0
"""The frustum's border is at most so far from its axis, at depth 1 (72 degrees): wider than that,
as over the ground below a drone, the mean camera sees little of what the others do."""
NEAR_BOUND = 0.9
"""The near plane lies at this share of the nearest depth that the files state."""
NEAR_POINTS = 0.75
"""And at this share of that of the nearest points: bare surfaces have none."""
OUTLIER = 4.0
"""A camera that states this many times less than the median of all does not count."""
MARGIN = 0.05
"""The frustum is wider on each side by this share of what the training cameras see: test views and
corrected poses look a little beyond."""
_PER_SIDE = 33


def find_frustum(
    frames: Sequence[Frame],
    opaque: bool,
    points: Float[Tensor, "points 3"] | None,
    config: SceneConfig,
) -> tuple[Frustum, Box] | None:
    """The frustum of a forward-facing capture, in the units of the files; None for any other.

    `opaque` says that no photograph has a transparent pixel. The box round the reference camera,
    which reaches to the near plane, gives scene units that no far bound can spoil. Raises
    SceneError where `scene.forward_facing` is on and the capture has no frustum.
    """
    given = config.box is not None or config.background_extent or config.box_scale != 1
    auto = config.forward_facing == "auto"
    if config.forward_facing == "off" or (auto and (given or not opaque)):
        return None
    if points is not None:
        points = points[:: len(points) // MAX_POINTS + 1]
    found = _frustum(frames, points, config.near)
    if isinstance(found, tuple):
        return found
    if auto:
        return None
    raise SceneError(f"{frames[0].image.parent}: scene.forward_facing is on: {found}")


def in_scene_units(frustum: Frustum, to_world: Float[Tensor, "4 4"]) -> Frustum:
    """A frustum in the units of the files, in scene units, float32."""
    side = float(to_world[0, 0])
    center = (frustum.pose[:, 3:] - to_world[:3, 3:]) / side
    pose = torch.cat((frustum.pose[:, :3], center), 1).float()
    return Frustum(pose, frustum.low.float(), frustum.high.float(), frustum.near / side)


def _frustum(
    frames: Sequence[Frame], points: Float[Tensor, "points 3"] | None, near: float
) -> tuple[Frustum, Box] | str:
    """The frustum, or why there is none."""
    for frame in frames:
        if frame.camera.lens != "perspective":
            return f"expected perspective cameras, {frame.name} has a {frame.camera.lens} lens"
    poses = torch.stack([frame.pose for frame in frames]).double()
    if not nearly_parallel(poses):
        return "expected cameras that look one way, within about 18 degrees of their mean axis"
    if (bounds := known_bounds(frames, points)) is None:
        return "expected known depths, from poses_bounds.npy or the points of COLMAP"
    reference = _mean_pose(poses)
    for frame in frames:
        if not bool((_border(frame) @ reference[:, 2] > 0).all()):
            return f"expected cameras that look one way, {frame.name} looks sideways or back"
    nearest = {index: depths[0] for index, depths in bounds.items()}
    counted = dict.fromkeys(nearest, near) if near else _without_outliers(nearest)
    share = 1.0 if near else NEAR_BOUND if frames[0].bounds else NEAR_POINTS
    plane = share * min(
        float(((_seen(frames[i], depth) - reference[:, 3]) @ reference[:, 2]).min())
        for i, depth in counted.items()
    )
    if near >= max(farthest for _, farthest in bounds.values()):
        return f"expected scene.near below the largest depth that is seen, got {near:g}"
    center = reference[:, 3]
    if not (1e-12 < plane < 1e15 and bool((center.abs() < LARGEST_OFFSET * plane).all())):
        return f"expected all cameras behind all that they see; the near plane is at {plane:.3g}"
    low, high = _slopes(frames, reference, plane)
    if not float(torch.cat((low, high)).abs().max()) <= MAX_SLOPE:
        return f"expected cameras nearer to each other than to what is seen at depth {plane:.3g}"
    if len(counted) < len(nearest):
        _warn_of_outlier(frames, nearest, len(nearest) - len(counted))
    box = Box(center, plane, near or share * min(counted.values()))
    return Frustum(reference, low, high, plane), box


def _mean_pose(poses: Float[Tensor, "cameras 3 4"]) -> Float[Tensor, "3 4"]:
    """The mean position and axis of the cameras, level with them on average."""
    forward = torch.nn.functional.normalize(poses[:, :, 2].mean(0), dim=0)
    # Photographs taken upright and upside down may cancel out: then as the first one.
    for down in (poses[:, :, 1].mean(0), poses[0, :, 1], poses[0, :, 0]):
        right = torch.linalg.cross(down, forward)
        if float(right.norm()) > 0.1:
            break
    right = torch.nn.functional.normalize(right, dim=0)
    down = torch.linalg.cross(forward, right)
    return torch.stack((right, down, forward, poses[:, :, 3].mean(0)), 1)


def _without_outliers(nearest: dict[int, float]) -> dict[int, float]:
    """The depths, by index of frame, that are not far less than the others."""
    least = float(torch.tensor(list(nearest.values())).median()) / OUTLIER
    return {index: depth for index, depth in nearest.items() if depth >= least}


def _warn_of_outlier(frames: Sequence[Frame], nearest: dict[int, float], number: int) -> None:
    index = min(nearest, key=lambda i: nearest[i])
    median = float(torch.tensor(list(nearest.values())).median())
    warnings.warn(
        f"{frames[index].image}: its nearest depth, {nearest[index]:.3g}, is less than a quarter "
        f"of the median of all, {median:.3g}, and taken for wrong ({number} such); --scene.near "
        "says where to begin",
        SceneWarning,
        stacklevel=2,
    )


def _seen(frame: Frame, depth: float) -> Float[Tensor, "n 3"]:
    """Points along the image's border at that depth, in the coordinates of the files."""
    return frame.pose[:, 3].double() + depth * _border(frame)


def _slopes(
    frames: Sequence[Frame], reference: Float[Tensor, "3 4"], near: float
) -> tuple[Float[Tensor, "2"], Float[Tensor, "2"]]:
    """x / z and y / z between which all cameras see, from the near plane on, with a margin."""
    seen = []
    for frame in frames:
        directions = _border(frame) @ reference[:, :3]
        origin = (frame.pose[:, 3].double() - reference[:, 3]) @ reference[:, :3]
        start = ((near - origin[2]) / directions[:, 2:]).clamp(min=0)
        begin = origin + start * directions
        seen += [begin[:, :2] / begin[:, 2:], directions[:, :2] / directions[:, 2:]]
    slopes = torch.cat(seen)
    low, high = slopes.amin(0), slopes.amax(0)
    margin = MARGIN * (high - low)
    return low - margin, high + margin


def _border(frame: Frame) -> Float[Tensor, "n 3"]:
    """Rays through the image's border, at depth 1, in the axes of the files."""
    border = border_directions(frame.camera, _PER_SIDE).double()
    return (border / border[:, 2:]) @ frame.pose[:, :3].double().T
