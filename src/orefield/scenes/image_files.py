"""Image files, opened so that an error names the file; what is read from their heads alone."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import ExifTags, Image

from orefield.types import SceneError

# What Pillow's decoders and its EXIF reader raise for damaged files.
_PILLOW_ERRORS = (
    *(OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, struct.error),
    *(Image.DecompressionBombError, Image.DecompressionBombWarning),
)


@contextmanager
def open_image(path: Path, kind: str = "an image") -> Iterator[Image.Image]:
    """An image file; whatever Pillow raises while it is open becomes a SceneError with its name."""
    try:
        with Image.open(path) as image:
            yield image
    except SceneError:
        raise
    except _PILLOW_ERRORS as error:
        reason = " ".join(str(error).split())
        raise SceneError(f"{path}: cannot be read as {kind} ({reason})") from error


def read_exif(image: Image.Image) -> Image.Exif:
    """The EXIF data in the head of an image file."""
    # Pillow's getexif would decode a PNG without them to the end, because they may come last.
    if image.format == "PNG" and "exif" not in image.info:
        return Image.Exif()
    return image.getexif()


def orientation(image: Image.Image) -> int:
    """EXIF orientation: 1 is upright; the pixels of 5 to 8 are stored on their side."""
    return int(read_exif(image).get(ExifTags.Base.Orientation, 1))


def image_size(path: Path, upright: bool = True) -> tuple[int, int]:
    """Width and height of a photograph, from the head of its file.

    `upright` turns it as its EXIF data say.
    """
    with open_image(path) as image:
        width, height = image.size
        return (height, width) if upright and orientation(image) >= 5 else (width, height)
