"""What the machine is and how much memory this process holds, without a dependency."""

import platform
import sys
from pathlib import Path


def peak_bytes() -> int | None:
    """Largest resident size of this process so far; None where the system keeps none (Windows)."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux KiB


def resident_bytes() -> int | None:
    """Resident size now; where only the peak is known, the peak."""
    statm = Path("/proc/self/statm")
    if sys.platform != "linux" or not statm.exists():
        return peak_bytes()
    import resource

    return int(statm.read_text().split()[1]) * resource.getpagesize()


CONTROL_GROUPS = (
    ("memory.max", "memory.current", "memory.stat"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
)
"""Files of versions 2 and 1, below /sys/fs/cgroup as a container sees it."""


def available_bytes(root: Path = Path("/")) -> int | None:
    """Memory this process may still take, also under its container's limit; None where unknown."""
    meminfo = _fields(root / "proc/meminfo")
    free = [meminfo["MemAvailable:"] * 1024] if "MemAvailable:" in meminfo else []
    for limit, used, details in ((root / "sys/fs/cgroup" / n for n in g) for g in CONTROL_GROUPS):
        text = limit.read_text().strip() if limit.exists() else ""
        if text.isdigit() and used.exists():  # else "max"
            # Caches of files count as used, but make room when memory is asked for.
            cached = _fields(details).get("inactive_file", 0)
            free.append(max(int(text) - int(used.read_text()) + cached, 0))
    return min(free) if free else None


def _fields(path: Path) -> dict[str, int]:
    """Lines such as `MemAvailable:  123 kB` of one of the kernel's files; none if it is absent."""
    lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    return {words[0]: int(words[1]) for words in lines if len(words) > 1 and words[1].isdigit()}


def gibibytes(number: int) -> str:
    """A number of bytes for people: `1.3 GiB`."""
    return f"{number / 2**30:.1f} GiB"


def processor_name() -> str:
    """Model name from /proc/cpuinfo where there is one, else what Python knows."""
    names = _cpuinfo("model name")
    return names[0] if names else platform.processor() or platform.machine()


def processor_flags() -> frozenset[str]:
    """Instruction sets as Linux names them (`avx512_bf16`); empty where it cannot be read."""
    flags = _cpuinfo("flags")
    return frozenset(flags[0].split()) if flags else frozenset()


def _cpuinfo(key: str) -> list[str]:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return [line.partition(":")[2].strip() for line in lines if line.startswith(key)]
