"""Pictures inside of a page: cut out of a run's files, scaled and packed as `data:` addresses."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from orefield.errors import OrefieldError
from orefield.report.pictures import split_comparison
from orefield.system.files import check_regular

MOST_PICTURED = 100
"""Comparisons on a page; of more, evenly spaced ones are shown."""
_BUDGET = 7_000_000
"""Bytes of a page's pictures, about: base64 makes four of three."""
_SIDES = (640, 480, 360, 240, 160)
"""Pixels on the longer side, the largest that fits the budget."""
_TRIED = 6
"""Comparisons from which the size of all is estimated."""
_QUALITY = 82


@dataclass(frozen=True)
class InlinePicture:
    """A picture as an address that holds all of it."""

    address: str
    width: int
    height: int


@dataclass(frozen=True)
class Panels:
    """The parts of a comparison."""

    photograph: InlinePicture
    render: InlinePicture
    error: InlinePicture


@dataclass(frozen=True)
class PageComparisons:
    """The comparisons that are on a page, and what is to be said of the others."""

    panels: dict[Path, Panels]
    missing: int
    """Files that are not there."""
    damaged: tuple[str, ...]
    """Names of files that cannot be read, or hold something else."""
    left_out: int
    """Comparisons beyond the most that are shown."""
    side: int
    """Pixels on the longer side at most."""


def page_comparisons(paths: Sequence[Path]) -> PageComparisons:
    """Read, cut apart and pack the comparisons at these paths, within a page's budget."""
    there = [path for path in paths if path.exists()]
    every = max(-(-len(there) // MOST_PICTURED), 1)
    shown = there[::every]
    side = _fitting_side(shown)
    packed: dict[Path, Panels] = {}
    damaged = []
    for path in shown:
        panels = _packed(path, side)
        if panels is None:
            damaged.append(path.name)
        else:
            packed[path] = panels
    missing, left_out = len(paths) - len(there), len(there) - len(shown)
    return PageComparisons(packed, missing, tuple(damaged), left_out, side)


def inline_file(path: Path, quality: int = 90) -> InlinePicture | None:
    """A whole picture file, in its own size; None where it is not there or cannot be read."""
    picture = _opened(path)
    return None if picture is None else pack(picture.convert("RGB"), quality)


def pack(picture: Image.Image, quality: int = _QUALITY) -> InlinePicture:
    """A picture as WebP in a `data:` address."""
    data = BytesIO()
    picture.save(data, "webp", quality=quality, method=4)
    address = f"data:image/webp;base64,{base64.b64encode(data.getvalue()).decode()}"
    return InlinePicture(address, picture.width, picture.height)


def _fitting_side(paths: Sequence[Path]) -> int:
    """The largest side at which some of the pictures promise that all fit the budget."""
    tried = paths[:: max(len(paths) // _TRIED, 1)][:_TRIED]
    for side in _SIDES[:-1]:
        sizes = [_bytes(panels) for path in tried if (panels := _packed(path, side))]
        if not sizes or sum(sizes) / len(sizes) * len(paths) <= _BUDGET:
            return side
    return _SIDES[-1]


def _bytes(panels: Panels) -> int:
    parts = panels.photograph, panels.render, panels.error
    return sum(len(each.address) for each in parts)


def _packed(path: Path, side: int) -> Panels | None:
    """The parts of a comparison, no side longer than that; None where it cannot be read."""
    picture = _opened(path)
    parts = None if picture is None else split_comparison(picture)
    if parts is None:
        return None
    for each in parts:
        each.thumbnail((side, side))
    photograph, render, error = map(pack, parts)
    return Panels(photograph, render, error)


def _opened(path: Path) -> Image.Image | None:
    """A picture with its pixels read; None for what is no picture, or a link to elsewhere."""
    if path.is_symlink():
        return None
    try:
        check_regular(path, OrefieldError)
        with Image.open(path, formats=("png",)) as picture:
            picture.load()
            return picture.copy()
    except (OrefieldError, OSError, ValueError, SyntaxError, UnidentifiedImageError):
        return None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return None
