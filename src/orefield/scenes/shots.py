"""Photographs listed by a scene's files but not yet read."""

import posixpath
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from jaxtyping import Float
from torch import Tensor

from orefield.cameras import Camera
from orefield.scenes.scene import SceneWarning
from orefield.types import SceneError


@dataclass(frozen=True)
class Shot:
    """A photograph on disk and where it was taken."""

    name: str
    image: Path
    mask: Path | None
    camera: Camera
    """For the photograph at its size on disk."""
    pose: Float[Tensor, "3 4"]
    """Camera to world, OpenCV axes, in the coordinates of the files, float64."""
    bounds: tuple[float, float] | None = None
    """Depth of the nearest and farthest thing in view, where the files tell."""


@dataclass(frozen=True)
class Listing:
    """All that a scene's files say, before any photograph is read."""

    train: Sequence[Shot]
    test: Sequence[Shot]
    split: str
    """How the two were told apart."""


def hold_out(shots: Sequence[Shot], every: int) -> Listing:
    """Every n-th photograph, starting with the first, becomes a test view."""
    train = [shot for i, shot in enumerate(shots) if i % every]
    ordinal = {2: "2nd", 3: "3rd"}.get(every, f"{every}th")
    return Listing(train, shots[::every], f"every {ordinal} image")


def evenly(shots: Sequence[Shot], most: int) -> Sequence[Shot]:
    """At most this many of the photographs, evenly spaced from the first; all of them for 0."""
    if most == 0 or len(shots) <= most:
        return shots
    return [shots[i * len(shots) // most] for i in range(most)]


def inside(folder: Path, name: str, where: str) -> Path:
    """The path of a file that a scene names, refused if it would lead out of the scene's folder."""
    # Windows rules everywhere: they know drives and both kinds of slash.
    path = PureWindowsPath(name)
    plain = posixpath.normpath(path.as_posix())
    if path.anchor or plain == "." or plain.split("/")[0] == "..":
        raise SceneError(f"{where} must be a path inside the scene folder {folder}, got {name!r}")
    return folder / plain


def is_file(path: Path) -> bool:
    """Whether a file is there; a name that no file system could hold counts as absent."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def report_missing(where: str, missing: Sequence[str], listed: int) -> None:
    """One warning that names the absent photographs; SceneError if none is left."""
    if len(missing) == listed:
        raise SceneError(f"{where}: none of the {listed} images is there, such as {missing[0]!r}")
    if missing:
        warnings.warn(
            f"{where}: {len(missing)} of {listed} images are missing: {', '.join(missing)}",
            SceneWarning,
            stacklevel=2,
        )
