"""Write files so that they are whole at any time; read and write JSON."""

import errno
import json
import os
import stat
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from orefield.errors import OrefieldError

LARGEST_JSON = 2**28
"""Bytes of the largest JSON file that is read; a thousand frames take less than one MiB."""
_BLOCK = 2**20
"""Bytes in one call to the system."""
_CANNOT_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
"""What file systems answer that have no fsync, of folders above all (SMB, some FUSE): it is no
fault of the data, so nothing is raised."""


def write_atomically(path: Path, data: bytes) -> None:
    """Write a temporary file and move it over the target, which is complete at any time.

    A full disk or a killed process leaves the old file. The data reach the disk before the name
    does, and the name before this returns, so a power cut leaves the old file or the new one.
    OSError names the file.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.unlink(missing_ok=True)
        with beside.open("xb", buffering=0) as file:
            _write_all(file.fileno(), data)
            _sync(file.fileno())
        beside.replace(path)
        sync_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        if isinstance(error, OSError):  # a failed write does not say of which file
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise


def _write_all(file: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(file, left[:_BLOCK]) :]


def _sync(file: int) -> None:
    """Wait until the disk has what was written to this file or folder."""
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise


def sync_file(path: Path) -> None:
    """Wait until the disk has what was written to this file; OSError where that fails."""
    file = os.open(path, os.O_RDWR)
    try:
        _sync(file)
    finally:
        os.close(file)


def sync_folder(folder: Path) -> None:
    """Wait until the disk has the names in this folder, as far as the system can."""
    if sys.platform == "win32":
        return  # has no way to do that for a folder
    file = os.open(folder, os.O_RDONLY)
    try:
        _sync(file)
    finally:
        os.close(file)


def remove_leftovers(folder: Path, names: Iterable[str]) -> None:
    """Remove temporary files that dead processes left of these files.

    To be called where no other process of this machine or another writes them (see `lock.py`); what
    belongs to a process that is alive stays.
    """
    for name in names:
        for file in folder.glob(f".{name}.*"):
            number = file.suffix[1:]
            # A container's processes have few numbers: a leftover may well carry our own.
            if number.isdecimal() and (int(number) == os.getpid() or not _is_alive(int(number))):
                with suppress(OSError):
                    file.unlink()


def _is_alive(process: int) -> bool:
    if sys.platform == "win32":
        return False  # asking there would end it; the lock says enough
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # somebody else's
        return True
    return True


def write_json(path: Path, value: Any, indent: int = 2) -> None:
    """Write JSON atomically; infinities and NaN, which JSON does not know, raise ValueError."""
    text = json.dumps(value, indent=indent, allow_nan=False)
    write_atomically(path, (text + "\n").encode())


def read_json(
    path: Path, error: type[OrefieldError], largest: int = LARGEST_JSON, strict: bool = False
) -> dict[str, Any]:
    """Read a JSON object of at most `largest` bytes.

    `strict`: also refuse repeated keys, infinities and NaN, which `write_json` never writes. An
    `error` names the file and what is wrong with it.
    """
    options = {"object_pairs_hook": _once, "parse_constant": _no_constant} if strict else {}
    try:
        check_regular(path, error)
        if path.stat().st_size > largest:
            raise error(f"{path}: is larger than {largest} bytes, expected a few MiB of JSON")
        value = json.loads(path.read_text(encoding="utf-8-sig"), **options)  # type: ignore[arg-type]
    except OrefieldError:
        raise
    except (OSError, ValueError, RecursionError) as reason:  # malformed JSON or UTF-8
        raise error(f"{path}: not readable as JSON: {' '.join(str(reason).split())}") from reason
    if not isinstance(value, dict):
        raise error(f"{path}: expected a JSON object, got {type(value).__name__}")
    return value


def check_regular(path: Path, error: type[OrefieldError]) -> None:
    """Raise an `error` unless the path is a file; opening a pipe or a device might never end."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise error(f"{path}: no such file") from None
    if not stat.S_ISREG(mode):
        raise error(f"{path}: is not a regular file")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key {next(k for k in values if keys.count(k) > 1)!r} is repeated")
    return values


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number in JSON")
