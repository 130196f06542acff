"""LLFF's `poses_bounds.npy`, with its images in a folder beside it.

One row of 17 numbers per photograph: a 3 x 5 matrix, whose columns are the camera's down, right and
backward axes, its position, and (height, width, focal length) in full-size pixels; then the nearest
and farthest depth. Rows belong to the photographs in sorted order (`10.png` before `9.png`), as
they are stored, not turned. Masks lie in a folder with the same suffix (`masks_8` for `images_8`),
named as their photographs, with or without `_mask`.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from orefield.cameras import Camera
from orefield.config import SceneConfig
from orefield.scenes.dataparsers.folders import (
    SIZES,
    choose_images,
    find_images,
    fit_image,
    match_masks,
)
from orefield.scenes.dataparsers.json_fields import HUGE
from orefield.scenes.dataparsers.numpy_files import as_float64, read_npy
from orefield.scenes.dataparsers.parsed_scene import Folder, Frame, ParsedScene, hold_out, naming
from orefield.scenes.dataparsers.pose_conventions import from_llff, rigid
from orefield.types import SceneError

POSES = "poses_bounds.npy"


def parse_llff(folder: Folder, config: SceneConfig) -> ParsedScene:
    """All photographs of the folder; every n-th is held out.

    Intrinsics are scaled from the full size to the size of the photographs on disk.
    Raises SceneError naming file and field.
    """
    file = folder.inside(folder.path / POSES)
    rows = _rows(file)
    chosen = choose_images(folder, config.downscale)
    if chosen is None:
        looked = ", ".join(SIZES)
        raise SceneError(
            f"{folder.path}: {POSES} needs a folder of images beside it; looked for {looked}"
        )
    files = find_images(folder, chosen.images)
    if len(files) != len(rows):
        raise SceneError(
            f"{file}: has {len(rows)} rows, expected {len(files)}, one per image in {chosen.images}"
        )
    masks = match_masks(folder, list(files), chosen.masks, config.masks == "alpha")
    frames = [
        _frame(f"{file}: row {i}", row, path, mask)
        for i, (row, path, mask) in enumerate(zip(rows, files.values(), masks, strict=True))
    ]
    return replace(hold_out(frames, config.holdout), downscale=chosen.downscale)


def _rows(file: Path) -> Float[Tensor, "rows 17"]:
    stored = read_npy(file)
    if stored.ndim != 2 or stored.shape[1] != 17 or not len(stored):
        raise SceneError(f"{file}: expected one row of 17 numbers per image, got {stored.shape}")
    rows = as_float64(stored)
    if not (np.abs(rows) < HUGE).all():
        raise SceneError(f"{file}: expected finite numbers only")
    return torch.from_numpy(rows)


def _frame(where: str, row: Float[Tensor, " 17"], path: Path, mask: Path | None) -> Frame:
    matrix = row[:15].reshape(3, 5)
    full_height, full_width, focal = matrix[:, 4].tolist()
    nearest, farthest = row[15:].tolist()
    if min(full_height, full_width, focal) <= 0:
        raise SceneError(
            f"{where}: height, width and focal length must be positive, got {matrix[:, 4].tolist()}"
        )
    if not 0 < nearest < farthest:
        raise SceneError(f"{where}: expected depths 0 < near < far, got {nearest} and {farthest}")
    size, (across, down), upright = fit_image(path, (full_width, full_height), where)
    width, height = size
    with naming(where):
        camera = Camera(width, height, focal * across, focal * down, width / 2, height / 2)
    pose = from_llff(rigid(matrix[:, :4], where))
    return Frame(path.name, path, mask, camera, pose, (nearest, farthest), upright=upright)
