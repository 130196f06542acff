"""Decides where the photographs lie, by the memory that is free, before the first is read."""

import os
import warnings
from collections.abc import Sequence
from typing import NamedTuple

from orefield.scenes.dataparsers.parsed_scene import Frame
from orefield.scenes.pixel_block import block_folder
from orefield.scenes.scene import SceneWarning
from orefield.system.memory import available_bytes, gibibytes
from orefield.types import SceneError

WARN_ABOVE = 2**30
"""Bytes of photographs above which a warning says how much memory they take."""
DECODING = 24
"""Bytes a pixel of a photograph of full size while it is decoded, masked and made smaller."""
TRAINING = 2**30
"""Bytes that are left to training."""
MOST_THREADS = 8


class Reading(NamedTuple):
    """How photographs are to be read."""

    threads: int
    """Photographs that may be decoded at the same time."""
    in_file: bool
    """Whether their pixels are to lie in a file that the system maps into memory."""


def check_memory(frames: Sequence[Frame], downscale: int, separate_masks: bool) -> Reading:
    """How to read the photographs, as memory allows.

    Warns if they take much memory, or more than is free beside training, which takes TRAINING: then
    their pixels are to lie in a file. SceneError if even the rest (depths, masks, one photograph
    that is decoded) takes more than is free. The heads of their files state the sizes.
    `separate_masks` says that masks are kept beside the photographs, not in their alpha.
    """
    threads = min(MOST_THREADS, os.cpu_count() or 1)
    pixels = 4 * sum(_pixels(frame, downscale) for frame in frames)
    rest = sum(_beside(frame, downscale, separate_masks) for frame in frames)
    each = DECODING * max(frame.camera.width * frame.camera.height for frame in frames)
    if pixels + rest + threads * each <= WARN_ABOVE:
        return Reading(threads, False)
    free, where = available_bytes(), frames[0].image.parent
    advice = "--scene.downscale, --scene.max-images and --scene.max-test-views make it less"
    in_file = free is not None and pixels + rest + max(each, TRAINING) > free
    held = rest if in_file else pixels + rest
    if free is not None and held + each > free:
        raise SceneError(
            f"{where}: {len(frames)} images take {gibibytes(held)} of memory beside their colors, "
            f"decoding one of them {gibibytes(each)}, and {gibibytes(free)} are free; {advice}"
        )
    if pixels + rest > WARN_ABOVE or in_file:
        how = f", more than is free: they go to a file in {block_folder()} (slower)"
        warnings.warn(
            f"{where}: {len(frames)} images take {gibibytes(pixels + rest)} of memory"
            f"{how if in_file else ''}; {advice}",
            SceneWarning,
            stacklevel=2,
        )
    fit = threads if free is None else max(1, min(threads, (free - held) // each))
    return Reading(fit, in_file)


def _pixels(frame: Frame, downscale: int) -> int:
    return (frame.camera.width // downscale) * (frame.camera.height // downscale)


def _beside(frame: Frame, downscale: int, separate_masks: bool) -> int:
    """Bytes: per pixel 4 of depth, and for a mask 1 and 4 more in PixelSampler's index."""
    masked = separate_masks and frame.mask is not None
    return _pixels(frame, downscale) * (4 * (frame.depth is not None) + 5 * masked)
