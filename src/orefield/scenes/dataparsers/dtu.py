"""The DTU layout of IDR and NeuS: `cameras_sphere.npz` (or `cameras.npz`), `image/`, `mask/`.

For photograph i, `world_mat_i` is its projection matrix P = K [R | t]. `scale_mat_i`, the same for
all, takes the unit ball, which holds the object, to world coordinates. `camera_mat_i` may repeat K,
or take pixels to -1 ... 1; inverses (`world_mat_inv_i`) are not needed. Photographs, and masks if
there are any, are numbered from 0 in sorted order (`10.png` before `9.png`), as they are stored.
"""

import re
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from orefield.cameras import Camera
from orefield.config import SceneConfig
from orefield.scenes.dataparsers.folders import find_images, is_folder, spelled
from orefield.scenes.dataparsers.json_fields import HUGE
from orefield.scenes.dataparsers.numpy_files import read_npz
from orefield.scenes.dataparsers.parsed_scene import (
    Folder,
    Frame,
    ParsedScene,
    few,
    hold_out,
    is_file,
    naming,
)
from orefield.scenes.image_files import image_size
from orefield.scenes.scene import SceneWarning
from orefield.types import SceneError

CAMERAS = ("cameras_sphere.npz", "cameras.npz")
ROUNDING = 1e-3
"""How far a matrix may be from what it is compared with, as a share: files hold float32."""
MATRICES = re.compile(r"(world|scale|camera)_mat_(0|[1-9][0-9]{0,4})")
INVERSES = re.compile(r"(world|scale|camera)_mat_inv_[0-9]+")
REFUSED = re.compile(r"(dist(ort|_|[0-9]|$)|skew|lens|k[1-6](_|$)|p[12](_|$)).*", re.IGNORECASE)
"""Names of what would change the cameras: a lens with distortion, oblique pixels."""


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
    files = _images(folder, "image")
    if not files:
        raise SceneError(f"{folder.path}: {file.name} needs photographs in a folder image")
    masks: list[Path | None] = [*_images(folder, "mask").values()]
    if masks and len(masks) != len(files):
        raise SceneError(
            f"{folder.path / 'mask'}: has {len(masks)} masks, expected {len(files)}, one per image"
        )
    masks = masks or [None] * len(files)
    matrices = _matrices(folder.inside(file), len(files))
    ball = _ball(matrices, f"{file}: scale_mat_0")
    frames = [
        _frame(f"{file}: ", matrices, i, path, name, mask)
        for i, ((name, path), mask) in enumerate(zip(files.items(), masks, strict=True))
    ]
    return replace(hold_out(frames, config.holdout), downscale=config.downscale, ball=ball)


def decompose(
    projection: Float[Tensor, "3 4"], where: str
) -> tuple[Float[Tensor, "3 3"], Float[Tensor, "3 4"]]:
    """P = K [R | t], of any scale and sign, as K with K[2, 2] = 1 and the camera-to-world pose.

    Raises SceneError, naming `where`, for a singular matrix.
    """
    left = projection[:, :3]
    largest, _, smallest = torch.linalg.svdvals(left).tolist()
    if smallest < 1e-9 * largest or largest < 1 / HUGE:
        raise SceneError(f"{where} must be a camera's projection matrix, got a singular one")
    # P is known up to a factor, whose sign makes R a rotation and not a reflection.
    left = left * torch.sign(torch.linalg.det(left))
    # K R from QR: with E reversing the order of rows, (E M)^T = Q U gives M = (E U^T E)(E Q^T).
    q, u = torch.linalg.qr(left.flip(0).T)
    upper, rotation = u.T.flip(0, 1), q.T.flip(0)
    signs = torch.sign(upper.diagonal())
    upper, rotation = upper * signs, rotation * signs[:, None]
    center = -torch.linalg.solve(projection[:, :3], projection[:, 3])
    if not (center.abs() < HUGE).all():
        raise SceneError(f"{where} must be that of a camera in reach, got one at {center.tolist()}")
    return upper / upper[2, 2], torch.cat((rotation.T, center[:, None]), dim=1)


def _images(folder: Folder, name: str) -> dict[str, Path]:
    path = spelled(folder.path, name, is_folder)
    return {} if path is None else find_images(folder, folder.inside(path))


def _matrices(file: Path, photographs: int) -> dict[str, Float[Tensor, "_ _"]]:
    """The matrices of so many photographs, by name; SceneError for more, fewer and other ones."""
    matrices, others = read_npz(file, MATRICES)
    _report_others(file, others)
    expected = f"expected world_mat_i and scale_mat_i of {photographs} photographs, from 0"
    for i in range(photographs):
        for name in (f"world_mat_{i}", f"scale_mat_{i}"):
            if name not in matrices:
                raise SceneError(f"{file}: {name} is missing; {expected}")
            if matrices[name].shape[1] != 4:
                raise SceneError(f"{file}: {name} must have four columns")
    for name, matrix in matrices.items():
        if name.startswith("world") and int(name.rsplit("_", 1)[1]) >= photographs:
            raise SceneError(f"{file}: {name} belongs to no photograph; {expected}")
        if not (np.abs(matrix) < HUGE).all():
            raise SceneError(f"{file}: {name} must hold finite numbers")
    return {name: torch.from_numpy(matrix) for name, matrix in matrices.items()}


def _report_others(file: Path, names: list[str]) -> None:
    """Warn of arrays that are not read; SceneError for one that would change the cameras."""
    others = [name for name in names if not INVERSES.fullmatch(name)]
    for name in others:
        if REFUSED.fullmatch(name):
            raise SceneError(f"{file}: {name:.80} is refused: only pinhole cameras are read here")
    if others:
        warnings.warn(f"{file}: not read: {few(others)}", SceneWarning, stacklevel=2)


def _frame(
    where: str,
    matrices: dict[str, Float[Tensor, "_ _"]],
    i: int,
    path: Path,
    name: str,
    mask: Path | None,
) -> Frame:
    world, scale, size = f"world_mat_{i}", f"scale_mat_{i}", image_size(path, upright=False)
    intrinsics, pose = decompose(matrices[world][:3], where + world)
    (fx, skew, cx), (_, fy, cy), _ = intrinsics.tolist()
    if abs(skew) > ROUNDING * fx:
        raise SceneError(
            f"{where}{world}: pixels must be rectangles, got a skew of {skew:.3g} pixels"
        )
    if not _alike(matrices[scale][:3], matrices["scale_mat_0"][:3]):
        raise SceneError(f"{where}{scale} must be the same as scale_mat_0")
    repeated = matrices.get(f"camera_mat_{i}")
    if repeated is not None and not _adds_nothing(repeated[:3, :3], intrinsics, size):
        raise SceneError(
            f"{where}camera_mat_{i} must hold the intrinsics K that world_mat_{i} = K [R | t] "
            f"has, {intrinsics.tolist()}, got {repeated[:3, :3].tolist()}"
        )
    with naming(where + world):
        # DTU has (0, 0) at the center of the first pixel; cameras here have it at its corner.
        camera = Camera(*size, fx, fy, cx + 0.5, cy + 0.5)
    return Frame(name, path, mask, camera, pose, upright=False)


def _adds_nothing(
    matrix: Float[Tensor, "3 3"], intrinsics: Float[Tensor, "3 3"], size: tuple[int, int]
) -> bool:
    """Whether a `camera_mat` repeats the intrinsics, or takes pixels to -1 ... 1."""
    width, height = size
    unit = matrix.new_tensor([[2 / width, 0, -1], [0, 2 / height, -1], [0, 0, 1]])
    # It may end at the centers of the outer pixels instead of at their edges.
    inner = matrix.new_tensor(
        [[2 / max(width - 1, 1), 0, -1], [0, 2 / max(height - 1, 1), -1], [0, 0, 1]]
    )
    # Taken apart, K rounds by a share of its focal length, also where it should be zero.
    repeats = ((matrix - intrinsics).abs() <= ROUNDING * intrinsics[0, 0]).all()
    return bool(repeats) or any(_alike(matrix, other) for other in (unit, inner))


def _ball(
    matrices: dict[str, Float[Tensor, "_ _"]], where: str
) -> tuple[Float[Tensor, "3"], float]:
    """Center and radius of the ball that holds the object."""
    scale = matrices["scale_mat_0"]
    radius = float(scale[0, 0])
    whole = torch.eye(4, dtype=torch.float64)[: len(scale)]
    whole[:3, :3] *= radius
    oblique = (scale - whole)[:3, :3].abs().amax() > ROUNDING * radius
    if radius < 1 / HUGE or oblique or not _alike(scale[3:], whole[3:]):
        raise SceneError(f"{where} must be a scale and a shift, got {scale.tolist()}")
    return scale[:3, 3], radius


def _alike(matrix: Float[Tensor, "rows columns"], other: Float[Tensor, "rows columns"]) -> bool:
    """Whether two matrices differ by rounding alone."""
    return torch.allclose(matrix, other, rtol=ROUNDING, atol=1e-6)
