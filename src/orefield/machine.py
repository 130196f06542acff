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
