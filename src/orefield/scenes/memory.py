"""Whether the photographs fit into memory, asked before the first is read."""

import warnings
from collections.abc import Sequence

from orefield.scenes.dataparsers.parsed_scene import Frame
from orefield.scenes.scene import SceneWarning
from orefield.system.memory import available_bytes, gibibytes
from orefield.types import SceneError

WORTH_SAYING = 2**30
"""Bytes above which the user is told how much memory the photographs take."""


def check_memory(frames: Sequence[Frame], downscale: int, masks_alone: bool) -> None:
    """Say what photographs will take if it is much; SceneError if there is not that much memory.

    `masks_alone` tells that masks are kept beside the photographs, not in their alpha.
    """
    needed = sum(_bytes(frame, downscale, masks_alone) for frame in frames)
    if needed <= WORTH_SAYING:
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


def _bytes(frame: Frame, downscale: int, masks_alone: bool) -> int:
    """RGBA; per pixel also 4 bytes of depth, and a mask's byte and its 4 in the pixel bank."""
    pixels = (frame.camera.width // downscale) * (frame.camera.height // downscale)
    masked = masks_alone and frame.mask is not None
    return pixels * (4 + 4 * (frame.depth is not None) + 5 * masked)
