"""NumPy files, read without trusting the sizes that their headers state."""

import zipfile
import zlib
from io import BytesIO
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orefield.types import SceneError

MATRIX_BYTES = 2**12
"""Most that is read of one array in an .npz; the matrix of a camera has 128 bytes."""
MOST_ARRAYS = 2**16
# NumPy parses the header as Python and lets the errors of that parser through.
_BROKEN = (OSError, ValueError, EOFError, OverflowError, SyntaxError, TokenError, RecursionError)


def read_npy(file: Path) -> NDArray[Any]:
    """The array in a .npy file, memory-mapped: a header that claims too much is an error."""
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except _BROKEN as error:
        raise _unreadable(file, error) from error
    if not isinstance(array, np.ndarray):
        raise SceneError(f"{file}: expected one NumPy array, got several")
    return array


def read_npz(file: Path) -> dict[str, NDArray[Any]]:
    """The matrices in an .npz file, by name."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            if len(members) > MOST_ARRAYS:
                raise SceneError(f"{file}: expected matrices of cameras, got {len(members)} arrays")
            return {
                member.filename.removesuffix(".npy"): _matrix(file, archive, member)
                for member in members
            }
    except SceneError:
        raise
    except (*_BROKEN, zipfile.BadZipFile, zlib.error, RuntimeError, KeyError) as error:
        raise _unreadable(file, error) from error


def _matrix(file: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    with archive.open(member) as stream:
        data = stream.read(MATRIX_BYTES)  # the size in the archive's directory may be wrong
    buffer = BytesIO(data)
    if np.lib.format.read_magic(buffer) != (1, 0):
        raise SceneError(f"{file}: {member.filename}: expected version 1.0 of NumPy's format")
    shape, _, kind = np.lib.format.read_array_header_1_0(buffer)
    if kind.kind not in "fiu" or shape not in ((3, 4), (4, 4)):
        raise SceneError(f"{file}: {member.filename}: expected a 4 x 4 matrix, got {kind} {shape}")
    return np.asarray(np.lib.format.read_array(BytesIO(data), allow_pickle=False))


def _unreadable(file: Path, error: Exception) -> SceneError:
    reason = " ".join(str(error).split())
    return SceneError(f"{file}: cannot be read as a NumPy file ({reason})")
