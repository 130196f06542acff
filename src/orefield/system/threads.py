"""CPU threads: the pools of torch and Numba take turns, and must not spin against each other.

Both pools are OpenMP: torch brings its own runtime, Numba takes the system's. After a parallel
region a runtime's idle threads spin for a while, waiting for the next one, and steal the core from
the other's. GOMP_SPINCOUNT in the environment before either runtime loads keeps that wait short;
the command line sets it (cli.py). The measurements are in docs/log.md.
"""

import ctypes
import os
import sys

import numba
import torch

from orefield.errors import ConfigError

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1


def available() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def use_threads(threads: int) -> int:
    """Give torch and Numba this many threads each; 0 takes all cores. Returns the number.

    Raises ConfigError for more threads than Numba was started with, by default the number of cores.
    """
    most = int(numba.config.NUMBA_NUM_THREADS)
    if threads > most:
        raise ConfigError(f"threads must be at most {most} on this machine, got {threads}")
    number = threads or min(available(), most)
    torch.set_num_threads(number)
    numba.set_num_threads(number)
    _keep_freed_memory()
    return number


def _keep_freed_memory() -> None:
    """Let glibc keep freed blocks: page faults of new ones took a third of the forward pass."""
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc is not None and hasattr(libc, "mallopt"):  # other C libraries have no such switch
        libc.mallopt(_MMAP_THRESHOLD, 32 << 20)
        libc.mallopt(_TRIM_THRESHOLD, 1 << 30)
