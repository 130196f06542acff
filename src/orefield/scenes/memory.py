"""Checks that the photographs fit into memory, before the first is read."""

import warnings
from collections.abc import Sequence

from orefield.scenes.dataparsers.parsed_scene import Frame
from orefield.scenes.scene import SceneWarning
from orefield.system.memory import available_bytes, gibibytes
from orefield.types import SceneError

WARN_ABOVE = 2**30
"""Bytes of photographs above which a warning says how much memory they take."""


def check_memory(frames: Sequence[Frame], downscale: int, separate_masks: bool) -> None:
    """Warn if the photographs take much memory; SceneError if they take more than is free.

    `separate_masks` says that masks are kept beside the photographs, not in their alpha.
    """
    needed = sum(_bytes(frame, downscale, separate_masks) for frame in frames)
    if needed <= WARN_ABOVE:
        return
    free = available_bytes()
    advice = "--scene.downscale, --scene.max-images and --scene.max-test-views make it less"
    if free is not None and needed > free:
        raise SceneError(
            f"{frames[0].image.parent}: {len(frames)} images take {gibibytes(needed)} of memory, "
            f"and {gibibytes(free)} are free; {advice}"
        )
    warnings.warn(
        f"{frames[0].image.parent}: {len(frames)} images take {gibibytes(needed)} of memory; "
        f"{advice}",
        SceneWarning,
        stacklevel=2,
    )


def _bytes(frame: Frame, downscale: int, separate_masks: bool) -> int:
    """Per pixel 4 of RGBA, 4 of depth, and for a mask 1 and 4 more in PixelSampler's index."""
    pixels = (frame.camera.width // downscale) * (frame.camera.height // downscale)
    masked = separate_masks and frame.mask is not None
    return pixels * (4 + 4 * (frame.depth is not None) + 5 * masked)
