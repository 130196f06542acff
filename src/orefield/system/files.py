"""Write files atomically; read and write JSON."""

import json
import os
from pathlib import Path
from typing import Any

from orefield.errors import OrefieldError

LARGEST_JSON = 2**28
"""Bytes of the largest JSON file that is read; a thousand frames take less than one MiB."""


def write_atomically(path: Path, data: bytes) -> None:
    """Write a temporary file and move it over the target, which is complete at any time.

    A full disk or a killed process leaves the old file. OSError names the file.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    except BaseException as error:
        beside.unlink(missing_ok=True)
        if isinstance(error, OSError):  # a failed write does not say of which file
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise


def write_json(path: Path, value: Any, indent: int = 2) -> None:
    """Write JSON atomically; infinities and NaN, which JSON does not know, raise ValueError."""
    text = json.dumps(value, indent=indent, allow_nan=False)
    write_atomically(path, (text + "\n").encode())


def read_json(path: Path, error: type[OrefieldError]) -> dict[str, Any]:
    """Read a JSON object; an `error` names the file and what is wrong with it."""
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise error(f"{path}: is larger than {LARGEST_JSON} bytes, expected a few MiB of JSON")
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except OrefieldError:
        raise
    except FileNotFoundError:
        raise error(f"{path}: no such file") from None
    except (OSError, ValueError, RecursionError) as reason:  # malformed JSON or UTF-8
        raise error(f"{path}: not readable as JSON: {' '.join(str(reason).split())}") from reason
    if not isinstance(value, dict):
        raise error(f"{path}: expected a JSON object, got {type(value).__name__}")
    return value
