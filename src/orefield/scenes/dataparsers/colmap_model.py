"""COLMAP's sparse models as their files store them, binary or text.

Not read with pycolmap, which is large and trusts the counts in a file's header. COLMAP's rigs and
frames need not be read: `images` holds the composed poses. What is wrong with one camera or one
pose matters only to those who use it, so it is kept here and said there.
"""

import codecs
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from orefield.scenes.dataparsers.folders import spelled
from orefield.scenes.dataparsers.json_fields import HUGE
from orefield.scenes.dataparsers.names import slashes
from orefield.scenes.dataparsers.parsed_scene import Folder
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
    kind: str = ""
    """COLMAP's name of the camera model."""
    width: int = 0
    height: int = 0
    parameters: tuple[float, ...] = ()
    fault: str = ""
    """What is wrong with it; empty if its numbers are sound. The model may be any."""


@dataclass(frozen=True)
class ModelImage:
    """A registered image as the model stores it."""

    where: str
    name: str
    camera: int
    rotation: tuple[float, ...]
    """World to camera, as a quaternion (w, x, y, z) of any length. Any numbers, NaN among them."""
    translation: tuple[float, ...]


def model_file(folder: Folder, model: Path, part: str) -> Path | None:
    """The file `cameras`, `images` or `points3D` of a model, binary before text; None if absent."""
    for ending in MODEL_ENDINGS:
        if file := spelled(model, part + ending):
            return folder.inside(file)
    return None


def read_cameras(file: Path) -> dict[int, ModelCamera]:
    """The cameras of `cameras.bin` or `cameras.txt`, by their ids, those with faults among them."""
    entries = _text_cameras if _is_text(file) else _binary_cameras
    cameras: dict[int, ModelCamera] = {}
    for number, camera in _read(file, entries):
        fault = "is listed twice" if number in cameras else camera.fault or _fault(camera)
        cameras[number] = replace(camera, fault=fault)
    return cameras


def read_images(file: Path) -> list[ModelImage]:
    """The registered images of `images.bin` or `images.txt`, sorted by name, no name twice.

    Names are any printable text, and paths as the model's author had them.
    """
    entries = _text_images if _is_text(file) else _binary_images
    images: dict[str, ModelImage] = {}
    for number, pose, camera, name in _read(file, entries):
        where = f"{file}: image {number} ({name!r:.60})"
        if not name.isprintable():
            raise SceneError(f"{where}: expected a name without control characters")
        if name in images:
            raise SceneError(f"{where}: an image before it has the same name")
        images[name] = ModelImage(where, name, camera, pose[:4], pose[4:])
    return sorted(images.values(), key=lambda image: slashes(image.name))


def read_points(file: Path) -> Float[Tensor, "points 3"]:
    """Positions in `points3D.bin` or `points3D.txt` of points observed in three images or more."""
    entries = _text_points if _is_text(file) else _binary_points
    kept = [position for position, length in _read(file, entries) if length >= MIN_TRACK_LENGTH]
    points = torch.tensor(kept, dtype=torch.float64).reshape(-1, 3)
    return points[(points.abs() < HUGE).all(1)]  # neither NaN nor infinite


def usable(value: float) -> bool:
    """Whether a number is finite and can be reckoned with."""
    return isfinite(value) and abs(value) < HUGE


def _fault(camera: ModelCamera) -> str:
    width, height, parameters = camera.width, camera.height, camera.parameters
    expected = dict(PARAMETERS.values()).get(camera.kind, len(parameters))
    if not (1 <= width <= LARGEST_SIDE and 1 <= height <= LARGEST_SIDE):
        return f"expected a size in pixels, got {width!r:.20} x {height!r:.20}"
    if len(parameters) != expected:
        return f"model {camera.kind} has {expected} parameters, got {len(parameters)}"
    if not all(map(usable, parameters)):
        return f"expected finite parameters, got {parameters}"
    return ""


def _is_text(file: Path) -> bool:
    return file.suffix.lower() == ".txt"


def _read(file: Path, entries: Callable[[Path], Iterator]) -> Iterator:
    """The entries of a file; whatever is malformed in it raises a SceneError that names it."""
    try:
        yield from entries(file)
    except SceneError:
        raise
    except (struct.error, OSError, ValueError, IndexError, OverflowError) as error:
        raise SceneError(
            f"{file}: not one of COLMAP's files, or a damaged one ({error})"
        ) from error


def _count(data: bytes, least: int) -> int:
    """The number of entries that a file states; ValueError if so many cannot fit into it."""
    (count,) = struct.unpack_from("<Q", data, 0)
    if count > (len(data) - 8) // least:
        raise ValueError(f"its head says {count} entries, too many for {len(data)} bytes")
    return int(count)


def _binary_cameras(file: Path) -> Iterator[tuple[int, ModelCamera]]:
    data, at = file.read_bytes(), 8
    for _ in range(_count(data, 24)):
        number, model, width, height = struct.unpack_from("<IiQQ", data, at)
        if model not in PARAMETERS:  # nor is it known where the next camera begins
            raise ValueError(f"camera {number} has an unknown model, number {model}")
        kind, length = PARAMETERS[model]
        parameters = struct.unpack_from(f"<{length}d", data, at + 24)
        yield number, ModelCamera(f"{file}: camera {number}", kind, width, height, parameters)
        at += 24 + 8 * length


def _binary_images(file: Path) -> Iterator[tuple[int, tuple[float, ...], int, str]]:
    data, at = file.read_bytes(), 8
    for _ in range(_count(data, 73)):
        number, *pose, camera = struct.unpack_from("<I7dI", data, at)
        end = data.index(b"\0", at + 64)
        yield number, tuple(pose), camera, data[at + 64 : end].decode()
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
    """Lines without comments, and without the blanks round them."""
    with file.open("rb") as stream:
        start = stream.read(2)
    # What editors of Windows write: UTF-8 or UTF-16, with a byte order mark.
    wide = start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    with file.open(encoding="utf-16" if wide else "utf-8-sig") as lines:
        for line in map(str.strip, lines):
            if not line.startswith("#"):
                yield line


def _text_cameras(file: Path) -> Iterator[tuple[int, ModelCamera]]:
    for line in filter(None, _lines(file)):
        word, *words = line.split()
        number, where = int(word), f"{file}: camera {word:.20}"
        try:
            kind, width, height = words[0], int(words[1]), int(words[2])
            parameters = tuple(map(float, words[3:]))
        except (IndexError, ValueError):
            fault = f"expected a model, a size in pixels and parameters, got {line!r:.80}"
            yield number, ModelCamera(where, fault=fault)
        else:
            yield number, ModelCamera(where, kind, width, height, parameters)


def _text_images(file: Path) -> Iterator[tuple[int, tuple[float, ...], int, str]]:
    after_image = False
    for line in _lines(file):
        # Under each image there is a line of its observations, often empty; some programs leave
        # it out. It is told from the next image by its words: triples of numbers.
        observations = _is_observations(line)
        if observations and (after_image or not line):
            after_image = False
            continue
        if observations or len(words := line.split(maxsplit=9)) < 10:
            raise ValueError(
                f"expected ID, 7 numbers of a pose, a camera and a name in {line!r:.80}"
            )
        number, *pose, camera, name = words
        yield int(number), tuple(map(float, pose)), int(camera), name
        after_image = True


def _is_observations(line: str) -> bool:
    words = line.split()
    if len(words) % 3:
        return False
    try:
        return all(isinstance(float(word), float) for word in words)
    except ValueError:
        return False


def _text_points(file: Path) -> Iterator[tuple[tuple[float, ...], int]]:
    for line in filter(None, _lines(file)):
        words = line.split()
        x, y, z = map(float, words[1:4])
        yield (x, y, z), (len(words) - 8) // 2
