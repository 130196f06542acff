"""Folders of images and of masks, in several sizes: `images`, `images_2`, `masks_4`."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from orefield.scenes.dataparsers.names import match_names, slashes, stem
from orefield.scenes.dataparsers.parsed_scene import Folder, is_file
from orefield.scenes.image_files import image_size
from orefield.types import SceneError

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
SIZES = ("images", "images_2", "images_4", "images_8")
"""The usual names, for messages; any whole number is accepted."""
TOLERANCE = 0.02
"""How far the proportions of a resized photograph may be off, because sizes are rounded."""
SYSTEM_NAMES = frozenset(
    {
        *("__macosx", "lost+found", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin"),
        *("system volume information", "#recycle", "#snapshot", "@recycle", "@recently-snapshot"),
        *("@eadir", "@tmp"),
    }
)
"""Files and folders that systems and storage devices put beside the user's, in lower case."""
_MASK_FORMS = (
    (slashes, slashes),
    (slashes, stem),
    (stem, stem),
    (slashes, lambda mask: stem(mask).removesuffix("_mask")),
    (stem, lambda mask: stem(mask).removesuffix("_mask")),
)


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
    found: dict[int, Path] = {}
    # Of `images`, `images_1` and `Images`, the first is meant.
    for path in sorted(entries(folder.path), key=lambda path: path.name.swapcase()):
        match = re.fullmatch(rf"{kind}(?:_([0-9]{{1,4}}))?", path.name, re.IGNORECASE)
        if match and is_folder(path) and (size := int(match[1] or 1)) >= 1:
            found.setdefault(size, folder.inside(path))
    return found


def find_images(folder: Folder, where: Path, nested: bool = True) -> dict[str, Path]:
    """Image files in `where` and, if `nested`, its subfolders: sorted, by their path within it.

    Neither hidden files nor what a system left there (see `is_leftover`). Links to folders are not
    followed. Raises SceneError for a link that leads out of the scene, and for a folder that cannot
    be listed.
    """
    found, waiting = {}, [where]
    while waiting:
        for path in entries(waiting.pop()):
            if is_leftover(path.name):
                continue
            if path.suffix.lower() in IMAGE_ENDINGS and is_file(path):
                found[path.relative_to(where).as_posix()] = folder.inside(path)
            elif nested and is_folder(path) and not path.is_symlink():
                waiting.append(path)
    return dict(sorted(found.items()))


def is_leftover(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or lies there because of some system."""
    return name.startswith(".") or name.lower() in SYSTEM_NAMES


def entries(folder: Path) -> list[Path]:
    """What lies in a folder, sorted by name; SceneError if it cannot be listed."""
    try:
        return sorted(folder.iterdir(), key=lambda path: path.name)
    except OSError as error:
        raise SceneError(f"{folder}: cannot be listed ({error.strerror})") from error


def is_folder(path: Path) -> bool:
    """Whether the folder exists; one that may not be looked at does not."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def spelled(folder: Path, name: str, exists: Callable[[Path], bool] = is_file) -> Path | None:
    """The file of this name, else one whose name differs in case only; None if there is none.

    `exists` is `is_folder` for folders. Raises SceneError if `folder` cannot be listed.
    """
    if exists(folder / name):
        return folder / name
    alike = (path for path in entries(folder) if path.name.lower() == name.lower())
    return next(filter(exists, alike), None)


def match_masks(
    folder: Folder, names: Sequence[str], masks: Path | None, required: bool
) -> list[Path | None]:
    """The mask of each photograph, by its name (`x.jpg`, `x.jpg.png`) or stem (`x.png`, `x_mask`).

    All None if there is no folder of masks. Raises SceneError where a mask fits several photographs
    or several fit one, and for a photograph without a mask if masks are `required`.
    """
    if masks is None:
        return [None] * len(names)
    files = find_images(folder, masks)
    matches = match_names(names, list(files), _MASK_FORMS)
    for name, fitting in matches.unclear.items():
        raise SceneError(
            f"{masks}: it is not clear which mask belongs to {name!r}: {', '.join(fitting)}; "
            f"expected {stem(name) + '_mask.png'!r} for it alone"
        )
    for name in names:
        if name not in matches.found and required:
            raise SceneError(f"{masks}: no mask for {name:.80}; expected {stem(name):.80}_mask.png")
    return [files[matches.found[name]] if name in matches.found else None for name in names]


def fit_image(
    path: Path, stated: tuple[int | float, int | float], where: str
) -> tuple[tuple[int, int], tuple[float, float], bool]:
    """Size of a photograph on disk; its size in multiples of the stated one; whether it is turned.

    Cameras are for the pixels as they are stored. A photograph is turned as its EXIF data say only
    if it has the stated proportions so and not otherwise. Raises SceneError if it has them neither
    way, by more than rounding; `where` names the camera.
    """
    size, turned = image_size(path, upright=False), False
    if not _proportional(size, stated):
        upright = image_size(path, upright=True)
        turned = upright != size and _proportional(upright, stated)
        size = upright if turned else size
    return size, stretch(size, stated, path, where), turned


def stretch(
    size: tuple[int, int], full: tuple[int | float, int | float], path: Path, where: str
) -> tuple[float, float]:
    """Width and height of a photograph on disk, as multiples of those that its camera states.

    Raises SceneError where the proportions differ by more than rounding.
    """
    if not _proportional(size, full):
        raise SceneError(
            f"{path}: is {size[0]} x {size[1]} pixels, expected the proportions of "
            f"{full[0]:g} x {full[1]:g} as in {where}"
        )
    return size[0] / full[0], size[1] / full[1]


def _proportional(size: tuple[int, int], full: tuple[int | float, int | float]) -> bool:
    across, down = size[0] / full[0], size[1] / full[1]
    return abs(across / down - 1) <= TOLERANCE or abs(size[0] - full[0] * down) <= 1
