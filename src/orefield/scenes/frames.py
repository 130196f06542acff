"""What the frames of Blender's and of instant-ngp's JSON files have in common."""

import math
from collections.abc import Sequence
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from orefield.scenes.poses import from_opengl, rigid
from orefield.scenes.record import Record
from orefield.scenes.shots import Folder, Shot, is_file, report_missing
from orefield.types import SceneError

ENDINGS = ("", ".png", ".jpg", ".jpeg")
"""What may be missing at the end of a `file_path`."""


def present_frames(
    folder: Folder, file: Path, frames: Sequence[Record]
) -> list[tuple[Record, Path]]:
    """The frames whose photograph is there, with its path; the others are named in one warning."""
    found = [(frame, _find(folder, frame)) for frame in frames]
    missing = [frame.text("file_path") for frame, path in found if path is None]
    report_missing(str(file), missing, len(frames))
    return [(frame, path) for frame, path in found if path is not None]


def _find(folder: Folder, frame: Record) -> Path | None:
    path = folder.named(frame.text("file_path"), f"{frame.where}.file_path")
    for ending in ENDINGS:
        candidate = path.with_name(path.name + ending)
        if is_file(candidate):
            return folder.inside(candidate)
    return None


def named_file(folder: Folder, frame: Record, field: str) -> Path | None:
    """The file that a frame names besides its photograph; None without the field.

    Raises SceneError for a file that is not there.
    """
    if not frame.has(field):
        return None
    path = folder.named(frame.text(field), f"{frame.where}.{field}")
    if not is_file(path):
        raise frame.wrong(field, "the path of a file that is there")
    return folder.inside(path)


def frame_pose(frame: Record) -> Float[Tensor, "3 4"]:
    """`transform_matrix`, camera-to-world in OpenGL axes, as a rigid pose in OpenCV axes."""
    matrix = frame.matrix("transform_matrix")
    return from_opengl(rigid(matrix, f"{frame.where}.transform_matrix"))


def focal_length(record: Record, name: str, size: int) -> float:
    """Focal length in pixels from a field of view in radians, over `size` pixels."""
    angle = record.number(name)
    if not 0 < angle < math.pi:
        raise record.wrong(name, "an angle in radians between 0 and pi")
    return size / 2 / math.tan(angle / 2)


def refuse_mixed_sizes(file: Path, shots: Sequence[Shot]) -> None:
    """Photographs that share their intrinsics must be of one size: the others' would be wrong."""
    for shot in shots:
        camera, first = shot.camera, shots[0].camera
        if (camera.width, camera.height) != (first.width, first.height):
            raise SceneError(
                f"{shot.image}: is {camera.width} x {camera.height} pixels, expected "
                f"{first.width} x {first.height} as {shots[0].image.name}, "
                f"because {file.name} gives both the same intrinsics"
            )
