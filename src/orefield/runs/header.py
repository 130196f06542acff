"""The header of a run folder, config.json: which scene, which settings, which run."""

import dataclasses
import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from orefield._version import __version__
from orefield.config import RunConfig, from_dict, to_dict
from orefield.errors import ConfigError, RunError
from orefield.ops.frustum import Frustum
from orefield.runs.scene_digest import SceneDigest, digest_from_dict, digest_of
from orefield.scenes.scene import Scene
from orefield.system.files import read_json, write_json

CONFIG = "config.json"
FORMAT = 6
_UNRELEASED = "0.2.0 of before its release"
_READ_BY = {1: "0.1.0", 2: "0.1.0", 3: _UNRELEASED, 4: _UNRELEASED, 5: _UNRELEASED}
"""Versions of Orefield that read earlier formats."""
_LARGEST = 2**20
"""Bytes of the largest config.json that is read: one has about 5 kB."""
_LONGEST_PATH = 4096
_EXTENTS = tuple(2**k for k in range(8))
_HOW = ("device", "threads", "cuda_graph", "eval_every", "save_every", "lpips", "log")
"""Settings of how a run is computed and watched, not of what comes out."""


@dataclass(frozen=True)
class RunHeader:
    """The contents of config.json: the scene, the way back to its files' units, every setting."""

    source: str
    """The scene: a path, or an embedded scene's name."""
    near: float
    """Samples lie farther from a camera than this, in scene units."""
    background_extent: int
    """Side of the sampled cube, as a multiple of the scene box."""
    to_world: tuple[tuple[float, ...], ...]
    """4 x 4 similarity from scene units back to the coordinates of the files."""
    config: RunConfig
    views: SceneDigest
    """What the scene was when the run began."""
    run: str
    """Says of the files in the folder that they belong together: a digest of the settings and views
    that the run began with, so that equal runs have equal files."""
    frustum: tuple[float, ...] | None = None
    """The `Frustum.numbers` of a forward-facing scene."""

    def sampled_frustum(self) -> Frustum | None:
        """Of a forward-facing scene."""
        return None if self.frustum is None else Frustum.from_numbers(self.frustum)


def header_of(scene: Scene, config: RunConfig) -> RunHeader:
    """The header of a run on `scene`."""
    rows: list[list[float]] = scene.to_world.tolist()
    to_world = tuple(map(tuple, rows))
    views = digest_of(scene)
    settings = {name: value for name, value in to_dict(config).items() if name not in _HOW}
    known = json.dumps([settings, views.names, views.pictures], sort_keys=True)
    run = sha256(known.encode()).hexdigest()[:32]
    frustum = None if scene.frustum is None else scene.frustum.numbers()
    return RunHeader(
        scene.source, scene.near, scene.background_extent, to_world, config, views, run, frustum
    )


def write_config(folder: Path, header: RunHeader) -> None:
    """Write config.json; again when a resumed run gets a new budget."""
    facts = {"orefield": __version__, "format": FORMAT, "run": header.run}
    facts |= {"scene": header.source, "views": dataclasses.asdict(header.views)}
    facts |= {"near": header.near, "background_extent": header.background_extent}
    facts |= {"frustum": header.frustum}
    facts |= {"to_world": header.to_world, "config": to_dict(header.config)}
    write_json(folder / CONFIG, facts)


def read_config(folder: Path) -> RunHeader:
    """The header in config.json; RunError names the file and the field."""
    if not folder.is_dir():
        raise RunError(f"{folder}: no such run folder")
    path = folder / CONFIG
    if not path.exists():
        raise RunError(f"{path}: missing; is {folder} a run folder?")
    facts = read_json(path, RunError, _LARGEST, strict=True)
    _check_format(path, facts)
    source, run, extent = facts.get("scene"), facts.get("run"), facts.get("background_extent")
    fits = isinstance(source, str) and len(source) <= _LONGEST_PATH and "\0" not in source
    _require(path, fits, "scene", "a path or a name")
    _require(path, isinstance(run, str) and len(run) == 32, "run", "32 characters")
    fits = type(extent) is int and extent in _EXTENTS
    _require(path, fits, "background_extent", "a power of two up to 128")
    _require(path, _is_number(facts.get("near"), 0.0, 1e6), "near", "a number from 0 to 1e6")
    _require(path, _is_matrix(facts.get("to_world")), "to_world", "4 rows of 4 finite numbers")
    frustum = facts.get("frustum")
    fits = frustum is None or _is_frustum(frustum)
    _require(path, fits, "frustum", "null, or 17 numbers with a width and a near plane")
    whole = frustum is None or extent == 1
    _require(path, whole, "background_extent", "1 beside a frustum")
    views = digest_from_dict(facts.get("views"))
    if views is None:
        raise RunError(f"{path}: 'views' is missing or of the wrong kind")
    _require(path, isinstance(facts.get("config"), dict), "config", "an object")
    try:
        config = from_dict(facts["config"])
    except (ConfigError, RecursionError) as error:
        raise RunError(f"{path}: {error}") from None
    to_world = tuple(tuple(map(float, row)) for row in facts["to_world"])
    frustum = None if frustum is None else tuple(map(float, frustum))
    near = float(facts["near"])
    source, extent, run = facts["scene"], facts["background_extent"], facts["run"]
    return RunHeader(source, near, extent, to_world, config, views, run, frustum)


def _require(path: Path, holds: bool, name: str, expected: str) -> None:
    if not holds:
        raise RunError(f"{path}: '{name}' is missing or of the wrong kind; expected {expected}")


def _is_number(value: Any, least: float = -1e300, most: float = 1e300) -> bool:
    known = isinstance(value, (int, float)) and not isinstance(value, bool)
    return known and least <= value <= most  # before a conversion, which whole numbers can exceed


def _is_matrix(rows: Any) -> bool:
    if not (isinstance(rows, list) and len(rows) == 4):
        return False
    return all(
        isinstance(row, list) and len(row) == 4 and all(map(_is_number, row)) for row in rows
    )


def _is_frustum(numbers: Any) -> bool:
    """Whether these are numbers of a `Frustum` that has a near plane and a width."""
    if not (isinstance(numbers, list) and len(numbers) == 17):
        return False
    if not all(_is_number(number, -1e6, 1e6) for number in numbers):
        return False
    left, top, right, bottom, near = numbers[12:]
    width = min(right - left, bottom - top)
    return bool(width > 1e-6 and near > 1e-6)


def _check_format(path: Path, facts: dict[str, Any]) -> None:
    number = facts.get("format")
    _require(path, type(number) is int, "format", "a whole number")
    if number == FORMAT:
        return
    version = _READ_BY.get(number) if isinstance(number, int) else None
    reader = f"orefield {version} reads it" if version else "a newer orefield reads it"
    raise RunError(f"{path}: 'format' is {number}, this version reads {FORMAT}; {reader}")
