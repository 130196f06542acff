"""How much memory this process holds and may still take, without a dependency."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def peak_bytes() -> int | None:
    """Largest resident size of this process so far; None where the system keeps none (Windows)."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux KiB


def resident_bytes() -> int | None:
    """Resident size now, or the peak where the system tells no more; None as for `peak_bytes`."""
    statm = Path("/proc/self/statm")
    if sys.platform != "linux" or not statm.exists():
        return peak_bytes()
    import resource

    return int(statm.read_text().split()[1]) * resource.getpagesize()


CONTROL_GROUPS = (
    ("memory.max", "memory.current", "memory.stat"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
)
"""A container's files below /sys/fs/cgroup, for versions 2 and 1."""


def available_bytes(root: Path = Path("/")) -> int | None:
    """Memory this process may still take, within its container's limit too; None where unknown."""
    meminfo = _fields(root / "proc/meminfo")
    free = [meminfo["MemAvailable:"] * 1024] if "MemAvailable:" in meminfo else []
    for limit, used, details in ((root / "sys/fs/cgroup" / n for n in g) for g in CONTROL_GROUPS):
        text = limit.read_text().strip() if limit.exists() else ""
        if text.isdigit() and used.exists():  # else "max"
            # Cached files count as used, but are dropped when memory is needed.
            cached = _fields(details).get("inactive_file", 0)
            free.append(max(int(text) - int(used.read_text()) + cached, 0))
    return min(free) if free else None


def _fields(path: Path) -> dict[str, int]:
    """Lines such as `MemAvailable:  123 kB` of one of the kernel's files; empty if it is absent."""
    lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    return {words[0]: int(words[1]) for words in lines if len(words) > 1 and words[1].isdigit()}


def gibibytes(number: int) -> str:
    """A number of bytes for people: `1.3 GiB`."""
    return f"{number / 2**30:.1f} GiB"


class Peak:
    """Filled in by `working_memory`."""

    above_start: int | None = None


@contextmanager
def working_memory() -> Iterator[Peak]:
    """Measure how far the resident size rises inside the block, at most; None except on Linux.

    Memory that the allocator has kept after a free is handed back first, so that all blocks start
    alike.
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
