"""Depth maps: 16-bit PNG or .npy, as distances along the rays of their photographs."""

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from orefield.cameras import Camera, pixel_centers, pixel_directions
from orefield.scenes.dataparsers.numpy_files import read_npy
from orefield.scenes.dataparsers.parsed_scene import DepthFile
from orefield.scenes.image_files import open_image
from orefield.types import SceneError


def read_depth(depth: DepthFile, camera: Camera) -> Float[Tensor, "height width"]:
    """Distance along the ray through each pixel of a camera, 0 where unknown.

    The file holds depth along the optical axis (for an equirectangular image: the distance) in
    multiples of its unit; zero, negative, infinite and NaN values mean unknown. A map of another
    size is resampled to the nearest of its pixels, not averaged: a mean across an edge lies in
    empty space. Raises SceneError, naming the file, for anything but one number per pixel.
    """
    values = _values(depth)
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


def _values(depth: DepthFile) -> NDArray:
    if depth.file.suffix.lower() == ".npy":
        return read_npy(depth.file)
    with open_image(depth.file, "a depth map") as image:
        if image.mode not in ("I", "F", "L") and not image.mode.startswith("I;16"):
            raise SceneError(
                f"{depth.file}: expected a depth map with one channel, got {image.mode}"
            )
        return np.asarray(image)
