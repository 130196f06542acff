"""Which precision a field's matrix products have, and whether bf16 products are right here.

On a CPU oneDNN shares a product out among as many threads as torch was given. Where OpenMP starts
fewer (OMP_DYNAMIC, OMP_THREAD_LIMIT), the others' shares are left unwritten, and no one is told.
"""

import os
import warnings
from collections.abc import Iterator, Sequence
from functools import lru_cache

import torch
from llvmlite.binding import get_host_cpu_features
from torch import Tensor

from orefield.errors import ConfigError
from orefield.system.devices import multiplies_bf16

Layer = tuple[int, int]
"""Inputs and outputs of a layer."""

_ROWS = (512, 4096)
"""Samples in a product: the fewest and the most that the hash-grid field multiplies at once."""
_TOLERANCE = 0.02
"""Of the largest number of a product: ten times what rounding to bf16 may be wrong by."""


def native_bf16(device: torch.device | None = None) -> bool:
    """Whether a device, by default the processor, multiplies bfloat16 matrices in hardware."""
    if device is not None and device.type != "cpu":
        return multiplies_bf16(device)
    features = get_host_cpu_features()
    return bool(features.get("avx512bf16") or features.get("amx-bf16") or features.get("bf16"))


def uses_bf16(precision: str, layers: Sequence[Layer], device: torch.device | None = None) -> bool:
    """Whether products of these layers are to be in bf16; `precision` is `auto`, `fp32` or `bf16`.

    With `auto` they are where the hardware has them and they are right; a warning, once, says where
    they are wrong. Raises ConfigError where `bf16` was asked for and they are wrong.
    """
    if precision == "fp32" or (precision == "auto" and not native_bf16(device)):
        return False
    on_cpu = device is None or device.type == "cpu"
    if not on_cpu or products_are_right(tuple(dict.fromkeys(layers)), torch.get_num_threads()):
        return True
    if precision == "bf16":
        raise ConfigError(f"field.precision: {why_wrong()}: it must be auto or fp32")
    _warn_once(f"{why_wrong()}: they are in fp32 now, which takes longer")
    return False


def why_wrong() -> str:
    """What is wrong with the processor's products in bf16, and what to do about it."""
    names = [name for name in ("OMP_DYNAMIC", "OMP_THREAD_LIMIT") if name in os.environ]
    remedy = f" (unset {' and '.join(names)})" if names else ""
    return f"the processor's matrix products in bf16 differ from those in fp32{remedy}"


@lru_cache
def products_are_right(layers: tuple[Layer, ...], threads: int) -> bool:
    """Whether the processor's bf16 products of layers, with so many threads, are those in fp32."""
    assert threads == torch.get_num_threads()  # the answer is kept for each number of them
    generator = torch.Generator().manual_seed(0)
    for inputs, outputs in layers:
        for rows in _ROWS:
            for one, other in _factors(rows, inputs, outputs, generator):
                want = one.float() @ other.float()
                error = (_product(one, other).float() - want).abs()
                if not bool((error <= _TOLERANCE * want.abs().max()).all()):  # a NaN is wrong
                    return False
    return True


def _factors(
    rows: int, inputs: int, outputs: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Of a layer's three products: outputs, gradient at the inputs, gradient of the weights."""

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).bfloat16()

    x, weights, grad = random(rows, inputs), random(outputs, inputs), random(rows, outputs)
    yield x, weights.T
    yield grad, weights
    yield grad.T, x


def _product(one: Tensor, other: Tensor) -> Tensor:
    """The product, in memory that held NaN before: what is not written is no number by chance."""
    unwritten = torch.full((one.shape[0], other.shape[1]), torch.nan, dtype=torch.bfloat16)
    return torch.mm(one, other, out=unwritten)


@lru_cache
def _warn_once(line: str) -> None:
    warnings.warn(line, stacklevel=5)
