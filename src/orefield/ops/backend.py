"""Which twin of an op runs: chosen by the tensor's device, overridden by a context manager.

`cpu` is the Numba twin; `definition` is the plain torch text of the op, which runs on any device.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from types import ModuleType
from typing import Literal

from torch import Tensor

Twin = Literal["cpu", "definition"]

_forced: ContextVar[Twin | None] = ContextVar("orefield_twin", default=None)
_told: set[str] = set()


@contextmanager
def using(twin: Twin) -> Iterator[None]:
    """Run every op inside the block on this twin, whatever the tensors' device."""
    token = _forced.set(twin)
    try:
        yield
    finally:
        _forced.reset(token)


def pick(op: str, x: Tensor) -> ModuleType | None:
    """The module with `op`'s kernels for x's device; None asks for the definition."""
    twin = _forced.get() or ("cpu" if x.device.type == "cpu" else "definition")
    if twin == "cpu":
        return import_module(f"orefield.ops.cpu.{op}")
    if _forced.get() is None and x.device.type not in _told:
        _told.add(x.device.type)
        warnings.warn(
            f"no compiled kernels for {x.device.type}: running the torch definitions (slower)",
            stacklevel=3,
        )
    return None
