"""A video as photographs: the sharpest frame of each window of time."""

from collections.abc import Callable, Generator, Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import UInt8

from orefield.sfm.photographs import MIN_PHOTOS, ImportedPhoto, write_photo
from orefield.sfm.progress import Progress
from orefield.types import SceneError

INSTALL = "pip install 'orefield[video]'"
GRAY_SIZE = 640
"""Sharpness is measured at this width: small enough to be fast, large enough to show blur."""
VideoFrame = TypeVar("VideoFrame")


def count_frames(path: Path) -> int:
    """Number of frames, counted without decoding them.

    Raises SceneError for a file that is not a video, for fewer than three frames, and without PyAV.
    """
    if find_spec("av") is None:
        raise SceneError(f"{path}: reading a video needs PyAV: {INSTALL}")
    import av

    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise SceneError(f"{path}: has no video stream")
            packets = container.demux(container.streams.video[0])
            number = sum(int(packet.size > 0) for packet in packets)
    except av.FFmpegError as error:
        raise SceneError(f"{path}: cannot be read as a video ({error.strerror})") from error
    if number < MIN_PHOTOS:
        raise SceneError(f"{path}: {number} frames, expected a video with at least {MIN_PHOTOS}")
    return number


def import_video(
    path: Path, folder: Path, total: int, frames: int, max_size: int
) -> Generator[Progress, None, list[ImportedPhoto]]:
    """Write the sharpest frame of each of `frames` windows into `folder` as JPEG, upright.

    `total` is the number of frames in the video. Raises SceneError where it cannot be decoded.
    """
    import av

    frames = min(frames, total)
    photos: list[ImportedPhoto] = []
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            for frame in sharpest(container.decode(stream), total, frames, _frame_sharpness):
                pixels = upright(frame.to_ndarray(format="rgb24"), frame.rotation)
                file = folder / f"frame_{len(photos) + 1:04d}.jpg"
                photos.append(write_photo(pixels, file, max_size))
                yield Progress("choosing frames", len(photos), frames)
    except av.FFmpegError as error:
        raise SceneError(f"{path}: cannot be decoded as a video ({error.strerror})") from error
    if len(photos) < MIN_PHOTOS:
        raise SceneError(f"{path}: {len(photos)} frames could be decoded, expected {MIN_PHOTOS}")
    return photos


def sharpest(
    frames: Iterable[VideoFrame], total: int, windows: int, score: Callable[[VideoFrame], float]
) -> Iterator[VideoFrame]:
    """The frame with the highest score of each of `windows` equal parts of `total` frames."""
    best: tuple[float, VideoFrame] | None = None
    current = 0
    for index, frame in enumerate(frames):
        window = min(index * windows // total, windows - 1)
        if window != current and best is not None:
            yield best[1]
            best = None
        current = window
        value = score(frame)
        if best is None or value > best[0]:
            best = value, frame
    if best is not None:
        yield best[1]


def sharpness(gray: UInt8[np.ndarray, "height width"]) -> float:
    """Variance of the Laplacian: high where edges are sharp, zero for a uniform image."""
    x = gray.astype(np.float32)
    inner = x[1:-1, 1:-1]
    laplacian = x[:-2, 1:-1] + x[2:, 1:-1] + x[1:-1, :-2] + x[1:-1, 2:] - 4 * inner
    return float(laplacian.var())


def upright(
    pixels: UInt8[np.ndarray, "height width 3"], degrees: int
) -> UInt8[np.ndarray, "height2 width2 3"]:
    """The frame turned counterclockwise by the rotation that its container states."""
    return np.rot90(pixels, round(degrees / 90))


def _frame_sharpness(frame: object) -> float:
    import av

    assert isinstance(frame, av.VideoFrame)
    width = min(GRAY_SIZE, frame.width)
    height = max(3, round(frame.height * width / frame.width))
    return sharpness(frame.reformat(width=width, height=height, format="gray").to_ndarray())
