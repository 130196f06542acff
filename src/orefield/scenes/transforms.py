"""The `transforms.json` of instant-ngp and nerfstudio: one file for a whole capture.

Intrinsics (`fl_x fl_y cx cy w h k1 k2 p1 p2`, or `camera_angle_x` instead of a focal length) stand
at the top, in a frame, or both; the frame's win. `frames` holds `file_path`, `transform_matrix`
(camera-to-world, OpenGL axes) and optionally `mask_path` (white is kept). Frames are taken in the
order of their paths. The file's `aabb_scale` is not used: the box comes from the cameras.
"""

from dataclasses import dataclass
from pathlib import Path

from orefield.cameras import Camera
from orefield.scenes.frames import focal_length, frame_pose, present_frames, refuse_mixed_sizes
from orefield.scenes.images import image_size
from orefield.scenes.record import Record, read_json
from orefield.scenes.shots import Listing, Shot, hold_out, inside, is_file
from orefield.types import SceneError

MODELS = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL")
FOCAL = ("fl_x", "fl_y", "camera_angle_x", "camera_angle_y")
DISTORTION = ("k1", "k2", "p1", "p2")
UNSUPPORTED = ("k3", "k4", "is_fisheye")


def list_transforms(file: Path, holdout: int) -> Listing:
    """The photographs a `transforms.json` names, less the missing ones; every n-th is held out.

    Raises SceneError naming file and field.
    """
    root = read_json(file)
    frames = sorted(root.records("frames"), key=lambda frame: frame.text("file_path"))
    shots, shared = [], []
    for frame, path in present_frames(file, frames):
        camera = _camera(_Intrinsics(frame, root), path)
        shot = Shot(frame.text("file_path"), path, _mask(file, frame), camera, frame_pose(frame))
        shots.append(shot)
        if not any(map(frame.has, FOCAL)):
            shared.append(shot)
    refuse_mixed_sizes(file, shared)
    return hold_out(shots, holdout)


def _mask(file: Path, frame: Record) -> Path | None:
    if not frame.has("mask_path"):
        return None
    mask = inside(file.parent, frame.text("mask_path"), f"{frame.where}.mask_path")
    if not is_file(mask):
        raise frame.wrong("mask_path", "the path of an image that is there")
    return mask


@dataclass(frozen=True)
class _Intrinsics:
    """A frame's own intrinsics over the file's."""

    frame: Record
    root: Record

    def stated(self, name: str) -> Record | None:
        """Where the field stands, if anywhere."""
        return next((record for record in (self.frame, self.root) if record.has(name)), None)

    def number(self, name: str, default: float) -> float:
        record = self.stated(name)
        return default if record is None else record.number(name)

    def size(self, name: str, actual: int, path: Path) -> int:
        record = self.stated(name)
        if record is not None and record.size(name) != actual:
            raise record.wrong(name, f"{actual}, the size of {path.name}")
        return actual

    def focal(self, axis: str, size: int) -> float | None:
        """Focal length in pixels along one axis, from itself or from the field of view."""
        if record := self.stated(f"fl_{axis}"):
            return record.positive(f"fl_{axis}")
        if record := self.stated(f"camera_angle_{axis}"):
            return focal_length(record, f"camera_angle_{axis}", size)
        return None


def _camera(intrinsics: _Intrinsics, path: Path) -> Camera:
    """The camera of one frame; its size is the photograph's, from which follows what is absent."""
    _refuse_other_models(intrinsics)
    width, height = image_size(path)
    width, height = intrinsics.size("w", width, path), intrinsics.size("h", height, path)
    fx, fy = intrinsics.focal("x", width), intrinsics.focal("y", height)
    if fx is None and fy is None:
        expected = "a focal length in pixels, here or at the top, or camera_angle_x"
        raise intrinsics.frame.wrong("fl_x", expected)
    fx = fx or fy
    fy = fy or fx
    assert fx is not None
    assert fy is not None
    cx, cy = intrinsics.number("cx", width / 2), intrinsics.number("cy", height / 2)
    k1, k2, p1, p2 = (intrinsics.number(name, 0.0) for name in DISTORTION)
    try:
        return Camera(width, height, fx, fy, cx, cy, (k1, k2, p1, p2))
    except ValueError as error:
        record = intrinsics.stated("k1") or intrinsics.frame
        raise SceneError(f"{record.where}: k1, k2, p1, p2: {error}") from error


def _refuse_other_models(intrinsics: _Intrinsics) -> None:
    record = intrinsics.stated("camera_model")
    if record and record.text("camera_model") not in MODELS:
        raise record.wrong("camera_model", f"one of {', '.join(MODELS)}")
    for name in UNSUPPORTED:
        record = intrinsics.stated(name)
        if record and record.values[name]:
            raise record.wrong(name, "absent or zero: only k1, k2, p1, p2 are supported")
