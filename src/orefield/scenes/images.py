"""Photographs as arrays: RGBA bytes, reduced by whole numbers, masks in or beside alpha."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageChops, ImageOps
from torch import Tensor

from orefield.cameras import Camera
from orefield.config import SceneConfig
from orefield.scenes.dataparsers.parsed_scene import Frame
from orefield.scenes.depth_maps import read_depth
from orefield.scenes.image_files import open_image, orientation
from orefield.types import SceneError

Side = Literal["white", "black"]


class LoadedFrame(NamedTuple):
    """The pixels of one frame, at the size they are used in."""

    image: UInt8[Tensor, "height width 4"]
    valid: Bool[Tensor, "height width"] | None
    """False where a mask says to ignore the pixel; None where all pixels are valid."""
    depth: Float[Tensor, "height width"] | None
    """Distance along the ray in the coordinates of the files, 0 where unknown."""


def read_image(
    path: Path,
    mask: Path | None = None,
    downscale: int = 1,
    keeps: Side = "white",
    upright: bool = True,
) -> UInt8[Tensor, "height width 4"]:
    """A photograph as RGBA with straight alpha, 255 where it is opaque.

    The alpha of the file and a mask (its first channel, of which one side is kept) multiply.
    Downscaling averages squares of pixels, weighting colors by alpha; rows and columns that fill
    no square are cut off. Of 16 bits the upper 8 are kept. Raises SceneError, naming the file, for
    a file that cannot be decoded, a mask of another size, and an image smaller than one square.
    """
    with open_image(path) as opened:
        image = _rgba(_turned(opened, upright), path)
    if mask is not None:
        visible = _mask(mask, keeps, upright)
        _check_mask(mask, visible.size, path, image.size)
        image.putalpha(ImageChops.multiply(image.getchannel("A"), visible))
    if downscale > 1:
        _check_downscale(path, image.size, downscale)
        width, height = (size // downscale * downscale for size in image.size)
        image = image.reduce(downscale, box=(0, 0, width, height))
    return torch.from_numpy(np.array(image))


def read_valid(frame: Frame, downscale: int, keeps: Side) -> Bool[Tensor, "height width"] | None:
    """Which pixels to use: those of which the frame's mask ignores no part.

    None without a mask, and where it ignores nothing.
    """
    if frame.mask is None:
        return None
    kept = _mask(frame.mask, keeps, frame.upright)
    _check_mask(frame.mask, kept.size, frame.image, (frame.camera.width, frame.camera.height))
    width, height = (size // downscale for size in kept.size)
    squares = np.asarray(kept)[: height * downscale, : width * downscale] >= 128
    valid = squares.reshape(height, downscale, width, downscale).all((1, 3))
    return None if valid.all() else torch.from_numpy(valid)


def read_frames(frames: Sequence[Frame], downscale: int, config: SceneConfig) -> list[LoadedFrame]:
    """The pixels of all frames, read by a few threads into one block that PixelSampler can share.

    `downscale` is what remains to be done to the files. Raises SceneError where `read_image` does.
    """
    for frame in frames:
        _check_downscale(frame.image, (frame.camera.width, frame.camera.height), downscale)
    cameras = [frame.camera.rescaled(1 / downscale) for frame in frames]
    ends = list(accumulate((camera.width * camera.height for camera in cameras), initial=0))
    block = torch.empty((ends[-1], 4), dtype=torch.uint8)
    ignore = config.masks == "ignore"

    def read(frame: Frame, camera: Camera, start: int, end: int) -> LoadedFrame:
        image = block[start:end].view(camera.height, camera.width, 4)
        mask = None if ignore else frame.mask
        pixels = read_image(frame.image, mask, downscale, config.mask_keeps, frame.upright)
        # Every parser takes the camera's size from the head of the image file.
        assert pixels.shape == image.shape, frame.image
        image.copy_(pixels)
        valid = read_valid(frame, downscale, config.mask_keeps) if ignore else None
        depth = None if frame.depth is None else read_depth(frame.depth, camera)
        return LoadedFrame(image, valid, depth)

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:  # Pillow decodes without the GIL
        return list(pool.map(read, frames, cameras, ends, ends[1:]))


def _turned(image: Image.Image, upright: bool) -> Image.Image:
    """The image as its EXIF data say, if that is asked for."""
    turn = upright and orientation(image) != 1
    return ImageOps.exif_transpose(image) if turn else image


def _mask(path: Path, keeps: Side, upright: bool) -> Image.Image:
    """A mask file as a gray image: 255 where the pixel is kept."""
    with open_image(path) as opened:
        mask = _rgba(_turned(opened, upright), path).getchannel(0)
    return ImageChops.invert(mask) if keeps == "black" else mask


def _rgba(image: Image.Image, path: Path) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grayscale, which Pillow would clip instead of scaling
        image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))
    if image.mode == "F":
        raise SceneError(f"{path}: floating-point images are not supported, expected 8 or 16 bits")
    if "A" not in image.mode and "a" not in image.mode and "transparency" not in image.info:
        image = image.convert("RGB")
    return image.convert("RGBA")


def _check_mask(mask: Path, size: tuple[int, int], image: Path, expected: tuple[int, int]) -> None:
    if size != expected:
        raise SceneError(
            f"{mask}: is {_by(size)} pixels, expected {_by(expected)} as its image {image.name}"
        )


def _check_downscale(path: Path, size: tuple[int, int], downscale: int) -> None:
    if min(size) < downscale:
        raise SceneError(f"{path}: {_by(size)} pixels cannot be downscaled by {downscale}")


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
