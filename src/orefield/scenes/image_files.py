"""Image files, opened so that an error names the file; what is read from their heads alone.

Pixels are taken *as they are stored*, as COLMAP, nerfstudio and instant-ngp take them, unless a
caller asks for the picture *upright*, turned as its EXIF data say.
"""

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import ExifTags, Image, TiffImagePlugin, UnidentifiedImageError

from orefield.types import SceneError

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")
"""What is looked for in a file, whatever its name says; JPEG includes the pictures of two frames
that phones write. Pillow knows more, among them PostScript, for which it starts another program."""
# What Pillow's decoders and its EXIF reader raise for damaged files.
_PILLOW_ERRORS = (
    *(OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, AttributeError),
    *(ArithmeticError, AssertionError, RuntimeError, MemoryError, struct.error, zlib.error),
    *(Image.DecompressionBombError, Image.DecompressionBombWarning),
)
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What puts an image of each EXIF orientation upright; 1 is upright."""
_BACK = _TURNS | {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
"""The inverse."""


@contextmanager
def open_image(path: Path, kind: str = "an image") -> Iterator[Image.Image]:
    """An image file; whatever Pillow raises while it is open becomes a SceneError with its name.

    Of several pictures in a file the first is read.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            yield image
    except SceneError:
        raise
    except _PILLOW_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, UnidentifiedImageError):
            reason = "expected a whole PNG, JPEG, WebP, TIFF or BMP file"
        raise SceneError(f"{path}: cannot be read as {kind} ({reason})") from error


def read_exif(image: Image.Image) -> Image.Exif:
    """The EXIF data in the head of an image file; empty where they are damaged."""
    # Pillow's getexif would decode a PNG without them to the end, because they may come last.
    if image.format == "PNG" and "exif" not in image.info:
        return Image.Exif()
    try:
        return image.getexif()
    except _PILLOW_ERRORS:  # a photograph is worth reading without them
        return Image.Exif()


def orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 where none is stated; the pixels of 5 to 8 are stored on their side.

    Ask before the image is decoded: Pillow turns TIFF files as it decodes them, and forgets.
    """
    value = read_exif(image).get(ExifTags.Base.Orientation)
    return value if isinstance(value, int) and value in _TURNS else 1


def stored_size(image: Image.Image) -> tuple[int, int]:
    """Width and height of the pixels as they are stored, before anything is decoded."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):  # whose `size` is that after turning
        tags = image.tag_v2
        return tags[ExifTags.Base.ImageWidth], tags[ExifTags.Base.ImageLength]
    return image.size


def image_size(path: Path, upright: bool = False) -> tuple[int, int]:
    """Width and height of a photograph, from the head of its file.

    `upright` turns it as its EXIF data say.
    """
    with open_image(path) as image:
        width, height = stored_size(image)
        return (height, width) if upright and orientation(image) >= 5 else (width, height)


def decoded(image: Image.Image, upright: bool = False) -> Image.Image:
    """The pixels as they are stored, or turned `upright` as the EXIF data say."""
    turn = orientation(image)
    image.load()
    if image.format == "TIFF":
        return image if upright else turned(image, turn, back=True)
    return turned(image, turn) if upright else image


def turned(image: Image.Image, turn: int, back: bool = False) -> Image.Image:
    """An image of EXIF orientation `turn` put upright; `back`: an upright one turned to it."""
    if turn == 1:
        return image
    result = image.transpose((_BACK if back else _TURNS)[turn])
    result.format = image.format  # which Pillow forgets
    return result
