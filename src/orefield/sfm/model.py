"""pycolmap models: their cameras and poses in the types of this package; leveled, undistorted."""

from collections.abc import Generator
from pathlib import Path

import numpy as np
import pycolmap
import torch
from jaxtyping import Float

from orefield.cameras import Camera
from orefield.scenes.dataparsers.names import natural_key
from orefield.sfm.native import watch
from orefield.sfm.photographs import JPEG_QUALITY
from orefield.sfm.progress import Progress
from orefield.sfm.write import PosedPhoto
from orefield.types import SceneError


def placed_views(model: pycolmap.Reconstruction) -> list[PosedPhoto]:
    """The model's registered photographs in natural order.

    Raises SceneError for a lens distortion that folds the image over itself.
    """
    images = [model.image(number) for number in model.reg_image_ids()]
    cameras = {number: _camera(camera) for number, camera in model.cameras.items()}
    return [
        PosedPhoto(
            image.name,
            cameras[image.camera_id],
            torch.from_numpy(image.cam_from_world().inverse().matrix()),
        )
        for image in sorted(images, key=lambda image: natural_key(image.name))
    ]


def _camera(camera: pycolmap.Camera) -> Camera:
    distortion = [float(camera.params[i]) for i in camera.extra_params_idxs()]
    k1, k2, p1, p2 = (*distortion, 0.0, 0.0, 0.0, 0.0)[:4]
    try:
        return Camera(
            camera.width,
            camera.height,
            camera.focal_length_x,
            camera.focal_length_y,
            camera.principal_point_x,
            camera.principal_point_y,
            (k1, k2, p1, p2),
        )
    except ValueError as error:
        raise SceneError(
            f"the estimated camera cannot be right ({error}); take more photographs, or try "
            "--model SIMPLE_RADIAL"
        ) from error


def level(model: pycolmap.Reconstruction) -> None:
    """Turn the model so that the photographs' mean upward direction becomes +z."""
    images = [model.image(number) for number in model.reg_image_ids()]
    # A camera's y axis, the second row of its world-to-camera rotation, points down.
    up = -np.mean([image.cam_from_world().rotation.matrix()[1] for image in images], axis=0)
    length = float(np.linalg.norm(up))
    if length < 1e-3:  # opposite directions cancel out
        return
    turn = _between(up / length, np.array([0.0, 0.0, 1.0]))
    model.transform(pycolmap.Sim3d(1.0, pycolmap.Rotation3d(turn), np.zeros(3)))


def _between(
    start: Float[np.ndarray, " 3"], stop: Float[np.ndarray, " 3"]
) -> Float[np.ndarray, "3 3"]:
    """The smallest rotation that takes one unit vector to another, as two reflections."""
    middle = start + stop
    if np.linalg.norm(middle) < 1e-6:  # opposite: half a turn about any perpendicular axis
        across = np.eye(3)[np.abs(start).argmin()]
        axis = np.cross(start, across) / np.linalg.norm(np.cross(start, across))
        return np.asarray(2 * np.outer(axis, axis) - np.eye(3))
    half = middle / np.linalg.norm(middle)
    flip = 2 * np.outer(half, half) - np.eye(3)
    return np.asarray(flip @ (2 * np.outer(start, start) - np.eye(3)))


def undistort(
    sparse: Path, images: Path, out: Path, number: int, threads: int
) -> Generator[Progress, None, None]:
    """Write the model and its photographs for a pinhole camera: `out/images`, `out/sparse`.

    Transparency is lost.
    """

    def call(token: pycolmap.CancellationToken) -> None:
        pycolmap.undistort_images(
            out,
            sparse,
            images,
            jpeg_quality=JPEG_QUALITY,
            num_threads=threads,
            cancellation_token=token,
        )

    yield from watch("undistorting", number, lambda: _files(out / "images"), call)


def _files(folder: Path) -> int:
    return sum(1 for _ in folder.iterdir()) if folder.is_dir() else 0
