"""Photographs as arrays: RGBA bytes, reduced by whole numbers, masks in or beside alpha."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageChops
from torch import Tensor

from orefield.config import SceneConfig
from orefield.scenes.dataparsers.parsed_scene import Frame
from orefield.scenes.depth_maps import read_depth
from orefield.scenes.image_files import decoded, open_image
from orefield.scenes.masks import Levels, read_levels, sixteen_bits, white_level, whitened
from orefield.scenes.memory import Reading
from orefield.scenes.pixel_block import new_block
from orefield.types import SceneError

Kept = UInt8[np.ndarray, "rows columns"]
"""A mask at the size of its photograph: 255 where the pixel is kept."""


class LoadedFrame(NamedTuple):
    """The pixels of one frame, at the size they are used in."""

    image: UInt8[Tensor, "height width 4"]
    valid: Bool[Tensor, "height width"] | None
    """False where a mask says to ignore the pixel; None where all pixels are valid."""
    depth: Float[Tensor, "height width"] | None
    """Distance along the ray in the coordinates of the files, 0 where unknown."""


class Whites(NamedTuple):
    """What means white in the masks of a capture, and opaque in the alpha of its photographs.

    See `masks.white_level`.
    """

    mask: float = 1.0
    alpha: float = 1.0


def find_whites(frames: Sequence[Frame]) -> Whites:
    """Which values mean white and opaque, from as few files as decide it; see `white_level`."""
    masks = ((frame.mask, read_levels(frame)) for frame in frames if frame.mask is not None)
    alphas = ((frame.image, _alpha_levels(frame.image)) for frame in frames)
    known = ((path, alpha) for path, alpha in alphas if alpha is not None)
    return Whites(white_level(masks), white_level(known, faint=True))


def read_image(
    path: Path,
    kept: Kept | None = None,
    downscale: int = 1,
    upright: bool = False,
    opaque: float = 1.0,
) -> UInt8[Tensor, "height width 4"]:
    """A photograph as RGBA with straight alpha, 255 where it is opaque.

    The alpha of the file, of which the share `opaque` of the largest possible counts as opaque, and
    what is `kept` of a mask multiply. Downscaling averages squares of pixels, weighting colors by
    alpha; rows and columns that fill no square are cut off. Of 16 bits the upper 8 are kept.
    `upright` turns the photograph as its EXIF data say. Raises SceneError, naming the file, for one
    that cannot be decoded, pixels of 32 bits, and an image smaller than one square.
    """
    with open_image(path) as opened:
        image = _rgba(decoded(opened, upright), path)
    if opaque != 1:
        alpha = whitened(np.asarray(image.getchannel("A")), opaque)
        image.putalpha(Image.fromarray(alpha))
    if kept is not None:
        image.putalpha(ImageChops.multiply(image.getchannel("A"), Image.fromarray(kept)))
    if downscale > 1:
        _check_downscale(path, image.size, downscale)
        width, height = (size // downscale * downscale for size in image.size)
        image = image.reduce(downscale, box=(0, 0, width, height))
    return torch.from_numpy(np.array(image))


def read_kept(frame: Frame, config: SceneConfig, white: float) -> Kept | None:
    """What the mask of a frame keeps, at the size of the photograph; None without a mask."""
    if frame.mask is None:
        return None
    levels = whitened(read_levels(frame), white)
    return 255 - levels if config.mask_keeps == "black" else levels


def valid_pixels(kept: Kept | None, downscale: int) -> Bool[Tensor, "height width"] | None:
    """Which pixels to use: those of which a mask ignores no part.

    None without a mask, and where it ignores nothing.
    """
    if kept is None:
        return None
    height, width = (size // downscale for size in kept.shape)
    squares = kept[: height * downscale, : width * downscale] >= 128
    valid = squares.reshape(height, downscale, width, downscale).all((1, 3))
    return None if valid.all() else torch.from_numpy(valid)


def read_frames(
    frames: Sequence[Frame], downscale: int, config: SceneConfig, whites: Whites, how: Reading
) -> list[LoadedFrame]:
    """The pixels of all frames, read by a few threads into one block that PixelSampler can share.

    `downscale` is what remains to be done to the files. Raises SceneError where `read_image` does,
    and for a mask of another size than its photograph's.
    """
    for frame in frames:
        _check_downscale(frame.image, (frame.camera.width, frame.camera.height), downscale)
    cameras = [frame.camera.rescaled(1 / downscale) for frame in frames]
    ends = list(accumulate((camera.width * camera.height for camera in cameras), initial=0))
    block = new_block(ends[-1], how.in_file)
    ignore = config.masks == "ignore"

    def read(index: int) -> LoadedFrame:
        frame, camera = frames[index], cameras[index]
        image = block[ends[index] : ends[index + 1]].view(camera.height, camera.width, 4)
        kept = read_kept(frame, config, whites.mask)
        alpha = None if ignore else kept
        pixels = read_image(frame.image, alpha, downscale, frame.upright, whites.alpha)
        # Every parser takes the camera's size from the head of the image file.
        assert pixels.shape == image.shape, frame.image
        image.copy_(pixels)
        valid = valid_pixels(kept, downscale) if ignore else None
        depth = None if frame.depth is None else read_depth(frame.depth, frame.camera, downscale)
        return LoadedFrame(image, valid, depth)

    with ThreadPoolExecutor(how.threads) as pool:  # Pillow decodes without the GIL
        return list(pool.map(read, range(len(frames))))


def _rgba(image: Image.Image, path: Path) -> Image.Image:
    if (fine := sixteen_bits(image, path)) is not None:  # Pillow would clip instead of scaling
        image = Image.fromarray((fine >> 8).astype(np.uint8))
    if not _has_alpha(image):
        image = image.convert("RGB")
    return image.convert("RGBA")


def _has_alpha(image: Image.Image) -> bool:
    return "A" in image.mode or "a" in image.mode or "transparency" in image.info


def _alpha_levels(path: Path) -> Levels | None:
    """The alpha of a photograph; None, without decoding it, if it has none."""
    with open_image(path) as image:
        return np.asarray(_rgba(image, path).getchannel("A")) if _has_alpha(image) else None


def _check_downscale(path: Path, size: tuple[int, int], downscale: int) -> None:
    if min(size) < downscale:
        raise SceneError(
            f"{path}: {size[0]} x {size[1]} pixels cannot be downscaled by {downscale}"
        )
