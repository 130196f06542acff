"""What the `frames` of Blender's and of instant-ngp's JSON files have in common."""

import math
from collections.abc import Sequence
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from orefield.scenes.dataparsers.json_fields import Record
from orefield.scenes.dataparsers.parsed_scene import Folder, Frame, is_file, report_missing
from orefield.scenes.dataparsers.pose_conventions import from_opengl, rigid
from orefield.types import SceneError

OMITTED_ENDINGS = ("", ".png", ".jpg", ".jpeg")
"""What a `file_path` may lack at its end."""


def present_frames(
    folder: Folder, file: Path, entries: Sequence[Record]
) -> list[tuple[Record, Path]]:
    """The entries whose photograph exists, with its path; one warning names the others."""
    found = [(entry, _find(folder, entry)) for entry in entries]
    missing = [entry.text("file_path") for entry, path in found if path is None]
    report_missing(str(file), missing, len(entries))
    return [(entry, path) for entry, path in found if path is not None]


def _find(folder: Folder, entry: Record) -> Path | None:
    path = folder.named(entry.text("file_path"), f"{entry.where}.file_path")
    for ending in OMITTED_ENDINGS:
        candidate = path.with_name(path.name + ending)
        if is_file(candidate):
            return folder.inside(candidate)
    return None


def named_file(folder: Folder, entry: Record, field: str) -> Path | None:
    """The file that an entry names besides its photograph; None without the field.

    Raises SceneError for a file that does not exist.
    """
    if not entry.has(field):
        return None
    path = folder.named(entry.text(field), f"{entry.where}.{field}")
    if not is_file(path):
        raise entry.wrong(field, "the path of a file that is there")
    return folder.inside(path)


def frame_pose(entry: Record) -> Float[Tensor, "3 4"]:
    """`transform_matrix`, camera-to-world in OpenGL axes, as a rigid pose in OpenCV axes."""
    matrix = entry.matrix("transform_matrix")
    return from_opengl(rigid(matrix, f"{entry.where}.transform_matrix"))


def focal_length(record: Record, name: str, size: int) -> float:
    """Focal length in pixels from a field of view in radians, over `size` pixels."""
    angle = record.number(name)
    if not 0 < angle < math.pi:
        raise record.wrong(name, "an angle in radians between 0 and pi")
    return size / 2 / math.tan(angle / 2)


def refuse_mixed_sizes(file: Path, frames: Sequence[Frame]) -> None:
    """Raise SceneError unless all frames, which share their intrinsics, are of one size."""
    for frame in frames:
        camera, first = frame.camera, frames[0].camera
        if (camera.width, camera.height) != (first.width, first.height):
            raise SceneError(
                f"{frame.image}: is {camera.width} x {camera.height} pixels, expected "
                f"{first.width} x {first.height} as {frames[0].image.name}, "
                f"because {file.name} gives both the same intrinsics"
            )
