"""Photographs as arrays: RGBA bytes, upright, reduced by whole numbers, masks turned into alpha."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageChops, ImageOps
from torch import Tensor

from orefield.scenes.shots import Shot
from orefield.types import SceneError

ORIENTATION = 0x0112  # the EXIF tag; values 5 to 8 lie on their side


def image_size(path: Path) -> tuple[int, int]:
    """Width and height of the upright photograph, from the head of its file."""
    with _opened(path) as image:
        width, height = image.size
        return (height, width) if _orientation(image) >= 5 else (width, height)


def read_image(
    path: Path, mask: Path | None = None, downscale: int = 1
) -> UInt8[Tensor, "height width 4"]:
    """A photograph as RGBA with straight alpha, 255 where it is opaque.

    The alpha of the file and a mask (its first channel, white is kept) multiply. Downscaling
    averages squares of pixels, weighting colours by alpha; rows and columns that fill no square are
    cut off. Of 16 bits the upper 8 are kept. Raises SceneError, naming the file, for a file that
    cannot be decoded, a mask of another size, and an image smaller than one square.
    """
    with _opened(path) as opened:
        image = _rgba(_upright(opened), path)
    if mask is not None:
        with _opened(mask) as opened:
            visible = _rgba(_upright(opened), mask).getchannel(0)
        if visible.size != image.size:
            raise SceneError(
                f"{mask}: is {_by(visible.size)} pixels, expected {_by(image.size)} "
                f"as its image {path.name}"
            )
        image.putalpha(ImageChops.multiply(image.getchannel("A"), visible))
    if downscale > 1:
        _check_downscale(path, image.size, downscale)
        width, height = (size // downscale * downscale for size in image.size)
        image = image.reduce(downscale, box=(0, 0, width, height))
    return torch.from_numpy(np.array(image))


def read_images(shots: Sequence[Shot], downscale: int = 1) -> list[UInt8[Tensor, "height width 4"]]:
    """All photographs, read by a few threads into one block, which a pixel bank need not copy.

    Raises SceneError where `read_image` does.
    """
    for shot in shots:
        _check_downscale(shot.image, (shot.camera.width, shot.camera.height), downscale)
    cameras = [shot.camera.rescaled(1 / downscale) for shot in shots]
    ends = list(accumulate((camera.width * camera.height for camera in cameras), initial=0))
    block = torch.empty((ends[-1], 4), dtype=torch.uint8)
    images = [
        block[start:end].view(camera.height, camera.width, 4)
        for start, end, camera in zip(ends, ends[1:], cameras, strict=False)
    ]

    def fill(shot: Shot, image: UInt8[Tensor, "height width 4"]) -> None:
        photograph = read_image(shot.image, shot.mask, downscale)
        # Every reader takes the camera's size from the file's head.
        assert photograph.shape == image.shape, shot.image
        image.copy_(photograph)

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:  # Pillow decodes without the GIL
        for _ in pool.map(fill, shots, images):
            pass
    return images


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """An image file; what Pillow raises while it is open becomes a SceneError with its name."""
    try:
        with Image.open(path) as image:
            yield image
    except SceneError:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise SceneError(f"{path}: cannot be read as an image ({error})") from error


def _orientation(image: Image.Image) -> int:
    # Without EXIF data in the head of a PNG, getexif would decode all of it in search of some.
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    return int(image.getexif().get(ORIENTATION, 1))


def _upright(image: Image.Image) -> Image.Image:
    return image if _orientation(image) == 1 else ImageOps.exif_transpose(image)


def _rgba(image: Image.Image, path: Path) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit greyscale, which Pillow would clip instead of scaling
        image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))
    if image.mode == "F":
        raise SceneError(f"{path}: floating-point images are not supported, expected 8 or 16 bits")
    if "A" not in image.mode and "a" not in image.mode and "transparency" not in image.info:
        image = image.convert("RGB")
    return image.convert("RGBA")


def _check_downscale(path: Path, size: tuple[int, int], downscale: int) -> None:
    if min(size) < downscale:
        raise SceneError(f"{path}: {_by(size)} pixels cannot be downscaled by {downscale}")


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"
