"""The prepared scene's folder: claimed, `transforms.json`, and the record of how it was made."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from orefield.cameras import Camera
from orefield.errors import SceneError
from orefield.scenes.dataparsers.pose_conventions import from_opengl
from orefield.scenes.load import PREPARED
from orefield.system.files import write_json

RECORD = PREPARED
"""Marks a folder that `prepare` made: nothing is replaced in one without it."""
OURS = ("images", "sparse", "colmap", "transforms.json", RECORD)
"""What `prepare` writes into a folder, and all that --overwrite removes."""


@dataclass(frozen=True)
class PosedPhoto:
    """A photograph with its estimated camera and pose."""

    name: str
    camera: Camera
    pose: Float[Tensor, "3 4"]
    """Camera to world, OpenCV axes, float64."""


def claim(out: Path, source: Path, overwrite: bool) -> None:
    """Make `out` ready to write to: new or empty, or an earlier `prepare`'s with `overwrite`.

    Raises SceneError for a folder that holds anything else, or the photographs themselves.
    """
    if source.resolve().is_relative_to(out.resolve()):
        raise SceneError(f"{out}: holds the photographs or video {source}; expected another folder")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        if not (out / RECORD).is_file():
            raise SceneError(f"{out}: expected a new or empty folder")
        if not overwrite:
            raise SceneError(f"{out}: was prepared before; --overwrite replaces what is there")
        for name in OURS:
            path = out / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    (out / "images").mkdir(parents=True)
    (out / "colmap").mkdir()
    write_record(out, {"state": "unfinished"})


def write_record(out: Path, facts: dict[str, Any]) -> None:
    """Write `prepare.json`."""
    write_json(out / RECORD, facts)


def write_transforms(out: Path, views: Sequence[PosedPhoto]) -> None:
    """Write `transforms.json`, in nerfstudio's convention, for photographs in `images`.

    Poses become camera-to-world in OpenGL axes. Intrinsics stand at the top where all photographs
    share a camera, else in each frame.
    """
    shared = len({view.camera for view in views}) == 1
    frames = []
    for view in views:
        pose = [*from_opengl(view.pose).tolist(), [0.0, 0.0, 0.0, 1.0]]
        own = {} if shared else _intrinsics(view.camera)
        frames.append({"file_path": f"images/{view.name}", **own, "transform_matrix": pose})
    top = _intrinsics(views[0].camera) if shared else {}
    write_json(out / "transforms.json", {**top, "frames": frames})


def _intrinsics(camera: Camera) -> dict[str, Any]:
    distortion = dict(zip(("k1", "k2", "p1", "p2"), camera.distortion, strict=True))
    return {
        "camera_model": "OPENCV" if camera.distorted else "PINHOLE",
        "w": camera.width,
        "h": camera.height,
        "fl_x": camera.fx,
        "fl_y": camera.fy,
        "cx": camera.cx,
        "cy": camera.cy,
        **distortion,
    }
