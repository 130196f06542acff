"""The memory a training step works in, at its peak."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orefield.machine import resident_bytes


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
