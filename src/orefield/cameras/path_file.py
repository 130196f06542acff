"""Camera paths as JSON, in the schema that nerfstudio's viewer writes and its `ns-render` reads.

`camera_path` lists a pose and a vertical field of view for each frame, `keyframes` those that the
path was made from. Poses are camera to world in OpenGL axes (x right, y up, z backward), row by
row, in the coordinates of the scene's files.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from orefield.cameras.camera import Camera
from orefield.errors import CameraPathError
from orefield.system.files import read_json, write_json

_MOST = 100_000
"""Frames of a path, at most."""
_LARGEST = 16_384
"""Pixels on a side."""
_FLIP = torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64)
"""From OpenCV's axes to OpenGL's, and back."""


@dataclass(frozen=True)
class PathPose:
    """A pose on a path."""

    pose: Float[Tensor, "3 4"]
    """Camera to world, OpenCV axes, coordinates of the files, float64."""
    fov: float
    """Vertical field of view in degrees."""


@dataclass(frozen=True)
class CameraPath:
    """Frames, and the keyframes that they were made from."""

    frames: tuple[PathPose, ...]
    width: int
    height: int
    fps: float = 30.0
    loop: bool = False
    keyframes: tuple[PathPose, ...] = ()

    def camera(self, index: int, width: int = 0, height: int = 0) -> Camera:
        """The pinhole camera of a frame, for the path's size or another.

        The vertical field of view is kept. One of the two sizes alone keeps the proportions.
        """
        if width and not height:
            height = max(round(self.height * width / self.width), 1)
        if height and not width:
            width = max(round(self.width * height / self.height), 1)
        return fov_camera(self.frames[index].fov, width or self.width, height or self.height)


def fov_camera(fov: float, width: int, height: int) -> Camera:
    """A pinhole camera with a vertical field of view in degrees, its center in the middle."""
    focal = height / 2 / math.tan(math.radians(fov) / 2)
    return Camera(width, height, focal, focal, width / 2, height / 2)


def write_path(file: Path, path: CameraPath) -> None:
    """Write the path as JSON."""
    aspect = path.width / path.height
    seconds = len(path.frames) / path.fps
    write_json(
        file,
        {
            "camera_type": "perspective",
            "render_width": path.width,
            "render_height": path.height,
            "fps": path.fps,
            "seconds": seconds,
            "is_cycle": path.loop,
            "smoothness_value": 0.0,
            "default_fov": path.keyframes[0].fov if path.keyframes else path.frames[0].fov,
            "default_transition_sec": seconds / max(len(path.keyframes) - (not path.loop), 1),
            "keyframes": [
                {"matrix": _numbers(one.pose), "fov": one.fov, "aspect": aspect}
                for one in path.keyframes
            ],
            "camera_path": [
                {"camera_to_world": _numbers(one.pose), "fov": one.fov, "aspect": aspect}
                for one in path.frames
            ],
        },
    )


def read_path(file: Path) -> CameraPath:
    """Read a path; raises CameraPathError, naming file and field, for one that cannot be used."""
    facts = read_json(file, CameraPathError)
    kind = facts.get("camera_type", "perspective")
    if kind != "perspective":
        raise CameraPathError(f"{file}: 'camera_type' is {kind!r}, expected 'perspective'")
    rows = facts.get("camera_path")
    if not isinstance(rows, list) or not 1 <= len(rows) <= _MOST:
        raise CameraPathError(
            f"{file}: 'camera_path' must be a list of 1 to {_MOST} frames, as nerfstudio's viewer "
            "and `orefield view` write it"
        )
    frames = tuple(
        _pose(row, "camera_to_world", f"{file}: camera_path[{i}]") for i, row in enumerate(rows)
    )
    marks = facts.get("keyframes", [])
    if not isinstance(marks, list):
        raise CameraPathError(f"{file}: 'keyframes' must be a list")
    keyframes = tuple(
        _pose(row, "matrix", f"{file}: keyframes[{i}]") for i, row in enumerate(marks)
    )
    width, height = (
        int(_number(facts, name, f"{file}", 1.0, float(_LARGEST)))
        for name in ("render_width", "render_height")
    )
    fps = _number(facts, "fps", f"{file}", 0.1, 1000.0) if "fps" in facts else 30.0
    return CameraPath(frames, width, height, fps, bool(facts.get("is_cycle", False)), keyframes)


def _numbers(pose: Float[Tensor, "3 4"]) -> list[float]:
    flipped = torch.cat([pose[:, :3] * _FLIP, pose[:, 3:]], 1)
    return [*flipped.flatten().tolist(), 0.0, 0.0, 0.0, 1.0]


def _pose(row: Any, name: str, where: str) -> PathPose:
    if not isinstance(row, dict):
        raise CameraPathError(f"{where} must be an object")
    numbers = row.get(name)
    fits = isinstance(numbers, list) and len(numbers) == 16 and all(map(_is_finite, numbers))
    if not fits or not isinstance(numbers, list):
        raise CameraPathError(f"{where}: '{name}' must be 16 finite numbers, 4 rows of 4")
    matrix = torch.tensor(numbers, dtype=torch.float64).view(4, 4)
    axes = matrix[:3, :3] * _FLIP
    upright = torch.allclose(axes.T @ axes, torch.eye(3, dtype=axes.dtype), atol=1e-2)
    if not upright or float(torch.linalg.det(axes)) < 0:
        raise CameraPathError(f"{where}: '{name}' must hold a rotation in its first three columns")
    return PathPose(torch.cat([axes, matrix[:3, 3:]], 1), _number(row, "fov", where, 1.0, 179.0))


def _number(facts: dict[str, Any], name: str, where: str, least: float, most: float) -> float:
    value = facts.get(name)
    if not _is_finite(value) or value is None or not least <= value <= most:
        raise CameraPathError(
            f"{where}: '{name}' must be a number from {least} to {most}, got {value!r}"
        )
    return float(value)


def _is_finite(value: Any) -> bool:
    known = isinstance(value, (int, float)) and not isinstance(value, bool)
    return known and abs(value) < 1e30  # a comparison that NaN and huge integers survive
