"""Frames to an mp4, by the optional packages imageio and PyAV."""

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

INSTALL = "pip install 'orefield[video]'"


def can_write_video() -> bool:
    """Whether the packages of the extra `video` are there."""
    return find_spec("imageio") is not None and find_spec("av") is not None


def write_video(path: Path, frames: Iterable[Path], rate: int) -> None:
    """Write RGB pictures of one size as H.264 in an mp4, `rate` per second.

    Odd sizes lose their last row or column, because the format stores colors at half resolution.
    """
    import imageio.v3 as iio

    with iio.imopen(path, "w", plugin="pyav") as video:
        video.init_video_stream("libx264", fps=rate, pixel_format="yuv420p")
        for file in frames:
            with Image.open(file) as picture:
                pixels = np.asarray(picture)
            height, width = (size - size % 2 for size in pixels.shape[:2])
            video.write_frame(np.ascontiguousarray(pixels[:height, :width]))
