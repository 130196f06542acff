"""The processor's name and instruction sets, without a dependency."""

import platform
from pathlib import Path


def processor_name() -> str:
    """The model in /proc/cpuinfo where there is one, else what Python knows."""
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
