"""The scene `shapes`: its things, cameras and pictures. The same call gives the same bytes."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8

from orefield.errors import SceneError
from orefield.scenes.dataparsers.blender import write_blender
from orefield.scenes.shapes.tracing import Numbers, Thing, ball, cube, noise, radiance, rod

Pose = Float[np.ndarray, "4 4"]
VERSION = 1  # raise it when the pictures change: kept copies of the scene are known by it
RESOLUTION, TRAIN_VIEWS, TEST_VIEWS = 200, 60, 12
MOST_PIXELS, MOST_VIEWS = 4096, 10_000
ANGLE_X = 0.6911112  # horizontal field of view in radians, as in the NeRF-synthetic scenes
DISTANCE = 4.0  # of the cameras from the origin

TURN = 5 / 8 * np.pi * np.arange(17)
CROWN = np.stack([np.cos(TURN) / 5 + 0.6, np.sin(TURN) / 5 + 0.1, 0.27 - np.cos(1.6 * TURN) / 5])
THINGS = (  # all within 1.15 of the origin
    Thing(rod((0, 0, -0.5), (0, 0, -0.44), 1.0), "311 b63", lambda p: 4 * noise(p * 6, 3)),
    Thing(rod((0, 0, -0.44), (0, 0, -0.42), 0.88), "fed 48a", lambda p: (p // 0.16).sum(axis=0)),
    Thing(ball(-0.4, -0.3, -0.08, 0.34), "901", mirror=0.05),
    Thing(rod((0, 0.6, -0.42), (0, 0.6, 0.42), 0.09), "fff d23", lambda p: p[2] // 0.065),
    Thing(ball(0.0, 0.6, 0.52, 0.15), "fa0", mirror=0.15),
    Thing(cube(0.6, 0.1, -0.18, 0.24), "fee fee fee 236", lambda p: 7 * noise(4 * p, 4) + 3 * p[2]),
    *(Thing(rod(a, b, 0.012), "222") for a, b in pairwise(CROWN.T.tolist())),
    Thing(ball(0.6, 0.1, 0.17, 0.11), "193", mirror=0.05),
    Thing(ball(0.2, -0.7, -0.24, 0.18), "e47 fff fc4 1aa", lambda p: (2 * p[0] + p[2]) // 0.1),
    Thing(ball(-0.6, 0.4, -0.2, 0.22), "026 18b dc7 273 fff", lambda p: 9 * noise(9 * p, 4)),
)


def render_shapes(
    camera_to_world: Pose, width: int, height: int, angle_x: float = ANGLE_X, supersample: int = 2
) -> tuple[UInt8[np.ndarray, "h w 4"], Float32[np.ndarray, "h w"]]:
    """Picture with straight alpha, and distance along the rays through the pixels' centers.

    `angle_x` is the horizontal field of view in radians. An uneven pixel averages supersample^2
    rays: display values over those that meet something, alpha over all. Where the central ray
    meets nothing, the distance is infinite.
    """
    focal = 0.5 * width / np.tan(0.5 * angle_x)

    def trace(x: Numbers, y: Numbers) -> tuple[Float[np.ndarray, "4 n"], Numbers]:
        """Premultiplied RGBA and distance at points in pixels from the image's top left."""
        view = np.stack([x - width / 2, height / 2 - y, np.full(len(x), -focal)])
        directions = camera_to_world[:3, :3] @ view / np.linalg.norm(view, axis=0)
        origins = np.repeat(camera_to_world[:3, 3:], len(x), axis=1)
        color, t = radiance(THINGS, origins, directions)
        shown = (1 - np.exp(-1.25 * color)) ** (1 / 2.2)  # a soft shoulder, then sRGB's power
        return np.concatenate([shown, np.ones((1, len(x)))]) * np.isfinite(t), t

    y, x = np.mgrid[:height, :width].reshape(2, -1)
    image, depth = trace(x + 0.5, y + 0.5)
    grid, shifts = image.reshape(4, height, width), ((1, 1), (-1, 1), (1, 2), (-1, 2))
    change = np.max([abs(grid - np.roll(grid, *shift)) for shift in shifts], axis=(0, 1))
    uneven = np.flatnonzero(change > 0.05)  # of 1, against any of four neighbors
    offsets = (np.arange(supersample) + 0.5) / supersample
    samples = [trace(x[uneven] + u, y[uneven] + v)[0] for u in offsets for v in offsets]
    image[:, uneven] = np.mean(samples, axis=0)
    image[:3] /= np.maximum(image[3], 1e-9)
    rgba = np.rint(255 * image.T).astype(np.uint8).reshape(height, width, 4)
    return rgba, depth.astype(np.float32).reshape(height, width)


def hemisphere_poses(count: int, turn: float = 0.0) -> list[Pose]:
    """Cameras that look at the origin, along a Fibonacci spiral up from azimuth `turn` (radians).

    Camera-to-world with OpenGL axes (x right, y up, z back), world z up, as in Blender.
    """
    azimuth = turn + np.arange(count) * np.pi * (3 - 5**0.5)
    z = 0.07 + 0.88 * (np.arange(count) + 0.5) / count
    c, s, flat = np.cos(azimuth), np.sin(azimuth), np.sqrt(1 - z * z)
    back = np.stack([c * flat, s * flat, z])
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, :3] = np.stack([[-s, c, 0 * c], [-c * z, -s * z, flat], back, DISTANCE * back]).T
    return list(poses)


def write_shapes(
    folder: Path,
    resolution: int = RESOLUTION,
    train_views: int = TRAIN_VIEWS,
    test_views: int = TEST_VIEWS,
) -> None:
    """Write `shapes` as a Blender folder, with the depth of test view i in `test/r_i_depth.npy`.

    Raises SceneError for sizes and numbers of views out of range.
    """
    if not 2 <= resolution <= MOST_PIXELS:
        raise SceneError(
            f"shapes: resolution must be from 2 to {MOST_PIXELS} pixels, got {resolution}"
        )
    splits = {"train": train_views, "test": test_views}
    for split, count in splits.items():
        if not 1 <= count <= MOST_VIEWS:
            raise SceneError(f"shapes: {split}_views must be from 1 to {MOST_VIEWS}, got {count}")
    for split, count in splits.items():
        poses = hemisphere_poses(count, turn=float(split == "test"))
        views = [render_shapes(pose, resolution, resolution) for pose in poses]
        images = [torch.from_numpy(image) for image, _ in views]
        write_blender(folder, split, images, [torch.from_numpy(pose) for pose in poses], ANGLE_X)
    for i, (_, depth) in enumerate(views):
        np.save(folder / "test" / f"r_{i}_depth.npy", depth)
