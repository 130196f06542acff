"""LLFF's `poses_bounds.npy`, with its images in a folder beside it.

One row of 17 numbers per photograph: a 3 x 5 matrix, whose columns are the camera's down, right and
backward axes, its position, and (height, width, focal length) in full-size pixels; then the nearest
and farthest depth. Photographs and rows agree in sorted order. A folder of masks has the images'
suffix (`images_8`, `masks_8`) and their stems, with `_mask` behind them or not; white is kept.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from orefield.cameras import Camera
from orefield.scenes.images import image_size
from orefield.scenes.poses import from_llff, rigid
from orefield.scenes.shots import Listing, Shot, hold_out
from orefield.types import SceneError

POSES = "poses_bounds.npy"
SUFFIXES = ("_8", "_4", "")
"""Of the images' folder; the first that is there is taken."""
PHOTOGRAPHS = (".png", ".jpg", ".jpeg")


def list_llff(folder: Path, holdout: int) -> Listing:
    """All photographs of the folder; every n-th is held out.

    The size of the photographs decides the scale of the intrinsics.
    Raises SceneError naming file and field.
    """
    file = folder / POSES
    rows = _rows(file)
    images, masks = _folders(folder)
    paths = _photographs(images)
    if len(paths) != len(rows):
        raise SceneError(
            f"{file}: has {len(rows)} rows, expected {len(paths)}, one per image in {images}"
        )
    covers = _masks(paths, masks)
    shots = [
        _shot(f"{file}: row {i}", row, path, cover)
        for i, (row, path, cover) in enumerate(zip(rows, paths, covers, strict=True))
    ]
    return hold_out(shots, holdout)


def _rows(file: Path) -> Float[Tensor, "rows 17"]:
    try:
        rows = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise SceneError(f"{file}: cannot be read as a NumPy array ({error})") from error
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.shape[1] != 17 or not len(rows):
        shape = getattr(rows, "shape", "several arrays")
        raise SceneError(f"{file}: expected one row of 17 numbers per image, got {shape}")
    if rows.dtype.kind not in "fiu" or not np.isfinite(rows).all():
        raise SceneError(f"{file}: expected finite numbers only")
    return torch.from_numpy(rows.astype(np.float64))


def _folders(folder: Path) -> tuple[Path, Path | None]:
    """The images' folder and, where there is one, the masks'."""
    for suffix in SUFFIXES:
        images, masks = folder / f"images{suffix}", folder / f"masks{suffix}"
        if images.is_dir():
            return images, masks if masks.is_dir() else None
    looked = ", ".join(f"images{suffix}" for suffix in SUFFIXES)
    raise SceneError(f"{folder}: {POSES} needs a folder of images beside it; looked for {looked}")


def _photographs(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in PHOTOGRAPHS)


def _masks(images: Sequence[Path], folder: Path | None) -> list[Path | None]:
    """The mask of each photograph, or None for each without a folder of masks."""
    if folder is None:
        return [None] * len(images)
    stems = {path.stem.removesuffix("_mask"): path for path in _photographs(folder)}
    for image in images:
        if image.stem not in stems:
            raise SceneError(f"{folder}: no mask for {image.name}; expected {image.stem}_mask.png")
    return [stems[image.stem] for image in images]


def _shot(where: str, row: Float[Tensor, " 17"], path: Path, mask: Path | None) -> Shot:
    matrix = row[:15].reshape(3, 5)
    full_height, full_width, focal = matrix[:, 4].tolist()
    nearest, farthest = row[15:].tolist()
    if min(full_height, full_width, focal) <= 0:
        raise SceneError(
            f"{where}: height, width and focal length must be positive, got {matrix[:, 4].tolist()}"
        )
    if not 0 < nearest < farthest:
        raise SceneError(f"{where}: expected depths 0 < near < far, got {nearest} and {farthest}")
    width, height = image_size(path)
    across, down = width / full_width, height / full_height
    if abs(across / down - 1) > 0.02:  # a folder of reduced images rounds its sizes, no more
        raise SceneError(
            f"{path}: is {width} x {height} pixels, expected the proportions of "
            f"{full_width:g} x {full_height:g} as in {where}"
        )
    camera = Camera(width, height, focal * across, focal * down, width / 2, height / 2)
    pose = from_llff(rigid(matrix[:, :4], where))
    return Shot(path.name, path, mask, camera, pose, (nearest, farthest))
