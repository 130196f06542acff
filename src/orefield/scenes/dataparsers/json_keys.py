"""What is done with the keys of a JSON scene: read, refused, known to say nothing here, or unknown.

A key that would change the camera and is not read is refused. One that is read nowhere and not
known to be harmless is named in a warning. docs/scene-keys.md has the same table for people.
"""

import re
import warnings
from collections.abc import Sequence
from typing import Any

import torch

from orefield.scenes.dataparsers.json_fields import Record
from orefield.scenes.dataparsers.parsed_scene import few
from orefield.scenes.scene import SceneWarning

COEFFICIENT = re.compile(r"[kpsb]\d{1,2}")
"""Names of lens coefficients; those that a lens lacks must be zero (see json_intrinsics)."""
SPLITS = ("train_filenames", "val_filenames", "test_filenames")
READ = {
    *("fl_x", "fl_y", "x_fov", "y_fov", "camera_angle_x", "camera_angle_y", "cx", "cy", "w", "h"),
    *("camera_model", "is_fisheye", "latlong", "camera_type", "lens_type", "projection"),
}
READ_AT_TOP = {"frames", "aabb_scale", "applied_transform", "depth_unit_scale_factor"}
READ_IN_FRAMES = {"file_path", "transform_matrix", "mask_path", "depth_file_path"}
IGNORED = {
    # About the photograph or how it was chosen.
    *("rotation", "sharpness", "blur_score", "colmap_im_id", "image_id", "camera_id", "cam_id"),
    *("id", "name", "timestamp", "sharpness_discard_threshold"),
    # What the poses contain already, and how other trainers would turn and scale them.
    *("applied_scale", "orientation_override", "auto_scale_poses_override"),
    *("offset", "scale", "up", "aabb", "render_aabb", "n2w"),
    # Files beside the photographs, and settings of other trainers.
    *("ply_file_path", "enable_ray_loading", "enable_depth_loading", "importance_sampling"),
    *("n_extra_learnable_dims", "sharpen", "is_hdr", "fix_premult"),
}
REFUSED = {
    "equirectangular": "absent: instant-ngp's has rows of equal area; rows at equal angles are "
    "latlong, or camera_model EQUIRECTANGULAR",
    "orthographic": "absent: an orthographic lens is not supported",
    **dict.fromkeys(
        ("distortion_params", "distortion", "distortion_coefficients", "dist", "dist_coeffs"),
        "absent: coefficients are read from k1, k2, p1, p2, k3, k4",
    ),
    "lens_model": "absent: the lens is read from camera_model",
    "skew": "absent or zero: pixels must be rectangles",
    "from_na": "absent or false: camera axes must be OpenGL's, not NeuS2's",
    "normal_mts_args": "absent: camera axes must be OpenGL's, not Mitsuba's",
}
MOVING = ("transform_matrix_start", "transform_matrix_end")
LENS_NAMES = ("camera_type", "lens_type", "projection")
"""Read only to refuse what is not a perspective lens."""
SPELLINGS = {
    **{"fx": "fl_x", "fy": "fl_y", "c_x": "cx", "c_y": "cy"},
    **dict.fromkeys(("K", "intrinsics", "intrinsic_matrix", "camera_intrinsics", "fov"), "fl_x"),
}
"""Other names of intrinsics, and the key that makes them superfluous where it stands beside."""


def refuse_unread(record: Record) -> None:
    """Raise SceneError for a key that would change the camera or its pose and is not read."""
    for name, value in record.values.items():
        if not _says_something(value):
            continue
        if name in REFUSED:
            raise record.wrong(name, REFUSED[name])
        if name.startswith("ftheta_"):
            raise record.wrong(name, "absent: the f-theta lens is not supported")
        if name in MOVING and not _is_pose(record, name):
            raise record.wrong(name, "absent: a camera must not move during the exposure")
        if name in LENS_NAMES and value not in ("perspective", "pinhole"):
            raise record.wrong(name, "absent or 'perspective': other lenses need a camera_model")
        if name in SPELLINGS and not record.has(SPELLINGS[name]):
            raise record.wrong(name, f"absent, or stated as {SPELLINGS[name]}")


def _is_pose(record: Record, name: str) -> bool:
    """Whether a matrix is that of the pose."""
    pose = "transform_matrix"
    return record.has(pose) and torch.equal(record.matrix(name), record.matrix(pose))


def warn_of_unread(root: Record, entries: Sequence[Record], splits: bool) -> None:
    """Warn once of the keys that are read nowhere and may mean something.

    `splits` says whether the file's lists of training, validation and test images are read.
    """
    top = READ | READ_AT_TOP | (set(SPLITS) if splits else set())
    unread = [name for name in root.values if _may_matter(root, name, top)]
    inner = READ | READ_IN_FRAMES
    for entry in entries:
        unread += [name for name in entry.values if _may_matter(entry, name, inner)]
    if names := list(dict.fromkeys(unread)):
        warnings.warn(f"{root.where}: keys that are not read: {few(names)}", SceneWarning, 2)


def _may_matter(record: Record, name: str, read: set[str]) -> bool:
    if name in read or name in IGNORED or not _says_something(record.values[name]):
        return False
    # These are judged where the camera is read.
    judged = name in REFUSED or name in MOVING or name in SPELLINGS or name.startswith("ftheta_")
    return not judged and not COEFFICIENT.fullmatch(name)


def _says_something(value: Any) -> bool:
    """Whether a value differs from null, false, zero, nothing, and a list of these."""
    return any(value) if isinstance(value, list) else bool(value)
