"""Run folders: what a training run leaves behind, written atomically and without pickle.

    config.json         version, scene and every setting
    field.safetensors   the field's parameters and the sampler's grid: enough to render
    state.safetensors   everything exact resume needs; clocks and generators as JSON in its header
    metrics.json        how it went and how good it is
    renders/  plots/    pictures

Each file is written beside its target and moved over it, so a full disk or a killed process leaves
the last complete file. Tensors and their JSON share one file and cannot disagree about the step.
"""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import safetensors
import safetensors.torch
from torch import Tensor, nn

from orefield import __version__
from orefield.config import RunConfig, from_dict, to_dict
from orefield.devices import resolve_device, use_device
from orefield.errors import ConfigError, RunError
from orefield.fields import make_field
from orefield.fields.frequency import FrequencyField
from orefield.fields.ngp import NgpField
from orefield.samplers import OccupancySampler, ProposalSampler, make_sampler
from orefield.scenes.scene import Scene

FORMAT = 2
_FILES = ("config.json", "metrics.json", "field.safetensors", "state.safetensors")
_FOLDERS = ("renders", "plots", "hardness")

Tensors = dict[str, Tensor]
Facts = dict[str, Any]


@runtime_checkable
class Resumable(Protocol):
    """What a trainer offers so that it can be stopped and continued exactly."""

    @property
    def field(self) -> nn.Module:
        """The network."""
        ...

    @property
    def sampler(self) -> OccupancySampler | ProposalSampler:
        """Where it looks."""
        ...

    def state(self) -> tuple[Tensors, Facts]:
        """Every tensor and every JSON fact that the next step depends on."""
        ...

    def restore(self, tensors: Tensors, facts: Facts) -> None:
        """The inverse of `state`."""
        ...


@dataclass(frozen=True)
class Header:
    """What config.json says: the scene, how its units relate to its files', every setting."""

    source: str
    """The scene: a path, or an embedded scene's name."""
    near: float
    """Distance from a camera, in scene units, before which nothing is sampled."""
    extent: int
    """Side of the cube that was sampled, in boxes."""
    to_world: tuple[tuple[float, ...], ...]
    """4 x 4 similarity from scene units back to the coordinates of the files."""
    config: RunConfig


@dataclass(frozen=True)
class Run:
    """A run folder read back, ready to render."""

    folder: Path
    header: Header
    field: NgpField | FrequencyField
    sampler: OccupancySampler | ProposalSampler


def header_of(scene: Scene, source: str, config: RunConfig) -> Header:
    """The header of a run on `scene`, which `open_scene` finds at `source`."""
    rows: list[list[float]] = scene.to_world.tolist()
    return Header(source, scene.near, scene.extent, tuple(map(tuple, rows)), config)


def create_run(folder: Path, header: Header, overwrite: bool = False) -> None:
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


def write_config(folder: Path, header: Header) -> None:
    """Write config.json, also when a resumed run gets a new budget."""
    facts = {"orefield": __version__, "format": FORMAT, "scene": header.source}
    facts |= {"near": header.near, "extent": header.extent, "to_world": header.to_world}
    write_json(folder / "config.json", {**facts, "config": to_dict(header.config)})


def read_config(folder: Path) -> Header:
    """The header in config.json; RunError names the file and the field."""
    if not folder.is_dir():
        raise RunError(f"{folder}: no such run folder")
    path = folder / "config.json"
    facts = read_json(path)
    expected: dict[str, Any] = {
        "format": int,
        "scene": str,
        "near": (int, float),
        "extent": int,
        "to_world": list,
        "config": dict,
    }
    for name, kind in expected.items():
        if not isinstance(facts.get(name), kind):
            raise RunError(f"{path}: '{name}' is missing or of the wrong kind")
    if facts["format"] != FORMAT:
        written = f"'format' is {facts['format']}, written by orefield {facts.get('orefield')}"
        raise RunError(f"{path}: {written}; this version reads {FORMAT}")
    try:
        config = from_dict(facts["config"])
    except ConfigError as error:
        raise RunError(f"{path}: {error}") from None
    to_world = tuple(map(tuple, facts["to_world"]))
    return Header(facts["scene"], float(facts["near"]), facts["extent"], to_world, config)


def save_run(folder: Path, trainer: Resumable) -> None:
    """Write what resuming needs, then what rendering needs.

    OSError (no space left, say) leaves the files of the last save as they were.
    """
    tensors, facts = trainer.state()
    _write_tensors(folder / "state.safetensors", tensors, facts)
    _write_tensors(folder / "field.safetensors", _rendering_tensors(trainer), {})


def load_run(folder: Path, device: str = "cpu") -> Run:
    """Read a run for rendering, on any device; RunError names the file and the field at fault."""
    header = read_config(folder)
    config = header.config
    path = folder / "field.safetensors"
    given, _ = _read_tensors(path)
    on = resolve_device(device)
    use_device(on)
    field = make_field(config.field, config.seed, on)
    sampler = make_sampler(config, header.near, header.extent).to(on)
    run = Run(folder, header, field, sampler)
    expected = _rendering_tensors(run)
    _check_tensors(path, given, expected)
    field.load_state_dict({name: given[f"field.{name}"] for name in field.state_dict()})
    sampler.restore({name: given[f"sampler.{name}"] for name in sampler.state()})
    return run


def resume_run(folder: Path, trainer: Resumable) -> None:
    """Put a trainer, built from the run's own scene and settings, where the run stopped."""
    path = folder / "state.safetensors"
    tensors, facts = _read_tensors(path)
    expected, known = trainer.state()
    # A generator's state has another size on another type of device; `restore` knows what to do.
    expected["generator"] = tensors.get("generator", expected["generator"])
    _check_tensors(path, tensors, expected)
    missing = sorted(set(known) - set(facts))
    if missing:
        raise RunError(f"{path}: header lacks '{missing[0]}'")
    trainer.restore(tensors, facts)


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; infinities and NaN are refused, for they are not JSON."""
    _write(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; RunError names the file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{path}: missing; is {path.parent} a run folder?") from None
    except ValueError as error:  # malformed JSON or UTF-8
        raise RunError(f"{path}: not JSON: {error}") from None
    if not isinstance(value, dict):
        raise RunError(f"{path}: expected a JSON object, got {type(value).__name__}")
    return value


def _rendering_tensors(parts: Resumable | Run) -> Tensors:
    field = {f"field.{name}": value for name, value in parts.field.state_dict().items()}
    return field | {f"sampler.{name}": value for name, value in parts.sampler.state().items()}


def _write_tensors(path: Path, tensors: Tensors, facts: Facts) -> None:
    header = {"orefield": __version__, "facts": json.dumps(facts, allow_nan=False)}
    on_cpu = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    # Serialised here and not by safetensors' own writer, whose errors are not OSError.
    _write(path, safetensors.torch.save(on_cpu, header))


def _read_tensors(path: Path) -> tuple[Tensors, Facts]:
    if not path.is_file():
        raise RunError(f"{path}: missing; was the run stopped before it was first saved?")
    try:
        with safetensors.safe_open(path, "pt", "cpu") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            facts = json.loads((file.metadata() or {}).get("facts", "null"))
    except (safetensors.SafetensorError, ValueError) as error:
        raise RunError(f"{path}: damaged: {error}") from None
    if not isinstance(facts, dict):
        raise RunError(f"{path}: header lacks 'facts'")
    return tensors, facts


def _check_tensors(path: Path, given: Tensors, expected: Tensors) -> None:
    for name, tensor in expected.items():
        if name not in given:
            raise RunError(f"{path}: tensor '{name}' is missing")
        found, wanted = (f"{t.dtype} {list(t.shape)}" for t in (given[name], tensor))
        if found != wanted:
            raise RunError(f"{path}: tensor '{name}' is {found}; these settings need {wanted}")


def _write(path: Path, data: bytes) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    except BaseException as error:
        beside.unlink(missing_ok=True)
        if isinstance(error, OSError):  # a failed write does not say of which file
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise


def _remove_run(folder: Path) -> None:
    if not (folder / "config.json").exists():
        return  # somebody else's files: write beside them, remove nothing
    for name in _FILES:
        (folder / name).unlink(missing_ok=True)
    for name in _FOLDERS:
        if (folder / name).is_dir():
            shutil.rmtree(folder / name)
