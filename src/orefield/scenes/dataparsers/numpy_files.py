"""NumPy files, read without trusting what their headers state: no pickle, no size but the file's.

Not read with `numpy.load`, which opens whatever looks like a zip archive or a pickle and multiplies
the sizes in a header without a check for overflow.
"""

import math
import re
import struct
import zipfile
import zlib
from io import BufferedIOBase, BytesIO
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from orefield.types import SceneError

MATRIX_BYTES = 2**12
"""Most that is read of one array in an .npz; the matrix of a camera has 128 bytes."""
MOST_ARRAYS = 2**16
MATRICES = ((3, 3), (3, 4), (4, 4))
# NumPy parses the header as Python and lets the errors of that parser through.
_BROKEN = (
    *(OSError, ValueError, EOFError, OverflowError, SyntaxError, TokenError, RecursionError),
    *(MemoryError, zipfile.BadZipFile, zlib.error, struct.error, RuntimeError, KeyError),
)


def read_npy(file: Path) -> NDArray[Any]:
    """The array of numbers in a .npy file, memory-mapped.

    Raises SceneError for anything but integers or floating-point numbers, and for a file that is
    smaller than its header says.
    """
    try:
        with file.open("rb") as stream:
            shape, order, kind = _header(stream)
            start = stream.tell()
            if start + math.prod(shape) * kind.itemsize > file.stat().st_size:
                raise ValueError(f"smaller than the {kind} {shape} that its header states")
        if 0 in shape:
            return np.empty(shape, kind)
        return np.memmap(file, kind, "r", start, shape, order)
    except _BROKEN as error:
        raise _unreadable(file, error) from error


def read_npz(
    file: Path, wanted: re.Pattern[str]
) -> tuple[dict[str, NDArray[np.float64]], list[str]]:
    """The matrices of 3 or 4 rows and columns with these names in an .npz file; other names in it.

    Raises SceneError for anything else under a wanted name.
    """
    found: dict[str, NDArray[np.float64]] = {}
    others: list[str] = []
    where = str(file)
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            if len(members) > MOST_ARRAYS:
                raise SceneError(f"{file}: expected matrices of cameras, got {len(members)} arrays")
            for member in members:
                where = f"{file}: {member.filename:.80}"
                name = member.filename.removesuffix(".npy")
                if not wanted.fullmatch(name):
                    others.append(name)
                elif name in found:
                    raise SceneError(f"{where}: is there twice")
                else:
                    found[name] = _matrix(where, archive, member)
    except SceneError:
        raise
    except _BROKEN as error:
        raise _unreadable(where, error) from error
    return found, others


def _matrix(where: str, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[np.float64]:
    # Other methods may need gigabytes to start with.
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise SceneError(f"{where}: expected numpy.savez's or savez_compressed's compression")
    with archive.open(member) as stream:
        data = stream.read(MATRIX_BYTES)  # the size in the archive's directory may be wrong
    shape, order, kind = _header(buffer := BytesIO(data))
    if shape not in MATRICES:
        raise SceneError(f"{where}: expected a 4 x 4 matrix, got {kind} {shape}")
    numbers = np.frombuffer(data, kind, math.prod(shape), buffer.tell())
    return as_float64(numbers.reshape(shape, order=order))


def _header(stream: BufferedIOBase) -> tuple[tuple[int, ...], Any, np.dtype[Any]]:
    """Shape, order of the axes in memory ("C" or "F") and type of an array of numbers."""
    version = npy.read_magic(stream)
    if version == (1, 0):
        shape, fortran, kind = npy.read_array_header_1_0(stream)
    elif version in ((2, 0), (3, 0)):  # of the third, names of fields alone differ
        shape, fortran, kind = npy.read_array_header_2_0(stream)
    else:
        raise ValueError(f"version {version[0]}.{version[1]} of NumPy's format")
    if kind.kind not in "fiu" or kind.subdtype is not None:
        raise ValueError(f"expected an array of numbers, got {kind}")
    shape = tuple(map(int, shape))  # True counts as 1
    if min(shape, default=0) < 0:
        raise ValueError(f"a negative size, {shape}")
    return shape, "F" if fortran else "C", kind


def as_float64(numbers: NDArray[Any]) -> NDArray[np.float64]:
    """The same numbers; those beyond float64 become infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        return numbers.astype(np.float64)


def _unreadable(where: str | Path, error: Exception) -> SceneError:
    return SceneError(f"{where}: cannot be read as a NumPy file ({error})")
