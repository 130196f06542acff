"""A COLMAP text model: what trainers of Gaussian splats start from.

Cameras, poses and points in COLMAP's conventions: world to camera, OpenCV axes, quaternions with
the real part first, the center of the first pixel at (0.5, 0.5). Points have no tracks.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from scipy.spatial.transform import Rotation

from orefield.cameras import Camera
from orefield.export.points import Points
from orefield.export.space import FieldInSpace
from orefield.scenes.scene import View
from orefield.system.files import write_atomically


def write_colmap(points: Points, views: Sequence[View], space: FieldInSpace, out: Path) -> None:
    """`out/sparse/0` with cameras, images and points, and `out/images` with the photographs.

    Those as they were trained on, as PNG. `out` must not exist, or be empty. Written whole or not
    at all: OSError, naming the folder, where the disk is full, for example.
    """
    beside = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        _write_model(points, views, space, beside)
        beside.replace(out)
    except BaseException as error:
        shutil.rmtree(beside, ignore_errors=True)
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, str(out)) from None
        raise


def _write_model(points: Points, views: Sequence[View], space: FieldInSpace, out: Path) -> None:
    cameras = {camera: number + 1 for number, camera in enumerate({v.camera: 0 for v in views})}
    lines = [f"{number} {_camera(camera)}" for camera, number in cameras.items()]
    names = [f"{index:04d}.png" for index in range(len(views))]
    (out / "images").mkdir(parents=True, exist_ok=True)
    (out / "sparse" / "0").mkdir(parents=True, exist_ok=True)
    for name, view in zip(names, views, strict=True):
        Image.fromarray(view.image.numpy()).save(out / "images" / name)
    images = [
        f"{index + 1} {_pose(view, space)} {cameras[view.camera]} {name}\n"
        for index, (name, view) in enumerate(zip(names, views, strict=True))
    ]
    _write(out, "cameras.txt", "CAMERA_ID MODEL WIDTH HEIGHT PARAMS", lines)
    _write(out, "images.txt", "IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME", images)
    _write(out, "points3D.txt", "POINT3D_ID X Y Z R G B ERROR", _points(points))


def _write(out: Path, name: str, head: str, lines: Sequence[str]) -> None:
    text = "\n".join([f"# {head}", *lines])
    write_atomically(out / "sparse" / "0" / name, f"{text}\n".encode())


def _points(points: Points) -> list[str]:
    return [
        f"{number} {x:.9g} {y:.9g} {z:.9g} {r} {g} {b} 0"
        for number, ((x, y, z), (r, g, b)) in enumerate(
            zip(points.positions.tolist(), points.colors.tolist(), strict=True), 1
        )
    ]


def _camera(camera: Camera) -> str:
    focal = f"{camera.fx:.12g} {camera.fy:.12g} {camera.cx:.12g} {camera.cy:.12g}"
    size = f"{camera.width} {camera.height}"
    if camera.lens == "equirectangular":
        return f"EQUIRECTANGULAR {size} {camera.width} {camera.height}"
    if camera.straight:
        return f"PINHOLE {size} {focal}"
    more = any(camera.coefficients[4:])
    model = "OPENCV_FISHEYE" if camera.lens == "fisheye" else "FULL_OPENCV" if more else "OPENCV"
    distortion = " ".join(f"{value:.12g}" for value in camera.coefficients[: 8 if more else 4])
    return f"{model} {size} {focal} {distortion}"


def _pose(view: View, space: FieldInSpace) -> str:
    turn = view.pose[:, :3].double().T
    shift = -turn @ space.to_files(view.pose[:, 3:])[:, 0]
    x, y, z, w = Rotation.from_matrix(turn.numpy()).as_quat(canonical=True)
    numbers = [w, x, y, z, *shift.tolist()]
    return " ".join(f"{number:.12g}" for number in numbers)
