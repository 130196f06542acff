"""Masks, and which of their values means white.

Masks are drawn in 0 and 255, or saved from booleans as 0 and 1, in 8 bits or in 16. One file does
not tell which: a soft mask may be all but black. So all masks of a capture together decide, and
likewise the alpha of all its photographs:

- Where one of them reaches the largest value its bits can hold, that is white: all are as they are.
- Where they hold 0 and a single other value, whatever it is, that value is white.
- Else, with several values, all are as they are. In masks they must reach half of the largest
  possible (a lossy file may miss 255 by a little): small numbers are those of a map of labels.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray
from PIL import Image

from orefield.scenes.dataparsers.parsed_scene import Frame
from orefield.scenes.image_files import decoded, open_image, orientation, stored_size, turned
from orefield.types import SceneError

Levels = NDArray[np.uint8] | NDArray[np.uint16]
"""Gray values of one file, [height, width], as it holds them: the type says in how many bits."""


def white_level(files: Iterable[tuple[Path, Levels]], faint: bool = False) -> float:
    """The value that means white in a capture's masks, in (0, 1]: 1 is all bits set.

    `files` are read until one of them decides. Raises SceneError, naming a file, for what looks
    like labels, unless all may be `faint`, as the alpha of smoke.
    """
    seen: set[float] = set()
    largest, where, most = 0.0, Path(), 0
    for path, levels in files:
        full = int(np.iinfo(levels.dtype).max)
        values = np.flatnonzero(np.bincount(levels.ravel())).tolist()
        seen |= {value / full for value in values if value}
        if 1.0 in seen:
            return 1.0
        if values[-1] / full > largest:
            largest, where, most = values[-1] / full, path, values[-1]
    if len(seen) == 1:
        return largest
    if faint or not seen or largest >= 0.5:
        return 1.0
    raise SceneError(
        f"{where}: a mask with {len(seen) + 1} values up to {most}, the largest in the scene; "
        "expected 0 and 255 (0 and 65535 of 16 bits) and what lies between, or 0 and one other"
    )


def whitened(levels: Levels, white: float) -> UInt8[np.ndarray, "height width"]:
    """Levels scaled so that `white` (as from `white_level`) becomes 255."""
    if levels.dtype == np.uint8 and white == 1:
        return levels.astype(np.uint8, copy=False)
    full = white * float(np.iinfo(levels.dtype).max)
    scaled: Levels = np.rint(levels.astype(np.float32) * (255 / full)).clip(0, 255).astype(np.uint8)
    return scaled


def read_levels(frame: Frame) -> Levels:
    """The mask of a frame, which has one: its first channel, turned as its photograph is used.

    Its size says what it belongs to: the photograph as it is used, or, where EXIF data turn that by
    a quarter, the photograph in its other position. Raises SceneError, before anything is decoded,
    for any other size.
    """
    assert frame.mask is not None
    expected = frame.camera.width, frame.camera.height
    with open_image(frame.mask) as image:
        size, turn = stored_size(image), 1
        if size != expected and size[::-1] == expected:
            with open_image(frame.image) as photograph:
                turn = orientation(photograph)
        if size != expected and turn < 5:
            raise SceneError(
                f"{frame.mask}: is {size[0]} x {size[1]} pixels, expected {expected[0]} x "
                f"{expected[1]} as its image {frame.image.name}"
            )
        return gray_levels(turned(decoded(image), turn, back=not frame.upright), frame.mask)


def gray_levels(image: Image.Image, path: Path) -> Levels:
    """The alpha of a decoded image if any of it is transparent, else its first channel.

    Of 8 or 16 bits.
    """
    if (fine := sixteen_bits(image, path)) is not None:
        return fine
    if image.has_transparency_data:
        # A mask that is cut out has in its colors the photograph, or one color everywhere.
        alpha = np.asarray(image.convert("RGBA").getchannel("A"))
        if alpha.min() < 255:
            return alpha
    return np.asarray(image.convert("RGB").getchannel(0))


def sixteen_bits(image: Image.Image, path: Path) -> NDArray[np.uint16] | None:
    """The values of a gray image of 16 bits, None for one of 8 bits a channel.

    Raises SceneError for 32 bits and for floating-point numbers.
    """
    # Older versions of Pillow open a PNG of 16 bits in the mode of 32.
    if image.mode == "F" or (image.mode == "I" and image.format != "PNG"):
        raise SceneError(
            f"{path}: pixels of 32 bits are not supported, whole or floating-point; "
            "expected 8 or 16 bits"
        )
    return np.asarray(image).astype(np.uint16) if image.mode.startswith("I") else None
