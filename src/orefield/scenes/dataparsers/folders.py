"""Folders of images and of masks, in several sizes: `images`, `images_2`, `masks_4`."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from orefield.scenes.dataparsers.parsed_scene import Folder
from orefield.types import SceneError

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
SIZES = ("images", "images_2", "images_4", "images_8")
"""The usual names, for messages; any whole number is accepted."""
TOLERANCE = 0.02
"""How far the proportions of a resized photograph may be off, because sizes are rounded."""


@dataclass(frozen=True)
class ImageFolder:
    """The folder that holds the photographs of a scene, in one size."""

    images: Path
    masks: Path | None
    """The folder of masks of the same size, if there is one."""
    downscale: int
    """What remains to be done by averaging areas."""


def choose_images(folder: Folder, downscale: int) -> ImageFolder | None:
    """The folder of images to read; None if there is none.

    `downscale` counts from the largest folder. Where some folders have masks, those without are
    left out: an object would lose its outline.
    """
    images, masks = _sizes(folder, "images"), _sizes(folder, "masks")
    images = {size: path for size, path in images.items() if size in masks} or images
    if not images:
        return None
    wanted = min(images) * downscale
    size = max(size for size in images if wanted % size == 0)
    return ImageFolder(images[size], masks.get(size), wanted // size)


def _sizes(folder: Folder, kind: str) -> dict[int, Path]:
    """Folders such as `images_4`, by their number; a name without one counts as 1."""
    found = {}
    for path in folder.path.iterdir():
        if (match := re.fullmatch(rf"{kind}(?:_(\d{{1,4}}))?", path.name)) and path.is_dir():
            size = int(match[1] or 1)
            if size >= 1:
                found[size] = folder.inside(path)
    return found


def find_images(folder: Folder, where: Path) -> dict[str, Path]:
    """Image files in `where` and its subfolders, in sorted order, by their path within it.

    Links to folders are not followed. Raises SceneError for a link that leads out of the scene.
    """
    found = {}
    for parent, _, names in os.walk(where):
        for name in names:
            path = Path(parent, name)
            if path.suffix.lower() in IMAGE_ENDINGS and path.is_file():
                found[path.relative_to(where).as_posix()] = folder.inside(path)
    return dict(sorted(found.items()))


def match_masks(
    folder: Folder, names: Sequence[str], masks: Path | None, required: bool
) -> list[Path | None]:
    """The mask of each photograph, by its name (`x.jpg`, `x.jpg.png`) or stem (`x.png`, `x_mask`).

    All None if there is no folder of masks. Raises SceneError for a photograph without a mask if
    masks are `required`.
    """
    if masks is None:
        return [None] * len(names)
    files: dict[str, Path] = {}
    for name, path in find_images(folder, masks).items():
        for key in (name, stem(name), stem(name).removesuffix("_mask")):
            files.setdefault(key, path)
    found = [files.get(name) or files.get(stem(name)) for name in names]
    for name, mask in zip(names, found, strict=True):
        if mask is None and required:
            raise SceneError(f"{masks}: no mask for {name}; expected {stem(name)}_mask.png")
    return found


def stem(name: str) -> str:
    """A path without its suffix: `left/0001.jpg` -> `left/0001`."""
    return str(PurePosixPath(name).with_suffix(""))


def stretch(
    size: tuple[int, int], full: tuple[int | float, int | float], path: Path, where: str
) -> tuple[float, float]:
    """Width and height of a photograph on disk, as multiples of those that its camera states.

    Raises SceneError where the proportions differ by more than rounding.
    """
    (width, height), (full_width, full_height) = size, full
    across, down = width / full_width, height / full_height
    if abs(across / down - 1) > TOLERANCE and abs(width - full_width * down) > 1:
        raise SceneError(
            f"{path}: is {width} x {height} pixels, expected the proportions of "
            f"{full_width:g} x {full_height:g} as in {where}"
        )
    return across, down
