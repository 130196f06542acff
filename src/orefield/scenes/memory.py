"""Checks that the photographs fit into memory, before the first is read."""

import os
import warnings
from collections.abc import Sequence

from orefield.scenes.dataparsers.parsed_scene import Frame
from orefield.scenes.scene import SceneWarning
from orefield.system.memory import available_bytes, gibibytes
from orefield.types import SceneError

WARN_ABOVE = 2**30
"""Bytes of photographs above which a warning says how much memory they take."""
DECODING = 24
"""Bytes a pixel of a photograph of full size while it is decoded, masked and made smaller."""
MOST_THREADS = 8


def check_memory(frames: Sequence[Frame], downscale: int, separate_masks: bool) -> int:
    """Number of photographs that may be decoded at the same time, as memory allows; at least one.

    Warns if the photographs take much memory; SceneError if they, and one that is decoded, take
    more than is free. The heads of their files state the sizes. `separate_masks` says that masks
    are kept beside the photographs, not in their alpha.
    """
    threads = min(MOST_THREADS, os.cpu_count() or 1)
    needed = sum(_bytes(frame, downscale, separate_masks) for frame in frames)
    each = DECODING * max(frame.camera.width * frame.camera.height for frame in frames)
    if needed + threads * each <= WARN_ABOVE:
        return threads
    free = available_bytes()
    advice = "--scene.downscale, --scene.max-images and --scene.max-test-views make it less"
    if free is not None and needed + each > free:
        raise SceneError(
            f"{frames[0].image.parent}: {len(frames)} images take {gibibytes(needed)} of memory, "
            f"decoding one of them {gibibytes(each)}, and {gibibytes(free)} are free; {advice}"
        )
    if needed > WARN_ABOVE:
        warnings.warn(
            f"{frames[0].image.parent}: {len(frames)} images take {gibibytes(needed)} of memory; "
            f"{advice}",
            SceneWarning,
            stacklevel=2,
        )
    return threads if free is None else max(1, min(threads, (free - needed) // each))


def _bytes(frame: Frame, downscale: int, separate_masks: bool) -> int:
    """Per pixel 4 of RGBA, 4 of depth, and for a mask 1 and 4 more in PixelSampler's index."""
    pixels = (frame.camera.width // downscale) * (frame.camera.height // downscale)
    masked = separate_masks and frame.mask is not None
    return pixels * (4 + 4 * (frame.depth is not None) + 5 * masked)
