"""The embedded scene `shapes`: made from closed-form geometry, with exact poses, alpha and depth.

Poses are camera-to-world with OpenGL axes (x right, y up, z back), world z up, as in Blender.
Everything is a function of its arguments: the same call gives the same bytes.
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int, UInt8

from orefield.scenes.dataparsers.blender import write_blender
from orefield.scenes.shapes.geometry import Vectors, meets_ball, unit
from orefield.scenes.shapes.light import everything, trace
from orefield.scenes.shapes.thin import Rods
from orefield.types import SceneError

Pose = Float[np.ndarray, "4 4"]

RESOLUTION, TRAIN_VIEWS, TEST_VIEWS = 200, 60, 12
ANGLE_X = 0.6911112
"""Horizontal field of view in radians, as in the NeRF-synthetic scenes."""
DISTANCE = 4.0
"""Distance of the cameras from the origin."""
LOWEST, HIGHEST = 4.0, 72.0
"""Elevation of the training cameras, degrees."""
CONTRAST = 0.05
"""Neighboring pixels that differ by more, on the display scale, are supersampled."""


def pixel_rays(
    pose: Float[np.ndarray, "4 4"],
    width: int,
    height: int,
    angle_x: float,
    pixels: Float[np.ndarray, "2 n"],
) -> tuple[Vectors, Vectors]:
    """Origins and unit directions through points of the image, in pixels from its top left."""
    focal = 0.5 * width / np.tan(0.5 * angle_x)
    x, y = (pixels[0] - width / 2) / focal, (height / 2 - pixels[1]) / focal
    rotation = pose[:3, :3]
    directions = rotation[:, :1] * x + rotation[:, 1:2] * y - rotation[:, 2:]
    return np.repeat(pose[:3, 3:], len(x), axis=1), unit(directions)


def uneven(
    color: Float[np.ndarray, "3 h w"], index: Int[np.ndarray, "h w"]
) -> Bool[np.ndarray, "h w"]:
    """Pixels that differ from a neighbor in what they show or how bright it is."""
    across = (np.diff(index, axis=1) != 0) | (abs(np.diff(color, axis=2)) > CONTRAST).any(axis=0)
    down = (np.diff(index, axis=0) != 0) | (abs(np.diff(color, axis=1)) > CONTRAST).any(axis=0)
    out = np.zeros(index.shape, dtype=bool)
    out[:, 1:] |= across
    out[:, :-1] |= across
    out[1:] |= down
    out[:-1] |= down
    return out


def render_shapes(
    camera_to_world: Float[np.ndarray, "4 4"],
    width: int,
    height: int,
    angle_x: float = ANGLE_X,
    supersample: int = 2,
) -> tuple[UInt8[np.ndarray, "h w 4"], Float32[np.ndarray, "h w"]]:
    """Picture with straight alpha, and depth, of the scene `shapes`.

    `angle_x` is the horizontal field of view in radians. Where the picture is not even, a pixel
    averages supersample^2 rays: display values over those that meet something, alpha over all.
    Depth is the distance along the ray through a pixel's center, in world units; infinite where
    that ray meets nothing.
    """
    world = everything()
    corner = np.mgrid[:height, :width].reshape(2, -1)[::-1]  # x and y of each pixel's top left

    def through(pixels: Float[np.ndarray, "2 n"]) -> tuple[Vectors, Vectors]:
        return pixel_rays(camera_to_world, width, height, angle_x, pixels)

    rays = through(corner + 0.5)
    color, depth, index = trace(world, *rays)
    alpha = (index >= 0).astype(np.float64)
    refine = uneven(color.reshape(3, height, width), index.reshape(height, width)).ravel()
    for thing in world:
        if isinstance(thing.solid, Rods):  # may pass between the centers of neighboring pixels
            refine |= meets_ball(*rays, thing.solid.ball)

    chosen = np.flatnonzero(refine)
    if supersample > 1 and len(chosen):
        offset = (np.mgrid[:supersample, :supersample].reshape(2, 1, -1) + 0.5) / supersample
        part = trace(world, *through((corner[:, chosen, None] + offset).reshape(2, -1)))
        met = (part[2] >= 0).reshape(len(chosen), -1)
        total = (part[0].reshape(3, len(chosen), -1) * met).sum(axis=2)
        color[:, chosen] = total / np.maximum(met.sum(axis=1), 1)
        alpha[chosen] = met.mean(axis=1)
    rgba = np.rint(255 * np.concatenate([color * (alpha > 0), alpha[None]])).astype(np.uint8)
    return rgba.T.reshape(height, width, 4).copy(), depth.reshape(height, width).astype(np.float32)


def look_at_origin(position: Float[np.ndarray, " 3"]) -> Float[np.ndarray, "4 4"]:
    """Pose of a camera at `position` that looks at the origin, z up."""
    back = position / np.linalg.norm(position)
    right = np.cross([0.0, 0.0, 1.0], back)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3] = np.stack([right, np.cross(back, right), back, position], axis=1)
    return pose


def hemisphere_poses(count: int) -> list[Pose]:
    """Poses spread evenly over the upper hemisphere: a Fibonacci spiral, equal steps of height."""
    golden = np.pi * (3 - np.sqrt(5))
    low, high = np.sin(np.radians(LOWEST)), np.sin(np.radians(HIGHEST))
    heights = low + (high - low) * (np.arange(count) + 0.5) / count
    return [orbit_pose(golden * i, np.arcsin(height)) for i, height in enumerate(heights)]


def circle_poses(count: int) -> list[Pose]:
    """Poses on a path that goes round once while it rises and sinks once."""
    turns = 2 * np.pi * np.arange(count) / count
    return [orbit_pose(turn, np.radians(32 - 17 * np.cos(turn))) for turn in turns]


def orbit_pose(azimuth: float, elevation: float) -> Pose:
    """Pose of a camera at DISTANCE from the origin that looks at it; angles in radians."""
    flat = np.cos(elevation)
    position = np.array([np.cos(azimuth) * flat, np.sin(azimuth) * flat, np.sin(elevation)])
    return look_at_origin(DISTANCE * position)


def write_shapes(
    folder: Path,
    resolution: int = RESOLUTION,
    train_views: int = TRAIN_VIEWS,
    test_views: int = TEST_VIEWS,
) -> None:
    """Write `shapes` as a Blender folder, with the depth of test view i in `test/r_i_depth.npy`.

    Depth is float32 [resolution, resolution], as from `render_shapes`.
    Raises SceneError unless there are at least 2 pixels and one view of each kind.
    """
    for name, value, least in (
        ("resolution", resolution, 2),
        ("train_views", train_views, 1),
        ("test_views", test_views, 1),
    ):
        if value < least:
            raise SceneError(f"shapes: {name} must be at least {least}, got {value}")
    _write_split(folder, "train", hemisphere_poses(train_views), resolution)
    depths = _write_split(folder, "test", circle_poses(test_views), resolution)
    for i, depth in enumerate(depths):
        np.save(folder / "test" / f"r_{i}_depth.npy", depth)


def _write_split(
    folder: Path, split: str, poses: list[Pose], resolution: int
) -> list[Float32[np.ndarray, "h w"]]:
    """Render and write one split; returns the depths."""
    views = [render_shapes(pose, resolution, resolution) for pose in poses]
    images = [torch.from_numpy(image) for image, _ in views]
    write_blender(folder, split, images, [torch.from_numpy(pose) for pose in poses], ANGLE_X)
    return [depth for _, depth in views]
