"""Run folders: what a training run leaves behind, written atomically and without pickle.

    config.json         version, scene and every setting
    field.safetensors   the field's parameters and the sampler's state: enough to render
    state.safetensors   everything exact resume needs
    metrics.json        how the training went; once evaluated, the scores
    renders/  plots/  mining_maps/    pictures

Each file is written under a temporary name and moved over the old one, so a full disk or a killed
process leaves the last complete file. Tensors share a file with the number of their step.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from orefield._version import __version__
from orefield.config import RunConfig, from_dict, to_dict
from orefield.errors import ConfigError, RunError
from orefield.fields import make_field
from orefield.runs.state import State, read_state, write_state
from orefield.samplers import make_sampler
from orefield.scenes.scene import Scene
from orefield.system.devices import resolve_device, use_device
from orefield.system.files import read_json, write_json
from orefield.types import Field, Sampler

FORMAT = 3
_READ_BY = {1: "0.1.0", 2: "0.1.0"}
"""Versions of Orefield that read earlier formats."""
_FILES = ("config.json", "metrics.json", "field.safetensors", "state.safetensors")
_FOLDERS = ("renders", "plots", "mining_maps")


@runtime_checkable
class Resumable(Protocol):
    """What can be saved and resumed exactly: a trainer."""

    @property
    def field(self) -> Field:
        """The network."""
        ...

    @property
    def sampler(self) -> Sampler:
        """Where it is evaluated."""
        ...

    def state_dict(self) -> State:
        """Every tensor and JSON value that the next step depends on."""
        ...

    def load_state_dict(self, state: State) -> None:
        """The inverse of `state_dict`."""
        ...


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


@dataclass(frozen=True)
class Run:
    """A run folder read back, ready to render."""

    folder: Path
    header: RunHeader
    field: Field
    sampler: Sampler


def header_of(scene: Scene, config: RunConfig) -> RunHeader:
    """The header of a run on `scene`."""
    rows: list[list[float]] = scene.to_world.tolist()
    to_world = tuple(map(tuple, rows))
    return RunHeader(scene.source, scene.near, scene.background_extent, to_world, config)


def create_run(folder: Path, header: RunHeader, overwrite: bool = False) -> None:
    """Make a run folder and write its config.json.

    A folder that holds anything is refused with RunError unless `overwrite`, which removes an
    earlier run's files and leaves all others.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder}: is a file; expected a folder for the run")
    if folder.exists() and any(folder.iterdir()):
        if not overwrite:
            held = "another run" if (folder / "config.json").exists() else "other files"
            raise RunError(f"{folder}: holds {held}; choose a new folder or pass --overwrite")
        _remove_run(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_config(folder, header)


def write_config(folder: Path, header: RunHeader) -> None:
    """Write config.json; again when a resumed run gets a new budget."""
    facts = {"orefield": __version__, "format": FORMAT, "scene": header.source}
    facts |= {"near": header.near, "background_extent": header.background_extent}
    facts |= {"to_world": header.to_world, "config": to_dict(header.config)}
    write_json(folder / "config.json", facts)


def read_config(folder: Path) -> RunHeader:
    """The header in config.json; RunError names the file and the field."""
    if not folder.is_dir():
        raise RunError(f"{folder}: no such run folder")
    path = folder / "config.json"
    if not path.exists():
        raise RunError(f"{path}: missing; is {folder} a run folder?")
    facts = read_json(path, RunError)
    _check_format(path, facts)
    expected: dict[str, Any] = {
        "scene": str,
        "near": (int, float),
        "background_extent": int,
        "to_world": list,
        "config": dict,
    }
    for name, kind in expected.items():
        if not isinstance(facts.get(name), kind):
            raise RunError(f"{path}: '{name}' is missing or of the wrong kind")
    try:
        config = from_dict(facts["config"])
    except ConfigError as error:
        raise RunError(f"{path}: {error}") from None
    to_world = tuple(map(tuple, facts["to_world"]))
    near, extent = float(facts["near"]), facts["background_extent"]
    return RunHeader(facts["scene"], near, extent, to_world, config)


def _check_format(path: Path, facts: dict[str, Any]) -> None:
    number = facts.get("format")
    if not isinstance(number, int):
        raise RunError(f"{path}: 'format' is missing or of the wrong kind")
    if number == FORMAT:
        return
    version = _READ_BY.get(number)
    reader = f"orefield {version} reads it" if version else "a newer orefield reads it"
    raise RunError(f"{path}: 'format' is {number}, this version reads {FORMAT}; {reader}")


def save_run(folder: Path, trainer: Resumable) -> None:
    """Write what resuming needs, then what rendering needs.

    OSError (no space left, say) leaves the files of the last save as they were.
    """
    write_state(folder / "state.safetensors", trainer.state_dict())
    write_state(folder / "field.safetensors", _rendering_state(trainer))


def load_run(folder: str | Path, device: str = "cpu") -> Run:
    """Read a run for rendering, on any device; RunError names the file and the field at fault."""
    folder = Path(folder)
    header = read_config(folder)
    config, on = header.config, resolve_device(device)
    use_device(on)
    field = make_field(config.field, config.seed, on)
    sampler = make_sampler(config, header.near, header.background_extent, on)
    run = Run(folder, header, field, sampler)
    state = read_state(folder / "field.safetensors", _rendering_state(run))
    field.load_state_dict(state["field"])
    sampler.load_state_dict(state["sampler"])
    return run


def load_trainer(folder: Path, trainer: Resumable) -> None:
    """Put a trainer, built from the run's own scene and settings, where the run stopped."""
    trainer.load_state_dict(read_state(folder / "state.safetensors", trainer.state_dict()))


def _rendering_state(parts: Resumable | Run) -> State:
    return {"field": parts.field.state_dict(), "sampler": parts.sampler.state_dict()}


def _remove_run(folder: Path) -> None:
    if not (folder / "config.json").exists():
        return  # somebody else's files: write beside them, remove nothing
    for name in _FILES:
        (folder / name).unlink(missing_ok=True)
    for name in _FOLDERS:
        if (folder / name).is_dir():
            shutil.rmtree(folder / name)
