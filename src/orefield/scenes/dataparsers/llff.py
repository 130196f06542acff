"""LLFF's `poses_bounds.npy`, with its images in a folder beside it.

One row of 17 numbers per photograph: a 3 x 5 matrix, whose columns are the camera's down, right and
backward axes, its position, and (height, width, focal length) in full-size pixels; then the nearest
and farthest depth. Photographs and rows agree in sorted order. A folder of masks has the images'
suffix (`images_8`, `masks_8`) and their stems, with `_mask` behind them or not.
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
    choose_pictures,
    match_masks,
    photographs,
    stretch,
)
from orefield.scenes.dataparsers.json_fields import HUGE
from orefield.scenes.dataparsers.numpy_files import read_npy
from orefield.scenes.dataparsers.parsed_scene import Folder, Frame, ParsedScene, hold_out, naming
from orefield.scenes.dataparsers.pose_conventions import from_llff, rigid
from orefield.scenes.images import image_size
from orefield.types import SceneError

POSES = "poses_bounds.npy"


def parse_llff(folder: Folder, config: SceneConfig) -> ParsedScene:
    """All photographs of the folder; every n-th is held out.

    The size of the photographs decides the scale of the intrinsics.
    Raises SceneError naming file and field.
    """
    file = folder.inside(folder.path / POSES)
    rows = _rows(file)
    pictures = choose_pictures(folder, config.downscale)
    if pictures is None:
        looked = ", ".join(SIZES)
        raise SceneError(
            f"{folder.path}: {POSES} needs a folder of images beside it; looked for {looked}"
        )
    files = photographs(folder, pictures.images)
    if len(files) != len(rows):
        raise SceneError(
            f"{file}: has {len(rows)} rows, expected {len(files)}, "
            f"one per image in {pictures.images}"
        )
    covers = match_masks(folder, list(files), pictures.masks, config.masks == "alpha")
    frames = [
        _frame(f"{file}: row {i}", row, path, cover)
        for i, (row, path, cover) in enumerate(zip(rows, files.values(), covers, strict=True))
    ]
    return replace(hold_out(frames, config.holdout), downscale=pictures.downscale)


def _rows(file: Path) -> Float[Tensor, "rows 17"]:
    rows = read_npy(file)
    if rows.ndim != 2 or rows.shape[1] != 17 or not len(rows):
        raise SceneError(f"{file}: expected one row of 17 numbers per image, got {rows.shape}")
    if rows.dtype.kind not in "fiu" or not (np.abs(rows) < HUGE).all():
        raise SceneError(f"{file}: expected finite numbers only")
    return torch.from_numpy(rows.astype(np.float64))


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
    width, height = image_size(path)
    across, down = stretch((width, height), (full_width, full_height), path, where)
    with naming(where):
        camera = Camera(width, height, focal * across, focal * down, width / 2, height / 2)
    pose = from_llff(rigid(matrix[:, :4], where))
    return Frame(path.name, path, mask, camera, pose, (nearest, farthest))
