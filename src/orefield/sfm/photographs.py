"""Photographs of a camera or phone: listed, turned upright, made smaller, written without EXIF.

What is written holds pixels only. EXIF may tell where a photograph was taken, so of all its fields
the focal length alone is used, and only in memory.
"""

import math
import re
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from orefield.scenes.images import read_image
from orefield.sfm.progress import Progress
from orefield.types import SceneError

ENDINGS = (".jpg", ".jpeg", ".png", ".webp")
FEWEST = 3
"""Two photographs give no scale to a third, and no view to test by."""
QUALITY = 95
"""Of JPEG; colors keep their resolution."""
_EXIF, _FOCAL, _FOCAL_35 = 0x8769, 0x920A, 0xA405
_PLANE_X, _PLANE_UNIT, _WIDTH, _HEIGHT = 0xA20E, 0xA210, 0xA002, 0xA003
_DIAGONAL_35 = math.hypot(36, 24)
_UNIT_MM = {2: 25.4, 3: 10.0}
_PLAUSIBLE = (0.2, 20.0)
"""Focal lengths in picture diagonals, from a very wide to a very long lens."""


@dataclass(frozen=True)
class Picture:
    """A photograph as written: upright, without EXIF."""

    name: str
    width: int
    height: int
    focal: float | None = None
    """Focal length in diagonals of the picture, where EXIF tells it."""


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Sorts `frame2` before `frame10`; the name itself settles what is left."""
    parts = re.split(r"([0-9]+)", name.lower())
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], name


def list_photographs(folder: Path) -> list[Path]:
    """The folder's JPEG, PNG and WebP files in natural order; hidden files do not count.

    Raises SceneError for fewer than three, and for two that would be written under one name.
    """
    visible = [path for path in folder.iterdir() if path.is_file() and path.name[0] != "."]
    found = [path for path in visible if path.suffix.lower() in ENDINGS]
    if len(found) < FEWEST:
        others = sorted({path.suffix.lower() for path in visible} - set(ENDINGS) - {""})
        beside = f"; files beside them: {', '.join(others)}" if others else ""
        raise SceneError(
            f"{folder}: {len(found)} photographs (JPEG, PNG or WebP), expected at least "
            f"{FEWEST}{beside}"
        )
    stems: dict[str, Path] = {}
    for path in found:
        other = stems.setdefault(plain_stem(path).lower(), path)
        if other is not path:
            raise SceneError(f"{path}: has the same name as {other.name}, but for its ending")
    return sorted(found, key=lambda path: natural_key(path.name))


def plain_stem(path: Path) -> str:
    """The name without its ending, and without what COLMAP's lists of pairs cannot hold: spaces."""
    return re.sub(r"[^\w.-]+", "_", path.stem)


def import_photographs(
    paths: Sequence[Path], folder: Path, max_size: int, threads: int
) -> Generator[Progress, None, list[Picture]]:
    """Write all photographs into `folder`, the longer side at most `max_size` pixels (0: as it is).

    Photographs with transparency and PNG files become PNG, all others JPEG. Raises SceneError for a
    file that is no image.
    """
    pictures: list[Picture] = []
    pool = ThreadPoolExecutor(threads)  # Pillow decodes without the GIL
    try:
        work = pool.map(lambda path: _import(path, folder, max_size), paths)
        for picture in work:
            pictures.append(picture)
            yield Progress("reading photographs", len(pictures), len(paths))
    finally:
        pool.shutdown(cancel_futures=True)
    return pictures


def _import(path: Path, folder: Path, max_size: int) -> Picture:
    pixels = read_image(path).numpy()
    opaque = bool((pixels[:, :, 3] == 255).all())
    ending = ".jpg" if opaque and path.suffix.lower() != ".png" else ".png"
    return write_picture(
        pixels[:, :, :3] if opaque else pixels,
        folder / f"{plain_stem(path)}{ending}",
        max_size,
        focal_in_diagonals(path),
    )


def write_picture(
    pixels: UInt8[np.ndarray, "height width channels"],
    path: Path,
    max_size: int,
    focal: float | None = None,
) -> Picture:
    """Write RGB or RGBA pixels, made smaller where a side exceeds `max_size` (0: never)."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    longest = max(image.size)
    if max_size and longest > max_size:
        width, height = (max(1, round(size * max_size / longest)) for size in image.size)
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    if path.suffix == ".jpg":
        image.save(path, quality=QUALITY, subsampling=0)
    else:
        image.save(path)
    return Picture(path.name, *image.size, focal)


def focal_in_diagonals(path: Path) -> float | None:
    """Focal length in diagonals of the picture, from EXIF; None where EXIF does not tell.

    From the 35 mm equivalent, which is defined by the diagonal, else from the focal length and the
    resolution of the sensor.
    """
    with Image.open(path) as image:
        if image.format == "PNG" and "exif" not in image.info:
            return None
        fields = image.getexif().get_ifd(_EXIF)
        diagonal = math.hypot(*image.size)

    def number(tag: int) -> float:
        try:
            return float(fields.get(tag, math.nan))
        except (TypeError, ValueError, ZeroDivisionError):
            return math.nan

    equivalent = number(_FOCAL_35) / _DIAGONAL_35
    stated = math.hypot(number(_WIDTH), number(_HEIGHT))  # of the picture as the camera wrote it
    diagonal = stated if stated > 0 else diagonal
    per_mm = number(_PLANE_X) / _UNIT_MM.get(int(fields.get(_PLANE_UNIT, 2)), math.nan)
    measured = number(_FOCAL) * per_mm / diagonal
    shortest, longest = _PLAUSIBLE
    return next((focal for focal in (equivalent, measured) if shortest < focal < longest), None)
