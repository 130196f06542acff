"""What a training step holds: bytes saved for the backward pass, and its peak working memory."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from orefield.machine import resident_bytes


class Held:
    """Filled in by `saved_for_backward`."""

    saved: int = 0


@contextmanager
def saved_for_backward(parameters: Iterator[Tensor]) -> Iterator[Held]:
    """Count the bytes of every distinct storage autograd saves inside the block.

    Parameters are left out: they are there with or without a graph.
    """
    owned = {p.untyped_storage().data_ptr() for p in parameters}
    held, sizes = Held(), {}

    def pack(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage.data_ptr() not in owned:
            sizes[storage.data_ptr()] = storage.nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        yield held
    held.saved = sum(sizes.values())


class Peak:
    """Filled in by `working_memory`."""

    above_start: int | None = None


@contextmanager
def working_memory() -> Iterator[Peak]:
    """The largest resident size inside the block above that at its start; None where Linux does not
    tell.

    Freed memory that the allocator keeps for itself is handed back first, so that every block
    starts alike.
    """
    peak = Peak()
    clear = Path("/proc/self/clear_refs")
    if sys.platform != "linux" or not clear.exists():
        yield peak
        return
    ctypes.CDLL(None).malloc_trim(0)
    clear.write_text("5")  # resets the high-water mark
    start = resident_bytes() or 0
    yield peak
    status = Path("/proc/self/status").read_text()
    high = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    peak.above_start = max(int(high.split()[1]) * 1024 - start, 0)
