"""Frames to an mp4, by the optional package PyAV."""

import os
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

INSTALL = "pip install 'orefield[video]'"


def can_write_video() -> bool:
    """Whether the packages of the extra `video` are there."""
    return find_spec("av") is not None


def write_video(path: Path, frames: Sequence[Path], rate: int) -> None:
    """Write RGB pictures of one size as H.264 in an mp4, `rate` per second.

    Odd sizes lose their last row or column, because the format stores colors at half resolution.
    OSError names the file, where the disk is full for example; an older video stays as it was then.
    """
    beside = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        _encode(beside, frames, rate)
        beside.replace(path)
    except BaseException as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in (None, str(beside)):
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise


def _encode(path: Path, frames: Sequence[Path], rate: int) -> None:
    import av

    with Image.open(frames[0]) as first:
        width, height = (size - size % 2 for size in first.size)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for file in frames:
            with Image.open(file) as picture:
                pixels = np.ascontiguousarray(np.asarray(picture)[:height, :width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
