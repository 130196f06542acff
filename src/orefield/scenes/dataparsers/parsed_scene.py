"""What a dataparser returns: frames and splits, before any photograph is read."""

import os
import posixpath
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PureWindowsPath

from jaxtyping import Float
from torch import Tensor

from orefield.cameras import Camera
from orefield.scenes.scene import SceneWarning
from orefield.types import SceneError

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class DepthFile:
    """A depth map on disk; its values times `unit` are lengths in the coordinates of the files."""

    file: Path
    unit: float


@dataclass(frozen=True)
class Frame:
    """A photograph on disk, its camera and its pose."""

    name: str
    image: Path
    mask: Path | None
    camera: Camera
    """For the photograph at its size on disk."""
    pose: Float[Tensor, "3 4"]
    """Camera to world, OpenCV axes, in the coordinates of the files, float64."""
    bounds: tuple[float, float] | None = None
    """Depth of the nearest and farthest thing in view, where the files state it."""
    depth: DepthFile | None = None
    upright: bool = False
    """True if the camera is for the photograph turned as its EXIF data say, False if for the
    photograph as it is stored, which is what COLMAP and the trainers of this field read."""


@dataclass(frozen=True)
class ParsedScene:
    """All that the files of a scene say, before any photograph is read."""

    train: Sequence[Frame]
    test: Sequence[Frame]
    split: str
    """How they were divided, for people."""
    downscale: int = 1
    """What remains of the downscaling that was asked for, once the folder of images is chosen."""
    points: Float[Tensor, "points 3"] | None = None
    """Points on surfaces, in the coordinates of the files, float64."""
    ball: tuple[Float[Tensor, "3"], float] | None = None
    """Center and radius of the ball that holds the scene, where the files state it."""
    half_extent: float | None = None
    """Half the side of the cube that holds all there is, where the files state it."""


@dataclass(frozen=True)
class Folder:
    """A scene's folder; its files may refer to others outside only if `outside` allows it."""

    path: Path
    outside: bool = False

    @cached_property
    def _real(self) -> Path:
        return self.path.resolve()

    def named(self, name: str, where: str) -> Path:
        """The path of a file that the scene names; `where` says in which field, for the error.

        One path for all spellings of a name: with `./`, `//`, `..` or Windows' slashes, relative to
        the folder or absolute. Raises SceneError for a name that leads out of the folder, and for
        one with control characters.
        """
        if CONTROL.search(name):
            raise SceneError(f"{where} must be a path without control characters, got {name!r:.80}")
        # Windows rules everywhere: they know drives and both kinds of slash.
        path = PureWindowsPath(name)
        plain = posixpath.normpath(path.as_posix())
        leads_out = bool(path.anchor) or plain.split("/")[0] == ".."
        absolute = plain if path.anchor else posixpath.normpath(self.path.absolute() / plain)
        if leads_out and (within := self._within(absolute)):
            return within
        if plain == "." or (leads_out and not self.outside):
            raise SceneError(
                f"{where} must be a path inside the scene folder {self.path}, got {name!r:.80} "
                "(--scene.allow-outside would read it)"
            )
        return self.path / plain

    def _within(self, absolute: str) -> Path | None:
        """The path of something in this folder, given an absolute one; None for anything else."""
        path = Path("/" + absolute.lstrip("/") if os.name == "posix" else absolute)
        try:  # links may spell the folder in several ways
            forms = (path, self.path), (path.resolve(), self._real)
        except (OSError, RuntimeError, ValueError):
            return None
        for form, root in forms:
            if form != root and form.is_relative_to(root):
                return self.path / form.relative_to(root)
        return None

    def inside(self, path: Path) -> Path:
        """The same path; SceneError if links make it lead out of the folder."""
        real = path.resolve()
        if not (self.outside or real.is_relative_to(self._real)):
            raise SceneError(
                f"{path}: leads out of the scene folder to {real}; "
                "expected a file inside, or --scene.allow-outside"
            )
        return path


def hold_out(frames: Sequence[Frame], every: int) -> ParsedScene:
    """Every n-th frame, starting with the first, becomes a test view; none for 0."""
    if every == 0:
        return ParsedScene(frames, [], "all images, no test views")
    train = [frame for i, frame in enumerate(frames) if i % every]
    return ParsedScene(train, frames[::every], f"every {_ordinal(every)} image")


def _ordinal(number: int) -> str:
    teen = number % 100 in (11, 12, 13)
    ending = "th" if teen else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def evenly(frames: Sequence[Frame], most: int) -> Sequence[Frame]:
    """At most this many of the frames, evenly spaced from the first; all of them for 0."""
    if most == 0 or len(frames) <= most:
        return frames
    return [frames[i * len(frames) // most] for i in range(most)]


def is_file(path: Path) -> bool:
    """Whether the file exists; one with a name that no file system allows does not."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


@contextmanager
def naming(where: str) -> Iterator[None]:
    """Turns the ValueError of a camera with bad parameters into a SceneError that names `where`."""
    try:
        yield
    except SceneError:
        raise
    except ValueError as error:
        raise SceneError(f"{where}: {error}") from error


def report_missing(where: str, missing: Sequence[str], listed: int) -> None:
    """Warn once, naming the missing photographs; SceneError if all of the `listed` are missing."""
    if missing and len(missing) == listed:
        raise SceneError(
            f"{where}: none of the {listed} images is there, such as {missing[0]!r:.80}"
        )
    if missing:
        warnings.warn(
            f"{where}: {len(missing)} of {listed} images are missing: {few(missing)}",
            SceneWarning,
            stacklevel=2,
        )


def few(names: Sequence[str]) -> str:
    """The first of these names, a dozen at most, and how many more there are, for a message."""
    shown: list[str] = []
    for name in names[:12]:
        if shown and sum(map(len, shown)) + len(name) > 250:
            break
        shown.append(f"{name:.80}")
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
