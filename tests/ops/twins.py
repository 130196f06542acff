"""Which twins a law is put to, and where their tensors have to lie.

Without a GPU the Triton twins run in Triton's interpreter, on CPU tensors of small sizes; with one,
the same laws are put to the compiled kernels, on tensors of real sizes.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import torch

from orefield.ops.backend import using

TWINS = ["cpu", "gpu", "definition"]
COMPILED = torch.cuda.is_available()
"""Whether a GPU runs the Triton twins; atomic additions then come in any order."""
FEW_TWINS = TWINS if COMPILED else ["cpu", "definition"]
"""For laws that the Triton twin has because it agrees with the definition, which other laws say:
its interpreter is slow."""
MANY = 200_000 if COMPILED else 150
"""As many samples as a real batch has, where that takes no time."""


def place(twin: str) -> str:
    return "cuda" if twin == "gpu" and COMPILED else "cpu"


def moved(x: Any, device: str) -> Any:
    """Tensors, and tuples and dataclasses of them, on a device."""
    if isinstance(x, torch.Tensor):
        return x.to(device)
    if isinstance(x, tuple):
        parts = [moved(part, device) for part in x]
        return type(x)(*parts) if hasattr(x, "_fields") else tuple(parts)
    if dataclasses.is_dataclass(x) and not isinstance(x, type):
        parts = {field.name: getattr(x, field.name) for field in dataclasses.fields(x)}
        return dataclasses.replace(x, **{name: moved(v, device) for name, v in parts.items()})
    return x


def run(twin: str, op: Callable[..., Any], *inputs: Any) -> Any:
    """What a twin makes of inputs on the CPU, on the CPU again."""
    with using(twin):
        return moved(op(*moved(inputs, place(twin))), "cpu")
