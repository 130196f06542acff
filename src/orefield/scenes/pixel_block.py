"""The bytes of photographs: in memory, or in a file that the system maps into it."""

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from orefield.system.memory import gibibytes
from orefield.types import SceneError


def new_block(pixels: int, in_file: bool) -> UInt8[Tensor, "pixels 4"]:
    """Room for that many pixels of RGBA, of any content.

    `in_file`: in a temporary file without a name in `block_folder()`, which ends with the process.
    The system reads and writes it page by page, and keeps in memory what it has room for. Raises
    SceneError where the disk has no room.
    """
    if not in_file or not pixels:
        return torch.empty((pixels, 4), dtype=torch.uint8)
    folder, size = block_folder(), 4 * pixels
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            _reserve(file.fileno(), size, folder)
            return torch.from_numpy(np.memmap(file, np.uint8, "r+", shape=(pixels, 4)))
    except OSError as error:
        raise SceneError(
            f"{folder}: no room for {gibibytes(size)} of photographs, which do not fit into "
            f"memory either ({error.strerror}); set TMPDIR to a folder on a larger disk"
        ) from error


def block_folder() -> Path:
    """TMPDIR; without one /var/tmp, because /tmp often lies in memory."""
    lasting = Path("/var/tmp")
    if "TMPDIR" not in os.environ and os.access(lasting, os.W_OK):
        return lasting
    return Path(tempfile.gettempdir())


def _reserve(file: int, size: int, folder: Path) -> None:
    """Take the room on the disk now: a mapped page that finds none later ends the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
        return
    if shutil.disk_usage(folder).free < size:
        raise OSError(28, os.strerror(28))
    os.truncate(file, size)
