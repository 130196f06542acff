"""Cameras and poses of COLMAP's models, as they are meant here."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from orefield.cameras import Camera, Lens
from orefield.scenes.dataparsers.colmap_model import PARAMETERS, ModelCamera, ModelImage, usable
from orefield.scenes.dataparsers.parsed_scene import naming
from orefield.types import SceneError

LENSES: dict[str, tuple[int, Lens, tuple[int, ...]]] = {
    "SIMPLE_PINHOLE": (1, "perspective", ()),
    "PINHOLE": (2, "perspective", ()),
    "SIMPLE_RADIAL": (1, "perspective", (0,)),
    "RADIAL": (1, "perspective", (0, 1)),
    "OPENCV": (2, "perspective", (0, 1, 2, 3)),
    "FULL_OPENCV": (2, "perspective", (0, 1, 2, 3, 4, 5, 6, 7)),
    "SIMPLE_FISHEYE": (1, "fisheye", ()),
    "FISHEYE": (2, "fisheye", ()),
    "SIMPLE_RADIAL_FISHEYE": (1, "fisheye", (0,)),
    "RADIAL_FISHEYE": (1, "fisheye", (0, 1)),
    "OPENCV_FISHEYE": (2, "fisheye", (0, 1, 2, 3)),
}
"""For each camera model: number of focal lengths, lens, and which coefficients its last parameters
are."""


def camera_of(camera: ModelCamera) -> Camera:
    """The camera for its photographs at full size.

    Raises SceneError, naming file and camera, for a damaged one and for a model that is none of
    ours.
    """
    if camera.fault:
        raise SceneError(f"{camera.where}: {camera.fault}")
    width, height, numbers = camera.width, camera.height, camera.parameters
    if camera.kind == "EQUIRECTANGULAR":
        around, down = numbers  # pixels of the whole sphere
        focal, center = (around / math.tau, down / math.pi), (around / 2, down / 2)
        with naming(camera.where):
            return Camera(width, height, *focal, *center, lens="equirectangular")
    if camera.kind not in LENSES:
        known = ", ".join(name for name, _ in PARAMETERS.values() if name in LENSES)
        raise SceneError(
            f"{camera.where}: camera model {camera.kind:.40} is not supported; expected one of "
            f"{known} or EQUIRECTANGULAR; `colmap image_undistorter` makes PINHOLE of it"
        )
    focals, lens, indices = LENSES[camera.kind]
    coefficients = [0.0] * (8 if max(indices, default=0) > 3 else 4)
    for index, value in zip(indices, numbers[focals + 2 :], strict=True):
        coefficients[index] = value
    fx, fy, (cx, cy) = numbers[0], numbers[focals - 1], numbers[focals : focals + 2]
    with naming(camera.where):
        return Camera(width, height, fx, fy, cx, cy, tuple(coefficients), lens)


def pose_of(image: ModelImage) -> Float[Tensor, "3 4"]:
    """Camera to world, float64; SceneError, naming file and image, for numbers that are no pose."""
    numbers = (*image.rotation, *image.translation)
    if not all(map(usable, numbers)) or max(map(abs, image.rotation)) < 1e-6:
        raise SceneError(f"{image.where}: expected a quaternion and a translation, got {numbers}")
    quaternion = torch.tensor(image.rotation, dtype=torch.float64)
    w, x, y, z = (quaternion / torch.linalg.vector_norm(quaternion)).tolist()
    # Rows of the rotation from camera to world: that of the quaternion, transposed.
    rotation = quaternion.new_tensor(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)],
            [2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)],
            [2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    center = -rotation @ quaternion.new_tensor(image.translation)
    return torch.cat((rotation, center[:, None]), dim=1)
