"""A nested state as one safetensors file: tensors by path, all else as JSON in the header."""

import json
from math import isfinite
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from orefield._version import __version__
from orefield.errors import RunError
from orefield.system.files import check_regular, write_atomically

State = dict[Any, Any]
"""Nested dicts whose leaves are tensors and JSON values; no key holds a `/`, no number is negative.
"""
_DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_GENERATOR = "generator"
"""A tensor whose size depends on the type of the device."""
_MOST = 2**53
"""Whole numbers up to here are what they were, whatever reads the JSON."""


def write_state(path: Path, state: State, run: str = "") -> None:
    """Write atomically; equal states of equal runs give equal bytes.

    Raises RunError, and leaves the old file, for a state with tensors that are not finite.
    """
    tensors = flat_tensors(state)
    entry = {"orefield": __version__, "run": run, "facts": _facts(state)}
    header = json.dumps(entry, allow_nan=False, sort_keys=True)
    on_cpu = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    _refuse_non_finite(path, on_cpu)
    # Serialized here and not by safetensors' own writer, whose errors are not OSError. One entry
    # in the header, because several have no fixed order.
    write_atomically(path, safetensors.torch.save(on_cpu, {"orefield": header}))


def read_state(path: Path, like: State, run: str = "") -> State:
    """Read a state with the keys, the kinds of values and the shapes of tensors of `like`.

    An empty list or dict in `like` stands for any. Tensors of `like` may be without data (on the
    device `meta`): nothing is allocated before all shapes are known to fit. Raises RunError, naming
    the file and what is missing or does not fit, also for the file of another `run`.
    """
    if not path.exists():
        raise RunError(f"{path}: missing; was the run stopped before it was first saved?")
    check_regular(path, RunError)
    expected = flat_tensors(like)
    try:
        with safetensors.safe_open(path, "pt", "cpu") as file:
            entry = json.loads((file.metadata() or {}).get("orefield", "{}"))
            facts = entry.get("facts") if isinstance(entry, dict) else None
            if not isinstance(facts, dict):
                raise RunError(f"{path}: header lacks 'facts'")
            if entry.get("run", "") != run:
                config = path.with_name("config.json")
                raise RunError(f"{path}: is not of the run that {config} describes")
            _check_tensors(path, file, expected)
            tensors = {name: file.get_tensor(name) for name in expected}
    except RunError:
        raise
    except (safetensors.SafetensorError, OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path}: damaged: {error}") from None
    _refuse_non_finite(path, tensors)
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
            continue
        if not isinstance(facts, dict) or str(key) not in facts:
            raise RunError(f"{path}: header lacks '{name}'")
        found = facts[str(key)]
        if isinstance(value, dict) and value:
            merged[str(key)] = _merged(path, value, tensors, found, f"{name}/")
        elif _is_like(found, value):
            merged[str(key)] = found
        else:
            raise RunError(f"{path}: '{name}' is {found!r}; expected the like of {value!r}")
    return merged


def _is_like(found: Any, value: Any) -> bool:
    """Whether both are of one kind; numbers must be finite and not negative."""
    if isinstance(value, list) and value:
        fits = isinstance(found, list) and len(found) == len(value)
        return fits and all(map(_is_like, found, value))
    if isinstance(value, dict):
        return isinstance(found, dict)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return type(found) is type(value)
    if isinstance(value, float):
        return isinstance(found, float) and isfinite(found) and found >= 0
    return type(found) is int and 0 <= found <= _MOST


def _check_tensors(path: Path, file: Any, expected: dict[str, Tensor]) -> None:
    """Compare names, types and shapes, without reading a tensor."""
    names = set(file.keys())
    for name, tensor in expected.items():
        if name not in names:
            raise RunError(f"{path}: tensor '{name}' is missing")
        part = file.get_slice(name)
        shape = part.get_shape() if name != _GENERATOR else list(tensor.shape)
        found, wanted = f"{part.get_dtype()} {shape}", f"{_DTYPES[tensor.dtype]} {[*tensor.shape]}"
        if found != wanted:
            raise RunError(f"{path}: tensor '{name}' is {found}; these settings need {wanted}")


def _refuse_non_finite(path: Path, tensors: dict[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise RunError(f"{path}: tensor '{name}' holds numbers that are not finite")
