"""Which twin of an op runs: chosen by the tensor's device, overridden by a context manager.

`cpu` is the Numba twin, `gpu` the Triton twin; `definition` is the plain torch text of the op,
which runs on any device.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Literal

import torch
from torch import Tensor

from orefield.errors import OrefieldError

Twin = Literal["cpu", "gpu", "definition"]

_OLDEST = (7, 0)
"""Compute capability below which Triton has no code to offer."""

_forced: ContextVar[Twin | None] = ContextVar("orefield_twin", default=None)
_warned: set[str] = set()


@contextmanager
def using(twin: Twin) -> Iterator[None]:
    """Run every op inside the block on this twin, whatever the tensors' device."""
    token = _forced.set(twin)
    try:
        yield
    finally:
        _forced.reset(token)


def pick(op: str, x: Tensor) -> ModuleType | None:
    """The module with `op`'s kernels for x's device; None where the definition is to run.

    Raises OrefieldError where `using` chose the Triton twin and it cannot run.
    """
    forced = _forced.get()
    twin, why = (forced, "") if forced else backend_for(x.device.type)
    if twin == "cpu":
        return import_module(f"orefield.ops.cpu.{op}")
    if twin == "gpu":
        if forced:
            _require_triton(x)
        return _gpu_twin(op)
    if forced is None and x.device.type not in _warned:
        _warned.add(x.device.type)
        warnings.warn(f"{why}: running the torch definitions (slower)", stacklevel=3)
    return None


@lru_cache
def backend_for(device_type: str) -> tuple[Twin, str]:
    """The twin that runs for tensors on devices of this type, and why."""
    if device_type == "cpu":
        return "cpu", "Numba kernels, because the tensors lie on the CPU"
    if device_type != "cuda":
        return "definition", f"no compiled kernels for {device_type}"
    triton = _triton()
    if triton is None:
        return "definition", "no compiled kernels for cuda without triton (pip install triton)"
    if not torch.cuda.is_available():
        return "definition", "no compiled kernels for cuda where torch finds no such device"
    name, capability = torch.cuda.get_device_name(), torch.cuda.get_device_capability()
    if torch.version.hip is None and capability < _OLDEST:
        least = ".".join(map(str, _OLDEST))
        return "definition", f"no compiled kernels for {name}: triton needs capability {least}"
    return "gpu", f"Triton {triton.__version__} kernels, because the tensors lie on {name}"


@lru_cache
def _gpu_twin(op: str) -> ModuleType | None:
    """None for an op without a Triton twin."""
    name = f"orefield.ops.gpu.{op}"
    return import_module(name) if find_spec(name) else None


def _require_triton(x: Tensor) -> None:
    triton = _triton()
    if triton is None:
        raise OrefieldError("the gpu twins need triton, which is not installed: pip install triton")
    if x.device.type != "cuda" and not triton.knobs.runtime.interpret:
        raise OrefieldError(
            f"the gpu twins run on {x.device.type} tensors only in Triton's interpreter: "
            "set TRITON_INTERPRET=1 before triton is imported"
        )


@lru_cache
def _triton() -> ModuleType | None:
    try:
        return import_module("triton")
    except ImportError:
        return None
