"""A nested state as one safetensors file: tensors by path, all else as JSON in the header."""

import json
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from orefield._version import __version__
from orefield.errors import RunError
from orefield.system.files import write_atomically

State = dict[Any, Any]
"""Nested dicts whose leaves are tensors and JSON values; no key holds a `/`."""


def write_state(path: Path, state: State) -> None:
    """Write atomically; equal states give equal bytes."""
    tensors = flat_tensors(state)
    entry = {"orefield": __version__, "facts": _facts(state)}
    header = json.dumps(entry, allow_nan=False, sort_keys=True)
    on_cpu = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    # Serialized here and not by safetensors' own writer, whose errors are not OSError. One entry
    # in the header, because several have no fixed order.
    write_atomically(path, safetensors.torch.save(on_cpu, {"orefield": header}))


def read_state(path: Path, like: State) -> State:
    """Read a state that has the keys, and tensors of the shapes, of `like`.

    Raises RunError, naming the file and what is missing or of another shape.
    """
    if not path.is_file():
        raise RunError(f"{path}: missing; was the run stopped before it was first saved?")
    try:
        with safetensors.safe_open(path, "pt", "cpu") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            header = json.loads((file.metadata() or {}).get("orefield", "{}"))
    except (safetensors.SafetensorError, ValueError) as error:
        raise RunError(f"{path}: damaged: {error}") from None
    facts = header.get("facts") if isinstance(header, dict) else None
    if not isinstance(facts, dict):
        raise RunError(f"{path}: header lacks 'facts'")
    _check_tensors(path, tensors, flat_tensors(like))
    return _merged(path, like, tensors, facts, "")


def flat_tensors(state: State, prefix: str = "") -> dict[str, Tensor]:
    """Every tensor of a state by its path, such as `optimizer/dense/0/exp_avg`."""
    found: dict[str, Tensor] = {}
    for key, value in state.items():
        if isinstance(value, dict):
            found |= flat_tensors(value, f"{prefix}{key}/")
        elif isinstance(value, Tensor):
            found[f"{prefix}{key}"] = value
    return found


def _facts(state: State) -> State:
    """The state without its tensors."""
    return {
        str(key): _facts(value) if isinstance(value, dict) else value
        for key, value in state.items()
        if not isinstance(value, Tensor)
    }


def _merged(path: Path, like: State, tensors: dict[str, Tensor], facts: Any, prefix: str) -> State:
    """A state with the keys of `like` and the values of the file."""
    merged: State = {}
    for key, value in like.items():
        name = f"{prefix}{key}"
        if isinstance(value, Tensor):
            merged[str(key)] = tensors[name]
        elif not isinstance(facts, dict) or str(key) not in facts:
            raise RunError(f"{path}: header lacks '{name}'")
        elif isinstance(value, dict):
            merged[str(key)] = _merged(path, value, tensors, facts[str(key)], f"{name}/")
        else:
            merged[str(key)] = facts[str(key)]
    return merged


def _check_tensors(path: Path, given: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    for name, tensor in expected.items():
        if name not in given:
            raise RunError(f"{path}: tensor '{name}' is missing")
        if name == "generator":  # its size depends on the type of the device
            continue
        found, wanted = (f"{t.dtype} {list(t.shape)}" for t in (given[name], tensor))
        if found != wanted:
            raise RunError(f"{path}: tensor '{name}' is {found}; these settings need {wanted}")
