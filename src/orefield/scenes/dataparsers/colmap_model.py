"""COLMAP's sparse models as their files store them, binary or text.

Not read with pycolmap, which is large and trusts the counts in a file's header. COLMAP's rigs and
frames need not be read: `images` holds the composed poses.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from orefield.scenes.dataparsers.json_fields import HUGE
from orefield.scenes.dataparsers.parsed_scene import Folder, is_file
from orefield.types import SceneError

MODEL_ENDINGS = (".bin", ".txt")
PARAMETERS = {
    0: ("SIMPLE_PINHOLE", 3),
    1: ("PINHOLE", 4),
    2: ("SIMPLE_RADIAL", 4),
    3: ("RADIAL", 5),
    4: ("OPENCV", 8),
    5: ("OPENCV_FISHEYE", 8),
    6: ("FULL_OPENCV", 12),
    7: ("FOV", 5),
    8: ("SIMPLE_RADIAL_FISHEYE", 4),
    9: ("RADIAL_FISHEYE", 5),
    10: ("THIN_PRISM_FISHEYE", 12),
    11: ("RAD_TAN_THIN_PRISM_FISHEYE", 16),
    12: ("SIMPLE_DIVISION", 4),
    13: ("DIVISION", 5),
    14: ("SIMPLE_FISHEYE", 3),
    15: ("FISHEYE", 4),
    16: ("EUCM", 6),
    17: ("EQUIRECTANGULAR", 2),
}
"""Name and number of parameters of each camera model, by its number in binary files."""
LARGEST_SIDE = 2**20  # pixels along a side
MIN_TRACK_LENGTH = 3
"""Points observed in fewer images are left out: most of them are wrong."""


@dataclass(frozen=True)
class ModelCamera:
    """A camera as the model stores it."""

    where: str
    kind: str
    """COLMAP's name of the camera model."""
    width: int
    height: int
    parameters: tuple[float, ...]


@dataclass(frozen=True)
class ModelImage:
    """A registered image as the model stores it."""

    where: str
    name: str
    camera: int
    rotation: tuple[float, ...]
    """World to camera, as a quaternion (w, x, y, z) of any length but zero."""
    translation: tuple[float, ...]


def model_file(folder: Folder, model: Path, part: str) -> Path | None:
    """The file `cameras`, `images` or `points3D` of a model, binary before text; None if absent."""
    for ending in MODEL_ENDINGS:
        if is_file(model / (part + ending)):
            return folder.inside(model / (part + ending))
    return None


def read_cameras(file: Path) -> dict[int, ModelCamera]:
    """The cameras of `cameras.bin` or `cameras.txt`, by their ids."""
    entries = _binary_cameras if file.suffix == ".bin" else _text_cameras
    cameras = {}
    for number, kind, width, height, parameters in _read(file, entries):
        where = f"{file}: camera {number}"
        if not (1 <= width <= LARGEST_SIDE and 1 <= height <= LARGEST_SIDE):
            raise SceneError(f"{where}: expected a size in pixels, got {width} x {height}")
        if not all(map(_usable, parameters)):
            raise SceneError(f"{where}: expected finite parameters, got {parameters}")
        cameras[number] = ModelCamera(where, kind, width, height, parameters)
    return cameras


def read_images(file: Path) -> list[ModelImage]:
    """The registered images of `images.bin` or `images.txt`, sorted by name."""
    entries = _binary_images if file.suffix == ".bin" else _text_images
    images = []
    for number, pose, camera, name in _read(file, entries):
        where = f"{file}: image {number} ({name!r:.60})"
        if not all(map(_usable, pose)) or max(map(abs, pose[:4])) < 1e-6:
            raise SceneError(f"{where}: expected a quaternion and a translation, got {pose}")
        images.append(ModelImage(where, name, camera, pose[:4], pose[4:]))
    return sorted(images, key=lambda image: image.name)


def read_points(file: Path) -> Float[Tensor, "points 3"]:
    """Positions in `points3D.bin` or `points3D.txt` of points observed in three images or more."""
    entries = _binary_points if file.suffix == ".bin" else _text_points
    kept = [position for position, length in _read(file, entries) if length >= MIN_TRACK_LENGTH]
    points = torch.tensor(kept, dtype=torch.float64).reshape(-1, 3)
    return points[(points.abs() < HUGE).all(1)]  # neither NaN nor infinite


def _usable(value: float) -> bool:
    return isfinite(value) and abs(value) < HUGE


def _read(file: Path, entries: Callable[[Path], Iterator]) -> Iterator:
    """The entries of a file; whatever is malformed in it raises a SceneError that names it."""
    try:
        yield from entries(file)
    except SceneError:
        raise
    except (struct.error, OSError, ValueError, IndexError) as error:
        raise SceneError(
            f"{file}: not one of COLMAP's files, or a damaged one ({error})"
        ) from error


def _count(data: bytes, least: int) -> int:
    """The number of entries that a file states; ValueError if so many cannot fit into it."""
    (count,) = struct.unpack_from("<Q", data, 0)
    if count > (len(data) - 8) // least:
        raise ValueError(f"its head says {count} entries, too many for {len(data)} bytes")
    return int(count)


def _binary_cameras(file: Path) -> Iterator[tuple[int, str, int, int, tuple[float, ...]]]:
    data, at = file.read_bytes(), 8
    for _ in range(_count(data, 24)):
        number, model, width, height = struct.unpack_from("<IiQQ", data, at)
        if model not in PARAMETERS:
            raise ValueError(f"camera {number} has an unknown model, number {model}")
        kind, length = PARAMETERS[model]
        yield number, kind, width, height, struct.unpack_from(f"<{length}d", data, at + 24)
        at += 24 + 8 * length


def _binary_images(file: Path) -> Iterator[tuple[int, tuple[float, ...], int, str]]:
    data, at = file.read_bytes(), 8
    for _ in range(_count(data, 73)):
        number, *pose, camera = struct.unpack_from("<I7dI", data, at)
        end = data.index(b"\0", at + 64)
        name = data[at + 64 : end].decode()
        if not name.isprintable():
            raise ValueError(f"image {number} has the name {name!r:.60}")
        yield number, tuple(pose), camera, name
        (observed,) = struct.unpack_from("<Q", data, end + 1)
        at = end + 9 + 24 * observed
        if at > len(data):
            raise ValueError(f"image {number} goes beyond its end")


def _binary_points(file: Path) -> Iterator[tuple[tuple[float, ...], int]]:
    data, at = file.read_bytes(), 8
    for _ in range(_count(data, 51)):
        _, x, y, z, _, track_length = struct.unpack_from("<Q3d3xdQ", data, at)
        yield (x, y, z), track_length
        at += 51 + 8 * track_length
        if at > len(data):
            raise ValueError("a point goes beyond its end")


def _lines(file: Path) -> Iterator[str]:
    with file.open(encoding="utf-8") as stream:
        for line in stream:
            if not line.startswith("#"):
                yield line.strip()


def _text_cameras(file: Path) -> Iterator[tuple[int, str, int, int, tuple[float, ...]]]:
    lengths = dict(PARAMETERS.values())
    for line in filter(None, _lines(file)):
        number, kind, width, height, *parameters = line.split()
        if lengths.get(kind) != len(parameters):
            raise ValueError(f"camera {number} has {len(parameters)} parameters for model {kind}")
        yield int(number), kind, int(width), int(height), tuple(map(float, parameters))


def _text_images(file: Path) -> Iterator[tuple[int, tuple[float, ...], int, str]]:
    lines = _lines(file)
    for line in lines:
        if line:
            number, *pose, camera, name = line.split(maxsplit=9)
            if len(pose) != 7:
                raise ValueError(f"image {number} has {len(pose)} numbers for a pose, expected 7")
            yield int(number), tuple(map(float, pose)), int(camera), name
            next(lines, None)  # the line of its observations, often empty


def _text_points(file: Path) -> Iterator[tuple[tuple[float, ...], int]]:
    for line in filter(None, _lines(file)):
        words = line.split()
        x, y, z = map(float, words[1:4])
        yield (x, y, z), (len(words) - 8) // 2
