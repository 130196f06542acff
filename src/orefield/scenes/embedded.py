"""The scenes that come with the package, by name."""

import os
import shutil
import tempfile
from importlib.resources import files
from pathlib import Path

from orefield.scenes import shapes
from orefield.types import SceneError

SCENES = {
    "shapes": "computed: textured, thin and glossy things; exact poses, alpha and depth",
    "tankard": "photographs: a wooden tankard from the Mary Rose, cut out, 216 x 216 (CC BY 4.0)",
}


def names() -> dict[str, str]:
    """Name and one line about each embedded scene."""
    return dict(SCENES)


def folder(name: str) -> Path:
    """Where an embedded scene lies on disk.

    `shapes` is made on first use and kept in `$XDG_CACHE_HOME/orefield`, or `~/.cache/orefield`.
    Raises SceneError for an unknown name.
    """
    _check(name)
    if name == "tankard":
        return Path(str(files("orefield"))) / "data" / "tankard"
    cached = _cache() / f"shapes-{shapes.VERSION}" / "shapes"
    if not cached.is_dir():
        _make_whole(cached.parent)
    return cached


def write(
    name: str,
    destination: Path,
    resolution: int = shapes.RESOLUTION,
    train_views: int = shapes.TRAIN_VIEWS,
    test_views: int = shapes.TEST_VIEWS,
) -> None:
    """Put an embedded scene into a new or empty folder.

    Resolution (width and height in pixels) and numbers of views are for `shapes` alone. Raises
    SceneError for an unknown name, a folder with something in it, and sizes that cannot be had.
    """
    _check(name)
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise SceneError(f"{destination}: expected a new or empty folder for the scene {name}")
    if name == "shapes":
        shapes.write_shapes(destination, resolution, train_views, test_views)
        return
    asked = (resolution, train_views, test_views)
    if asked != (shapes.RESOLUTION, shapes.TRAIN_VIEWS, shapes.TEST_VIEWS):
        raise SceneError(
            f"{name}: is made of photographs; resolution and number of views are for shapes alone"
        )
    shutil.copytree(folder(name), destination, dirs_exist_ok=True)


def _check(name: str) -> None:
    if name not in SCENES:
        raise SceneError(f"{name}: no embedded scene; there are {', '.join(sorted(SCENES))}")


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "orefield"


def _make_whole(target: Path) -> None:
    """Make the scene under a temporary name first: under its own name it is always complete."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as draft:
        whole = Path(draft) / "whole"
        shapes.write_shapes(whole / "shapes")
        try:
            whole.rename(target)
        except OSError:
            if not target.is_dir():  # else another process was faster, with the same bytes
                raise
