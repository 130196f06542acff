"""The `transforms.json` of instant-ngp and nerfstudio: one file for a whole capture.

Intrinsics (`fl_x fl_y cx cy w h k1 k2 k3 p1 p2`, or `camera_angle_x` instead of a focal length; for
a fisheye `k1 k2 k3 k4`) and `camera_model` stand at the top of the file or in an entry of `frames`;
the entry's come first. An entry also holds `file_path`, `transform_matrix` (camera-to-world, OpenGL
axes) and optionally `mask_path` and `depth_file_path`. Frames are sorted by their paths.
`train_filenames`, `val_filenames` and `test_filenames` make a split. instant-ngp's `aabb_scale`
says how far the background extends. Not used: `ply_file_path`, and `applied_transform`, which the
poses already contain.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from orefield.cameras import Camera, Lens, panorama
from orefield.config import SceneConfig
from orefield.scenes.dataparsers.json_fields import Record, read_record
from orefield.scenes.dataparsers.json_frames import (
    focal_length,
    frame_pose,
    named_file,
    present_frames,
    refuse_mixed_sizes,
)
from orefield.scenes.dataparsers.parsed_scene import (
    DepthFile,
    Folder,
    Frame,
    ParsedScene,
    hold_out,
    naming,
)
from orefield.scenes.image_files import image_size

MODELS: dict[str, Lens] = {
    "OPENCV": "perspective",
    "PINHOLE": "perspective",
    "SIMPLE_PINHOLE": "perspective",
    "SIMPLE_RADIAL": "perspective",
    "RADIAL": "perspective",
    "OPENCV_FISHEYE": "fisheye",
    "SIMPLE_RADIAL_FISHEYE": "fisheye",
    "RADIAL_FISHEYE": "fisheye",
    "EQUIRECTANGULAR": "equirectangular",
}
FOCAL = ("fl_x", "fl_y", "camera_angle_x", "camera_angle_y")
COEFFICIENTS: dict[Lens, tuple[str, ...]] = {
    "perspective": ("k1", "k2", "p1", "p2", "k3"),
    "fisheye": ("k1", "k2", "k3", "k4"),
    "equirectangular": (),
}
ALL_COEFFICIENTS = ("k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2")
SPLITS = ("train_filenames", "val_filenames", "test_filenames")
NGP_UNIT = 0.33
"""instant-ngp shrinks the files' coordinates by this; its cube then has the side `aabb_scale`."""
MILLIMETERS = 1e-3
"""Unit of a depth map in meters, where `depth_unit_scale_factor` does not state it."""


def parse_transforms(folder: Folder, file: Path, config: SceneConfig) -> ParsedScene:
    """The frames of a `transforms.json` whose photographs exist.

    Without a split in the file every n-th is held out. Raises SceneError naming file and field.
    """
    root = read_record(file)
    entries = sorted(root.records("frames"), key=lambda entry: entry.text("file_path"))
    unit = _depth_unit(root)
    frames, shared = [], []
    for entry, path in present_frames(folder, file, entries):
        mask, depth = (named_file(folder, entry, f) for f in ("mask_path", "depth_file_path"))
        frame = Frame(
            entry.text("file_path"),
            path,
            mask,
            _camera(_Intrinsics(entry, root), path),
            frame_pose(entry),
            depth=None if depth is None else DepthFile(depth, unit),
        )
        frames.append(frame)
        if not any(map(entry.has, FOCAL)):
            shared.append(frame)
    refuse_mixed_sizes(file, shared)
    if root.has("applied_transform"):
        root.matrix("applied_transform")
    if any(map(root.has, SPLITS)):
        parsed = _split(root, [entry.text("file_path") for entry in entries], frames)
    else:
        parsed = hold_out(frames, config.holdout)
    half_extent = root.positive("aabb_scale") / NGP_UNIT / 2 if root.has("aabb_scale") else None
    return replace(parsed, downscale=config.downscale, half_extent=half_extent)


def _depth_unit(root: Record) -> float:
    field = "depth_unit_scale_factor"
    return root.positive(field) if root.has(field) else MILLIMETERS


def _split(root: Record, listed: Sequence[str], frames: Sequence[Frame]) -> ParsedScene:
    """The split that the file states; validation views are used where test views are missing.

    Without `train_filenames` all other frames are training views.
    """
    named = {field: root.texts(field) if root.has(field) else [] for field in SPLITS}
    for field, names in named.items():
        for name in names:
            if name not in listed:
                raise root.wrong(field, f"names of frames; no frame has {name!r:.60}")
    train, val, test = map(set, named.values())
    held_out = test or val
    if not root.has(SPLITS[0]):
        train = set(listed) - val - test
    if overlap := train & held_out:
        field = SPLITS[2] if test else SPLITS[1]
        raise root.wrong(field, f"names that train_filenames lacks; both have {min(overlap)!r:.60}")
    return ParsedScene(
        [frame for frame in frames if frame.name in train],
        [frame for frame in frames if frame.name in held_out],
        "named in the file" if test else "named in the file, val as test",
    )


@dataclass(frozen=True)
class _Intrinsics:
    """Intrinsics of one frame: its own fields first, then those at the top of the file."""

    entry: Record
    root: Record

    def stated(self, name: str) -> Record | None:
        """The record that has the field, if any."""
        return next((record for record in (self.entry, self.root) if record.has(name)), None)

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
    """The camera of one frame; absent fields follow from the size of its photograph."""
    lens = _lens(intrinsics)
    width, height = image_size(path)
    width, height = intrinsics.size("w", width, path), intrinsics.size("h", height, path)
    if lens == "equirectangular":
        return panorama(width, height)
    fx, fy = intrinsics.focal("x", width), intrinsics.focal("y", height)
    if fx is None and fy is None:
        expected = "a focal length in pixels, here or at the top, or camera_angle_x"
        raise intrinsics.entry.wrong("fl_x", expected)
    fx = fx or fy
    fy = fy or fx
    assert fx is not None
    assert fy is not None
    cx, cy = intrinsics.number("cx", width / 2), intrinsics.number("cy", height / 2)
    names = COEFFICIENTS[lens]
    distortion = tuple(intrinsics.number(name, 0.0) for name in names)
    if lens == "perspective" and not distortion[-1]:
        names, distortion = names[:-1], distortion[:-1]
    record = intrinsics.stated("k1") or intrinsics.entry
    with naming(f"{record.where}: {', '.join(names)}"):
        return Camera(width, height, fx, fy, cx, cy, distortion, lens)


def _lens(intrinsics: _Intrinsics) -> Lens:
    """The lens that `camera_model` or instant-ngp's `is_fisheye` states.

    Raises SceneError for a coefficient that such a lens does not have.
    """
    lens: Lens = "perspective"
    flag = intrinsics.stated("is_fisheye")
    if flag and flag.values["is_fisheye"]:
        lens = "fisheye"
    record = intrinsics.stated("camera_model")
    if record:
        name = record.text("camera_model")
        if name not in MODELS:
            raise record.wrong("camera_model", f"one of {', '.join(MODELS)}")
        lens = MODELS[name]
    for name in ALL_COEFFICIENTS:
        given = None if name in COEFFICIENTS[lens] else intrinsics.stated(name)
        if given and given.values[name]:
            known = ", ".join(COEFFICIENTS[lens]) or "none"
            raise given.wrong(name, f"absent or zero: the {lens} lens has {known}")
    return lens
