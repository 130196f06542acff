"""Run folders: what a training run leaves behind, written atomically and without pickle.

    config.json         version, scene and every setting
    field.safetensors   the field's parameters and the sampler's state: enough to render
    state.safetensors   everything exact resume needs
    metrics.json        how the training went; once evaluated, the scores
    metrics.jsonl       how the training goes (see metrics_log.py)
    renders/  plots/  mining_maps/    pictures
    report.html         all of that on a page
    tensorboard/        the numbers of metrics.jsonl, with `--log tensorboard`

Each of the first four is written under a temporary name, brought to the disk, and moved over the
old one, so a full disk, a killed process or a power cut leaves the last complete file. Each has one
reader, rendering or resuming, that needs config.json and no other: it does no harm that a process
dies between two of them. docs/runs.md says what survives what.
"""

import shutil
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from orefield.errors import ConfigError, RunError
from orefield.fields import make_field
from orefield.runs.header import CONFIG, RunHeader, read_config, write_config
from orefield.runs.metrics_log import METRICS_LOG
from orefield.runs.state import State, flat_tensors, read_state, write_state
from orefield.runs.tensorboard import FOLDER as TENSORBOARD
from orefield.samplers import make_sampler
from orefield.system.devices import resolve_device, use_device
from orefield.system.files import remove_leftovers, sync_folder
from orefield.system.lock import LOCK_FILE, FolderLock
from orefield.types import Field, Sampler

METRICS = "metrics.json"
REPORT = "report.html"
_FIELD, _STATE = "field.safetensors", "state.safetensors"
_FILES = (REPORT, _STATE, _FIELD, METRICS, METRICS_LOG, CONFIG)
"""In the order in which they are removed: what has no config.json is nobody's run."""
_FOLDERS = ("renders", "plots", "mining_maps", TENSORBOARD)
_COUNTS = {"rays": (1, 2**16), "samples": (64, 2**24), "step": (0, 2**40)}
"""Ranges of a trainer's counts; buffers are as large as some of them say."""
_DEVICES = ("cpu", "cuda", "mps")
_HINTS = ((0, 2**26), (1, 2**15))
"""Ranges of `rendering.density_pass.BufferHints`."""


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
class Run:
    """A run folder read back, ready to render."""

    folder: Path
    header: RunHeader
    field: Field
    sampler: Sampler


def check_folder(folder: Path, overwrite: bool = False) -> None:
    """Raise RunError for a folder in which no new run may begin.

    That is one which holds anything, unless `overwrite`, one that another process uses, and one
    whose name safetensors could not open again.
    """
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        raise RunError(f"{folder}: is no valid UTF-8; choose another name") from None
    if not folder.exists():
        return
    if not folder.is_dir():
        raise RunError(f"{folder}: is a file; expected a folder for the run")
    if any(file.name != LOCK_FILE for file in folder.iterdir()) and not overwrite:
        held = "another run" if (folder / CONFIG).exists() else "other files"
        raise RunError(f"{folder}: holds {held}; choose a new folder or pass --overwrite")
    if (folder / LOCK_FILE).exists():
        FolderLock(folder).acquire()


def create_run(folder: Path, header: RunHeader, overwrite: bool = False) -> FolderLock:
    """Make a run folder and write its config.json; returns the lock on it, which is held.

    A folder that holds anything is refused with RunError unless `overwrite`, which removes an
    earlier run's files and leaves all others; so is one that another process uses.
    """
    check_folder(folder, overwrite)
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    lock = FolderLock(folder)
    lock.acquire()
    remove_leftovers(folder, _FILES)
    _remove_run(folder)
    write_config(folder, header)
    for path in new:
        sync_folder(path.parent)
    return lock


def refuse_links(folder: Path) -> None:
    """Raise RunError where a folder of a run is a link, by which a run would write elsewhere.

    For commands that write into a run which may come from a stranger.
    """
    for name in _FOLDERS:
        if (folder / name).is_symlink():
            raise RunError(f"{folder / name}: is a link; expected a folder, or none")


def lock_run(folder: Path) -> tuple[FolderLock, RunHeader]:
    """Take the lock on a run folder, remove what dead processes left in it, and read its header.

    Raises RunError for a folder that is in use, or whose header cannot be read.
    """
    read_config(folder)  # else the lock would be tried where no run is
    lock = FolderLock(folder)
    lock.acquire()
    remove_leftovers(folder, _FILES)
    return lock, read_config(folder)


def save_run(folder: Path, trainer: Resumable, history: dict[str, Any] | None = None) -> None:
    """Write what resuming needs, `history` included, then what rendering needs.

    OSError (no space left, say) and RunError (a parameter is not finite) leave each file as it was
    in the last save.
    """
    run = read_config(folder).run
    write_state(folder / _STATE, {**trainer.state_dict(), "history": history or {}}, run)
    write_state(folder / _FIELD, _rendering_state(trainer), run)


def save_bytes(trainer: Resumable) -> int:
    """What one save takes on disk, but for headers and metrics.json."""
    parts = trainer.state_dict(), _rendering_state(trainer)
    return sum(tensor.nbytes for part in parts for tensor in flat_tensors(part).values())


def check_room(folder: Path, needed: int) -> None:
    """Raise RunError where the disk has no room for so many bytes in the folder."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    usage = shutil.disk_usage(there)
    if usage.total > 0 and usage.free < needed:  # some network file systems say nothing but 0
        free, wanted = (f"{number / 1e6:.1f} MB" for number in (usage.free, needed))
        raise RunError(f"{folder}: the run's saves need {wanted}; its disk has {free} left")


def load_run(folder: str | Path, device: str = "cpu") -> Run:
    """Read a run for rendering, on any device; RunError names the file and the field at fault."""
    folder = Path(folder)
    header, on = read_config(folder), resolve_device(device)
    use_device(on)
    like = _parts(folder, header, torch.device("meta"))
    state = read_state(folder / _FIELD, _rendering_state(like), header.run)
    run = _parts(folder, header, on)
    run.field.load_state_dict(state["field"])
    run.sampler.load_state_dict(state["sampler"])
    return run


def load_trainer(folder: Path, trainer: Resumable) -> dict[str, Any]:
    """Put a trainer, built from the run's own scene and settings, where the run stopped.

    Returns the history that was saved with it. RunError names what does not fit.
    """
    path = folder / _STATE
    like = {**trainer.state_dict(), "history": {}}
    state = read_state(path, like, read_config(folder).run)
    _check_facts(path, state)
    history: dict[str, Any] = state.pop("history")
    try:
        trainer.load_state_dict(state)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise RunError(f"{path}: does not fit: {error}") from error
    return history


def check_sizes(folder: Path, header: RunHeader) -> None:
    """Raise RunError unless what was saved has the sizes that the settings ask for.

    Before anything of these sizes is allocated: a damaged setting may ask for gigabytes.
    """
    like = _rendering_state(_parts(folder, header, torch.device("meta")))
    read_state(folder / _STATE, like, header.run)


def _parts(folder: Path, header: RunHeader, device: torch.device) -> Run:
    """The field and sampler that the settings ask for, untrained."""
    config = header.config
    try:
        # Without data where nothing is wanted but shapes; elsewhere drawn on the CPU, then moved.
        with device if device.type == "meta" else nullcontext():
            field = make_field(config.field, config.seed, device)
            geometry = header.near, header.background_extent
            sampler = make_sampler(config, *geometry, device, None, header.sampled_frustum())
    except ConfigError as error:
        raise RunError(f"{folder / CONFIG}: {error}") from None
    return Run(folder, header, field, sampler)


def _rendering_state(parts: Resumable | Run) -> State:
    return {"field": parts.field.state_dict(), "sampler": parts.sampler.state_dict()}


def _check_facts(path: Path, state: State) -> None:
    ranges = [(name, state[name], bounds) for name, bounds in _COUNTS.items() if name in state]
    hints = state.get("training_step", {}).get("hints", [])
    ranges += [("hints", number, bounds) for number, bounds in zip(hints, _HINTS, strict=False)]
    if state.get("device", "cpu") not in _DEVICES:
        raise RunError(f"{path}: 'device' is {state['device']!r}, expected {', '.join(_DEVICES)}")
    for name, number, (least, most) in ranges:
        if not least <= number <= most:
            raise RunError(f"{path}: '{name}' is {number}, expected {least} to {most}")


def _remove_run(folder: Path) -> None:
    if not (folder / CONFIG).exists():
        return  # somebody else's files: write beside them, remove nothing
    for name in _FILES:
        (folder / name).unlink(missing_ok=True)
    for name in _FOLDERS:
        if (folder / name).is_symlink():  # what it leads to is somebody else's
            (folder / name).unlink()
        elif (folder / name).is_dir():
            shutil.rmtree(folder / name)
