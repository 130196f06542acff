"""Photographs of a camera or phone: listed, turned upright, made smaller, written without EXIF.

What is written holds pixels only. EXIF may say where a photograph was taken; only its focal length
is used, and only in memory.
"""

import math
import re
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image

from orefield.scenes.dataparsers.folders import (
    IMAGE_ENDINGS,
    entries,
    find_images,
    is_leftover,
)
from orefield.scenes.dataparsers.names import natural_key
from orefield.scenes.dataparsers.parsed_scene import Folder, is_file
from orefield.scenes.image_files import open_image, read_exif
from orefield.scenes.images import read_image
from orefield.sfm.progress import Progress
from orefield.types import SceneError

MIN_PHOTOS = 3
"""With two, only one would be left to train on beside a test view."""
JPEG_QUALITY = 95
_DIAGONAL_35 = math.hypot(36, 24)
_MILLIMETERS = {2.0: 25.4, 3.0: 10.0}
"""Of FocalPlaneResolutionUnit: inch and centimeter."""
_PLAUSIBLE = (0.2, 20.0)
"""Focal lengths in diagonals, from a very wide to a very long lens."""


@dataclass(frozen=True)
class ImportedPhoto:
    """A photograph as it was written: upright, without EXIF."""

    name: str
    width: int
    height: int
    focal: float | None = None
    """Focal length in diagonals of the image, where EXIF states it."""


def list_photographs(folder: Path) -> list[Path]:
    """The folder's images in natural order, without hidden files and those in subfolders.

    Raises SceneError for fewer than three, and for two that would be written under one name.
    """
    found = list(find_images(Folder(folder, outside=True), folder, nested=False).values())
    if len(found) < MIN_PHOTOS:
        visible = [path for path in entries(folder) if not is_leftover(path.name) and is_file(path)]
        others = sorted({path.suffix.lower() for path in visible} - set(IMAGE_ENDINGS) - {""})
        beside = f"; files beside them: {', '.join(others)}" if others else ""
        raise SceneError(
            f"{folder}: {len(found)} photographs (JPEG, PNG, WebP, TIFF or BMP), expected at least "
            f"{MIN_PHOTOS}{beside}"
        )
    stems: dict[str, Path] = {}
    for path in found:
        other = stems.setdefault(plain_stem(path).lower(), path)
        if other is not path:
            raise SceneError(f"{path}: has the same name as {other.name}, but for its ending")
    return sorted(found, key=lambda path: natural_key(path.name))


def plain_stem(path: Path) -> str:
    """The name without its suffix; `_` for spaces, which COLMAP's lists of pairs cannot hold."""
    return re.sub(r"[^\w.-]+", "_", path.stem)


def import_photographs(
    paths: Sequence[Path], folder: Path, max_size: int, threads: int
) -> Generator[Progress, None, list[ImportedPhoto]]:
    """Write all photographs into `folder`, the longer side at most `max_size` pixels (0: no limit).

    PNG files and photographs with transparency become PNG, all others JPEG. Raises SceneError for a
    file that is not an image.
    """
    photos: list[ImportedPhoto] = []
    pool = ThreadPoolExecutor(threads)  # Pillow decodes without the GIL
    try:
        work = pool.map(lambda path: _import(path, folder, max_size), paths)
        for photo in work:
            photos.append(photo)
            yield Progress("reading photographs", len(photos), len(paths))
    finally:
        pool.shutdown(cancel_futures=True)
    return photos


def _import(path: Path, folder: Path, max_size: int) -> ImportedPhoto:
    pixels = read_image(path, upright=True).numpy()
    opaque = bool((pixels[:, :, 3] == 255).all())
    ending = ".jpg" if opaque and path.suffix.lower() != ".png" else ".png"
    return write_photo(
        pixels[:, :, :3] if opaque else pixels,
        folder / f"{plain_stem(path)}{ending}",
        max_size,
        focal_in_diagonals(path),
    )


def write_photo(
    pixels: UInt8[np.ndarray, "height width channels"],
    path: Path,
    max_size: int,
    focal: float | None = None,
) -> ImportedPhoto:
    """Write RGB or RGBA pixels, the longer side made at most `max_size` pixels (0: no limit)."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    longest = max(image.size)
    if max_size and longest > max_size:
        width, height = (max(1, round(size * max_size / longest)) for size in image.size)
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    if path.suffix == ".jpg":
        image.save(path, quality=JPEG_QUALITY, subsampling=0)
    else:
        image.save(path)
    return ImportedPhoto(path.name, *image.size, focal)


def focal_in_diagonals(path: Path) -> float | None:
    """Focal length in diagonals of the image, from EXIF; None if EXIF does not state a usable one.

    From the 35 mm equivalent, which is defined by the diagonal, else from the focal length and the
    resolution of the sensor. pycolmap's own guess (4.2) uses the former alone, accepts any value,
    decodes the whole file and cannot read WebP.
    """
    with open_image(path) as image:
        fields = read_exif(image).get_ifd(ExifTags.IFD.Exif)
        size = image.size

    def number(tag: ExifTags.Base, default: float = math.nan) -> float:
        try:
            return float(fields.get(tag, default))
        except (TypeError, ValueError, ZeroDivisionError):
            return math.nan

    tags = ExifTags.Base
    equivalent = number(tags.FocalLengthIn35mmFilm) / _DIAGONAL_35
    # The size of the photograph as the camera wrote it; it may have been made smaller since.
    original = math.hypot(number(tags.ExifImageWidth), number(tags.ExifImageHeight))
    diagonal = original if original > 0 else math.hypot(*size)
    unit = _MILLIMETERS.get(number(tags.FocalPlaneResolutionUnit, 2.0), math.nan)
    measured = number(tags.FocalLength) * number(tags.FocalPlaneXResolution) / unit / diagonal
    shortest, longest = _PLAUSIBLE
    return next((focal for focal in (equivalent, measured) if shortest < focal < longest), None)
