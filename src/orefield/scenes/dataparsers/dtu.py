"""The DTU layout of IDR and NeuS: `cameras_sphere.npz` (or `cameras.npz`), `image/`, `mask/`.

For photograph i, `world_mat_i` is its projection matrix P = K [R | t], and `scale_mat_i` takes the
unit ball, which holds the object, to world coordinates. Photographs, and masks if there are any,
are numbered from 0 in sorted order.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from orefield.cameras import Camera
from orefield.config import SceneConfig
from orefield.scenes.dataparsers.folders import find_images
from orefield.scenes.dataparsers.json_fields import HUGE
from orefield.scenes.dataparsers.numpy_files import read_npz
from orefield.scenes.dataparsers.parsed_scene import (
    Folder,
    Frame,
    ParsedScene,
    hold_out,
    is_file,
    naming,
)
from orefield.scenes.image_files import image_size
from orefield.types import SceneError

CAMERAS = ("cameras_sphere.npz", "cameras.npz")
SKEW = 1e-3
"""Largest skew that counts as none, as a share of the focal length."""


def has_cameras(folder: Path) -> bool:
    """Whether the folder has one of the files of camera matrices."""
    return any(is_file(folder / name) for name in CAMERAS)


def parse_dtu(folder: Folder, config: SceneConfig) -> ParsedScene:
    """All photographs of `image/`; every n-th is held out.

    Raises SceneError naming file and field.
    """
    file = next((folder.path / name for name in CAMERAS if is_file(folder.path / name)), None)
    if file is None:
        raise SceneError(f"{folder.path}: no cameras; looked for {', '.join(CAMERAS)}")
    matrices = read_npz(folder.inside(file))
    files = _images(folder, "image")
    if not files:
        raise SceneError(f"{folder.path}: {file.name} needs photographs in a folder image")
    masks: list[Path | None] = [*_images(folder, "mask").values()]
    if masks and len(masks) != len(files):
        raise SceneError(
            f"{folder.path / 'mask'}: has {len(masks)} masks, expected {len(files)}, one per image"
        )
    masks = masks or [None] * len(files)
    frames, balls = [], []
    for i, ((name, path), mask) in enumerate(zip(files.items(), masks, strict=True)):
        where = f"{file}: world_mat_{i}"
        intrinsics, pose = decompose(_matrix(file, matrices, f"world_mat_{i}"), where)
        with naming(where):
            fx, fy, cx, cy = _pinhole(intrinsics, where)
            camera = Camera(*image_size(path), fx, fy, cx, cy)
        balls.append(_ball(file, matrices, i))
        frames.append(Frame(name, path, mask, camera, pose))
    parsed = hold_out(frames, config.holdout)
    return replace(parsed, downscale=config.downscale, ball=balls[0])


def _images(folder: Folder, name: str) -> dict[str, Path]:
    path = folder.path / name
    return find_images(folder, folder.inside(path)) if path.is_dir() else {}


def decompose(
    projection: Float[Tensor, "3 4"], where: str
) -> tuple[Float[Tensor, "3 3"], Float[Tensor, "3 4"]]:
    """P = K [R | t], of any scale and sign, as K with K[2, 2] = 1 and the camera-to-world pose.

    Raises SceneError, naming `where`, for a singular matrix.
    """
    left = projection[:, :3]
    largest, _, smallest = torch.linalg.svdvals(left).tolist()
    if smallest < 1e-9 * largest or largest == 0:
        raise SceneError(f"{where} must be a camera's projection matrix, got a singular one")
    # P is known up to a factor, whose sign makes R a rotation and not a reflection.
    left = left * torch.sign(torch.linalg.det(left))
    # K R from QR: with E reversing the order of rows, (E M)^T = Q U gives M = (E U^T E)(E Q^T).
    q, u = torch.linalg.qr(left.flip(0).T)
    upper, rotation = u.T.flip(0, 1), q.T.flip(0)
    signs = torch.sign(upper.diagonal())
    upper, rotation = upper * signs, rotation * signs[:, None]
    center = -torch.linalg.solve(projection[:, :3], projection[:, 3])
    return upper / upper[2, 2], torch.cat((rotation.T, center[:, None]), dim=1)


def _pinhole(intrinsics: Float[Tensor, "3 3"], where: str) -> tuple[float, float, float, float]:
    (fx, skew, cx), (_, fy, cy), _ = intrinsics.tolist()
    if abs(skew) > SKEW * fx:
        raise SceneError(f"{where}: pixels must be rectangles, got a skew of {skew:.3g} pixels")
    # DTU has (0, 0) at the center of the first pixel; cameras here have it at its corner.
    return fx, fy, cx + 0.5, cy + 0.5


def _ball(file: Path, matrices: dict[str, NDArray], i: int) -> tuple[Float[Tensor, "3"], float]:
    """Center and radius of the ball that holds the object."""
    scale = _matrix(file, matrices, f"scale_mat_{i}")
    radius = float(torch.linalg.det(scale[:, :3]).abs()) ** (1 / 3)
    if not torch.allclose(scale[:, :3], radius * torch.eye(3).double(), atol=1e-3 * radius):
        raise SceneError(f"{file}: scale_mat_{i} must be a scale and a shift, got {scale.tolist()}")
    return scale[:, 3], radius


def _matrix(file: Path, matrices: dict[str, NDArray], name: str) -> Float[Tensor, "3 4"]:
    if name not in matrices:
        raise SceneError(f"{file}: {name} is missing; expected one per photograph, from 0")
    matrix = matrices[name][:3].astype(np.float64)
    if not (np.abs(matrix) < HUGE).all():
        raise SceneError(f"{file}: {name} must hold finite numbers")
    return torch.from_numpy(matrix)
