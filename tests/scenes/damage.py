"""Ways to damage the files of a scene, and what may come of it."""

import json
import lzma
import math
import os
import signal
import struct
import sys
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from limits import little_memory
from orefield.config import SceneConfig
from orefield.errors import LONGEST
from orefield.scenes import open_scene
from orefield.types import SceneError

OPENED: list[str] | None = None
PATIENCE = 60
"""Seconds after which opening a small scene hangs."""


def record_opened(event, arguments):
    if OPENED is not None and event == "open":
        OPENED.append(str(arguments[0]))


sys.addaudithook(record_opened)  # cannot be taken back: costs one comparison per event from here on


@contextmanager
def patience() -> Iterator[None]:
    """A read that never ends, of a FIFO say, is a failure."""

    def give_up(number, frame):
        raise AssertionError("reading does not end")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def outcome(folder: Path, config: SceneConfig) -> str:
    """The error's message, '' for a scene; any other exception gets through."""
    global OPENED
    OPENED = opened = []
    message = ""
    try:
        with warnings.catch_warnings(), little_memory(), patience():
            warnings.simplefilter("ignore")
            open_scene(folder, config)
    except SceneError as error:
        message = str(error)
        if folder.name not in message or len(message) > LONGEST or not message.isprintable():
            pytest.fail(f"not one short line that names a file of the scene: {message!r}")
    finally:
        OPENED = None
    assert not [path for path in opened if "secret" in path or path.startswith("/etc")]
    return message


EXTREME_WORDS = [
    *(struct.pack("<d", value) for value in (0.0, -1.0, 1e30, 1e300, -1e-300, math.nan, math.inf)),
    *(struct.pack("<q", value) for value in (0, 1, -1, 17, 2**31, 2**32, 2**40, 2**62)),
]
WORDS = [b"true", b"null", b"NaN", b"-1", b"1e400", b"9" * 400, b"[[[[", b'"\\u0000"', b"{}", b""]


def damaged(data: bytes, random: np.random.Generator) -> bytes:
    """Cut, flip a bit, put an extreme number or word somewhere, repeat or remove."""
    at, length = int(random.integers(len(data) + 1)), int(random.integers(1, 41))
    kind = random.integers(7)
    if kind == 0:
        return data[:at]
    if kind == 1 and at < len(data):
        return data[:at] + bytes([data[at] ^ (1 << int(random.integers(8)))]) + data[at + 1 :]
    if kind in (2, 3):  # the numbers of binary files stand at multiples of four
        at -= at % 4
        return data[:at] + EXTREME_WORDS[random.integers(len(EXTREME_WORDS))] + data[at + 8 :]
    if kind == 4:
        return data[:at] + WORDS[random.integers(len(WORDS))] + data[at + length // 4 :]
    if kind == 5:
        return data[:at] + data[at : at + length] * 2 + data[at + length :]
    return data[:at] + data[at + length :]


NUMBERS = [0, -1, 1e-320, 1e14, 1e31, 10**400, math.nan, math.inf, True, 2**63, 1, 2.5]
PATHS = [
    *("../secret.png", "images/../../secret.png", "/etc/passwd", "C:\\x", "\0", "a" * 5000, "~"),
    *(".", "/", "", "..", "\x1b[2J", "images/\udcff.png", "//x/y", "images", "\u202ex", "a" * 256),
]
ODD: list[Any] = [None, [], {}, [[]], {"x": [1]}, "", "x", [None] * 4, *NUMBERS, *PATHS]
FIELDS = [
    *("file_path", "mask_path", "depth_file_path", "transform_matrix", "fl_x", "fl_y", "cx", "cy"),
    *("w", "h", "k1", "k2", "k3", "k4", "p1", "p2", "camera_angle_x", "camera_angle_y", "frames"),
    *("is_fisheye", "train_filenames", "test_filenames", "val_filenames", "applied_transform"),
    *("depth_unit_scale_factor", "camera_model", "aabb_scale", "equirectangular", "latlong"),
    *("x_fov", "ftheta_p0", "K", "from_na", "skew"),
]
MODELS = ["OPENCV_FISHEYE", "EQUIRECTANGULAR", "PINHOLE", "OPENCV"]


def junk_in_a_field(data: bytes, random: np.random.Generator) -> bytes:
    """A JSON scene with something odd in one of its fields."""
    values = json.loads(data)
    frame = values["frames"][random.integers(len(values["frames"]))]
    target = [values, frame, frame["transform_matrix"][random.integers(4)]][random.integers(3)]
    if random.integers(2):
        values["camera_model"] = MODELS[random.integers(len(MODELS))]
    if isinstance(target, list):
        target[random.integers(4)] = ODD[random.integers(len(ODD))]
    else:
        target[FIELDS[random.integers(len(FIELDS))]] = ODD[random.integers(len(ODD))]
    return json.dumps(values).encode()


def picture(kind: str, size: tuple[int, int] = (12, 10), mode: str = "RGB", **options) -> bytes:
    buffer = BytesIO()
    Image.new(mode, size).save(buffer, kind, **options)
    return buffer.getvalue()


def huge_png(width: int, height: int) -> bytes:
    """The head of a PNG that claims so many pixels."""
    data = picture("PNG")
    head = b"IHDR" + struct.pack(">II", width, height) + data[24:29]
    return data[:12] + head + struct.pack(">I", zlib.crc32(head)) + data[33:]


def npy(header: str, data: bytes = b"", version: tuple[int, int] = (1, 0)) -> bytes:
    head = header.encode() + b"\n"
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H", len(head)) + head + data


def npz(member: bytes, compression: int) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("world_mat_0.npy", member)
    return buffer.getvalue()


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 12 10\n%%EndComments\nshowpage\n"
FOREIGN: list[bytes] = [
    *(POSTSCRIPT, b"", b"\xff" * 99, b"[" * 100_000, b'{"a":' * 50_000),
    *(picture(kind) for kind in ("GIF", "DDS", "PCX", "TGA", "ICO", "PPM", "TIFF", "BMP", "WEBP")),
    *(picture(kind, mode="L") for kind in ("PNG", "JPEG", "SGI")),
    *([picture("AVIF")] if features.check("avif") else []),
    *(huge_png(2**31 - 1, 2**31 - 1), huge_png(30_000, 30_000), huge_png(9_000, 9_000)),
    picture("PNG", (12, 10), "1"),
    struct.pack("<Q", 2**63) + bytes(90),
    *(
        npy(f"{{'descr': {kind!r}, 'fortran_order': {order}, 'shape': {shape}}}", bytes(2000))
        for kind, order, shape in (
            *(("<f8", False, "(True, 17)"), ("<f8", True, "(9, 17)"), ("|O", False, "(9, 17)")),
            *(
                ("<f8", False, "(-1, 17)"),
                ("<f8", False, f"({2**62}, 17)"),
                ("<M8[s]", False, "()"),
            ),
            *(
                ("<f8", "x", "(9, 17)"),
                ("<f8", False, "(9, 17" + "," * 999),
                (">f2", False, "(9,)"),
            ),
        )
    ),
    b"PK\x03\x04" + bytes(90),
    *(npz(bytes(2000), kind) for kind in (zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2)),
    lzma.compress(bytes(999)),
]
"""Contents that belong into no file of a scene, or into another."""


def special_file(path: Path, random: np.random.Generator) -> None:
    """Put something that is no file, or cannot be read, in a file's place."""
    path.unlink()
    kind = random.integers(4)
    if kind == 0:
        os.mkfifo(path)
    elif kind == 1:
        path.mkdir()
    elif kind == 2:
        path.symlink_to(path)
    else:
        path.symlink_to("/dev/zero")


def remove(path: Path) -> None:
    """Whatever is there."""
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def damage_file(path: Path, random: np.random.Generator) -> None:
    """Damage a sound file, in one of all these ways."""
    sound, kind = path.read_bytes(), random.integers(20)
    if kind == 0:
        special_file(path, random)
    elif kind in (1, 2):
        path.write_bytes(FOREIGN[random.integers(len(FOREIGN))])
    elif path.suffix == ".json" and kind < 14:
        path.write_bytes(junk_in_a_field(sound, random))
    else:
        for _ in range(1 + random.integers(4) // 3):
            sound = damaged(sound, random)
        path.write_bytes(sound)
