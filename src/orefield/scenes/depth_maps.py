"""Depth maps: 16-bit PNG or .npy, as distances along the rays of their photographs."""

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from orefield.cameras import Camera, pixel_centers, pixel_directions
from orefield.scenes.dataparsers.folders import stretch
from orefield.scenes.dataparsers.numpy_files import read_npy
from orefield.scenes.dataparsers.parsed_scene import DepthFile
from orefield.scenes.image_files import decoded, open_image, stored_size
from orefield.types import SceneError

LARGEST = 4
"""Times the width and height of the photograph: sensors of depth see less, not more."""


def read_depth(
    depth: DepthFile, camera: Camera, downscale: int = 1
) -> Float[Tensor, "height width"]:
    """Distance along the ray through each pixel of a camera, made smaller; 0 where unknown.

    The file holds depth along the optical axis (for an equirectangular image: the distance) in
    multiples of its unit; zero, negative, infinite and NaN values mean unknown. A map of another
    size is resampled to the nearest of its pixels, not averaged: a mean across an edge lies in
    empty space. Raises SceneError, naming the file, for anything but one number per pixel, and for
    other proportions than those of the photograph, for which `camera` is.
    """
    values = _values(depth, camera)
    camera = camera.rescaled(1 / downscale)
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[:, :, 0]
    if values.ndim != 2 or values.dtype.kind not in "fiu" or not values.size:
        raise SceneError(
            f"{depth.file}: expected one number per pixel, got {values.dtype} {values.shape}"
        )
    rows, columns = (
        ((np.arange(size) + 0.5) * length / size).astype(np.int64)
        for size, length in zip((camera.height, camera.width), values.shape, strict=True)
    )
    along = torch.from_numpy(values[rows[:, None], columns].astype(np.float32)) * depth.unit
    if camera.lens != "equirectangular":
        forward = pixel_directions(camera, pixel_centers(camera))[:, 2].view_as(along)
        along = along / forward.clamp(min=0)  # nothing has a depth behind the camera
    return torch.where(along.isfinite() & (along > 0), along, 0.0)


def _values(depth: DepthFile, camera: Camera) -> NDArray:
    """The numbers in a file whose size fits the camera; that is checked before they are read."""
    if depth.file.suffix.lower() == ".npy":
        values = read_npy(depth.file)  # memory-mapped: only what is used is read
        if values.ndim in (2, 3) and values.size:
            _check_size(depth, (values.shape[1], values.shape[0]), camera)
        return values
    with open_image(depth.file, "a depth map") as image:
        if image.mode not in ("I", "F", "L") and not image.mode.startswith("I;16"):
            raise SceneError(
                f"{depth.file}: expected a depth map with one channel, got {image.mode}"
            )
        _check_size(depth, stored_size(image), camera)
        return np.asarray(decoded(image))


def _check_size(depth: DepthFile, size: tuple[int, int], camera: Camera) -> None:
    full = camera.width, camera.height
    across, down = stretch(size, full, depth.file, "its photograph")
    if max(across, down) > LARGEST:
        raise SceneError(
            f"{depth.file}: is {size[0]} x {size[1]} pixels, expected at most {LARGEST} times "
            f"{full[0]} x {full[1]}, the size of its photograph"
        )
