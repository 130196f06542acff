"""`orefield doctor`: what is installed, what runs on this machine and why, and what to repair."""

import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from orefield._version import __version__
from orefield.system.console import say
from orefield.system.processor import processor_flags, processor_name

if TYPE_CHECKING:
    import torch

NEEDED = (
    "torch", "numpy", "numba", "pillow", "safetensors", "tyro", "rich", "jaxtyping", "matplotlib",
)  # fmt: skip
OPTIONAL = {
    "av": "video",
    "pycolmap": "colmap",
    "viser": "viewer",
    "scikit-image": "export",
    "tensorboard": "tensorboard",
}
"""Packages, and the extras that bring them."""


@dataclass(frozen=True)
class Args:
    """Print versions, devices, which kernels run and why, and how to get what is missing."""


def run(args: Args) -> int:
    """Print one line per finding; the exit code is 1 where something needed is missing."""
    findings = []
    for finding in examine():
        findings.append(finding)
        say(f"{finding.name:<16} {finding.value}")
    remedies = [f for f in findings if f.remedy]
    for finding in remedies:
        say(f"to fix {finding.name}: {finding.remedy}")
    broken = any(finding.needed for finding in remedies)
    say("something needed is missing" if broken else "all well")
    return int(broken)


@dataclass(frozen=True)
class Finding:
    """One line of the report; where something is missing, `remedy` says what to do."""

    name: str
    value: str
    remedy: str | None = None
    needed: bool = True
    """Whether Orefield cannot train without it."""


def examine() -> Iterator[Finding]:
    """Every finding, the quickest first. A missing package is a finding, not an error."""
    yield Finding("orefield", f"{__version__} at {Path(__file__).parent.parent}")
    yield _python()
    missing = []
    for name in NEEDED:
        found = installed(name)
        missing += [] if found else [name]
        yield Finding(name, found or "missing", None if found else f"pip install {name}")
    for name, extra in OPTIONAL.items():
        found = installed(name)
        remedy = None if found else f"pip install 'orefield[{extra}]' (only needed for videos)"
        yield Finding(name, found or "not installed", remedy, needed=False)
    yield Finding("processor", processor_name())
    if not missing:
        yield from _device()
        yield from _kernels()


def installed(package: str) -> str | None:
    """The version of an installed package, else None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _python() -> Finding:
    old = sys.version_info < (3, 10)
    return Finding(
        "python", platform.python_version(), "Orefield needs Python 3.10 or newer" if old else None
    )


def _device() -> Iterator[Finding]:
    import torch

    from orefield.system.devices import devices_there, resolve_device

    there = devices_there()
    others = ", ".join(there[1:]) or "no GPU that torch can use"
    yield Finding("device", f"{resolve_device('auto')} is what auto takes ({others})")
    for name in there[1:]:
        yield from _gpu(torch.device(name))
    yield Finding("torch threads", f"{torch.get_num_threads()} of {os.cpu_count()} cores")
    yield _products()


def _products() -> Finding:
    """In what precision the processor multiplies matrices, and whether bf16 products are right."""
    import torch

    from orefield.config import FieldConfig
    from orefield.fields import native_bf16, ngp_layers
    from orefield.fields.precision import products_are_right, why_wrong

    if not native_bf16():
        return Finding("matrix products", "fp32, because the processor has no bf16 instructions")
    config = FieldConfig()
    layers = tuple(ngp_layers(2 * config.levels, config.width))
    if not products_are_right(layers, torch.get_num_threads()):
        remedy = "unset OMP_DYNAMIC and OMP_THREAD_LIMIT; in fp32 training takes longer"
        return Finding("matrix products", f"fp32, because {why_wrong()}", remedy, needed=False)
    why = ", ".join(sorted(f for f in processor_flags() if "bf16" in f)) or "native bfloat16"
    return Finding("matrix products", f"bf16, because the processor has {why}; found right")


def _gpu(device: "torch.device") -> Iterator[Finding]:
    """A GPU's name and memory, and which kernels run there."""
    import torch

    from orefield.ops.backend import backend_for
    from orefield.system.devices import device_name, multiplies_bf16
    from orefield.system.memory import gibibytes

    size = ""
    if device.type == "cuda":
        size = ", " + gibibytes(torch.cuda.get_device_properties(device).total_memory)
    products = "bf16" if multiplies_bf16(device) else "fp32"
    yield Finding(str(device), f"{device_name(device)}{size}, matrix products in {products}")
    twin, why = backend_for(device.type)
    slow = (
        "" if twin == "gpu" else ", so the definitions in plain torch run: slow, and a best effort"
    )
    lacks = device.type == "cuda" and installed("triton") is None
    remedy = "pip install triton" if lacks else None
    yield Finding(f"{device} kernels", f"{why}{slow}", remedy, needed=False)


def _kernels() -> Iterator[Finding]:
    import numba
    import torch

    from orefield.config import FieldConfig
    from orefield.fields import make_field
    from orefield.ops.cpu import hash_grid

    names = sorted(file.stem for file in Path(hash_grid.__file__).parent.glob("[!_]*.py"))
    if numba.config.DISABLE_JIT:
        remedy = "unset NUMBA_DISABLE_JIT"
        yield Finding(
            "kernels", "plain Python, far too slow, because NUMBA_DISABLE_JIT is set", remedy
        )
        return
    yield Finding("kernels", f"Numba on the CPU: {', '.join(names)}")
    tiny = make_field(
        FieldConfig(log2_hashmap_size=4, base_resolution=4, max_resolution=8, init_density=1.0),
        seed=0,
    )
    tiny.density(torch.rand(3, 4))  # Numba knows its threading layer once a kernel has run
    layer = f"{numba.threading_layer()}, {numba.get_num_threads()} threads"
    yield Finding("numba threads", layer)
    yield _cache(Path(hash_grid.__file__).parent)


def _cache(sources: Path) -> Finding:
    """Where compiled kernels are kept for the next process."""
    from orefield.system.kernel_cache import REMEDY, cache_folder, is_temporary

    folder = cache_folder(sources)
    if folder is None:
        value = "no folder can be written: every run compiles its kernels"
    else:
        value = f"{folder}{' (temporary)' if is_temporary(folder) else ''}"
    lasting = folder is not None and not is_temporary(folder)
    return Finding("kernel cache", value, None if lasting else REMEDY, needed=False)
