"""Photographs as arrays: RGBA bytes, reduced by whole numbers, masks in or beside alpha."""

import os
import struct
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
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
from orefield.types import SceneError

ORIENTATION = 0x0112  # the EXIF tag; values 5 to 8 lie on their side
# What Pillow's decoders and its EXIF reader raise for damaged files.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, struct.error)


Side = Literal["white", "black"]


class Photograph(NamedTuple):
    """What belongs to one photograph, at the size it is used in."""

    image: UInt8[Tensor, "height width 4"]
    valid: Bool[Tensor, "height width"] | None
    """Pixels that no mask tells to ignore; None where that is all of them."""
    depth: Float[Tensor, "height width"] | None
    """Distance along the ray in the coordinates of the files, 0 where unknown."""


def image_size(path: Path, upright: bool = True) -> tuple[int, int]:
    """Width and height of the photograph, from the head of its file.

    `upright` turns it as its EXIF data say.
    """
    with _opened(path) as image:
        width, height = image.size
        return (height, width) if upright and _orientation(image) >= 5 else (width, height)


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
    with _opened(path) as opened:
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
    """The pixels that a frame's mask does not tell to ignore, in whole or in part.

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


def read_photographs(
    frames: Sequence[Frame], downscale: int, config: SceneConfig
) -> list[Photograph]:
    """All photographs, read by a few threads into one block, which a pixel bank need not copy.

    `downscale` is what their folder leaves to do. Raises SceneError where `read_image` does.
    """
    for frame in frames:
        _check_downscale(frame.image, (frame.camera.width, frame.camera.height), downscale)
    cameras = [frame.camera.rescaled(1 / downscale) for frame in frames]
    ends = list(accumulate((camera.width * camera.height for camera in cameras), initial=0))
    block = torch.empty((ends[-1], 4), dtype=torch.uint8)
    ignore = config.masks == "ignore"

    def read(frame: Frame, camera: Camera, start: int, end: int) -> Photograph:
        image = block[start:end].view(camera.height, camera.width, 4)
        mask = None if ignore else frame.mask
        photograph = read_image(frame.image, mask, downscale, config.mask_keeps, frame.upright)
        # Every reader takes the camera's size from the file's head.
        assert photograph.shape == image.shape, frame.image
        image.copy_(photograph)
        valid = read_valid(frame, downscale, config.mask_keeps) if ignore else None
        depth = None if frame.depth is None else read_depth(frame.depth, camera)
        return Photograph(image, valid, depth)

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:  # Pillow decodes without the GIL
        return list(pool.map(read, frames, cameras, ends, ends[1:]))


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """An image file; what Pillow raises while it is open becomes a SceneError with its name."""
    try:
        with Image.open(path) as image:
            yield image
    except SceneError:
        raise
    except (*_BROKEN, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        reason = " ".join(str(error).split())
        raise SceneError(f"{path}: cannot be read as an image ({reason})") from error


def _orientation(image: Image.Image) -> int:
    # Without EXIF data in the head of a PNG, getexif would decode all of it in search of some.
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    return int(image.getexif().get(ORIENTATION, 1))


def _turned(image: Image.Image, upright: bool) -> Image.Image:
    return ImageOps.exif_transpose(image) if upright and _orientation(image) != 1 else image


def _mask(path: Path, keeps: Side, upright: bool) -> Image.Image:
    """A mask, 255 where it keeps."""
    with _opened(path) as opened:
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
