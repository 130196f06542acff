"""Devices: which this machine has, by name, and what they can do."""

import os

import torch
from torch import nn

from orefield.errors import OrefieldError

_BF16_CAPABILITY = (8, 0)
"""NVIDIA's first compute capability with bfloat16 matrix products."""


def resolve_device(name: str) -> torch.device:
    """The device called `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.

    `auto` is the first CUDA device (also AMD's, which torch calls so), else the CPU. Raises
    OrefieldError, naming the devices that are there, for any other.
    """
    there = devices_there()
    if name == "auto":
        return torch.device(there[1] if "cuda:0" in there else "cpu")
    wanted = "cuda:0" if name == "cuda" else name
    if wanted not in there:
        raise OrefieldError(f"device {name!r} is not there; this machine has {', '.join(there)}")
    return torch.device(wanted)


def devices_there() -> list[str]:
    """Names of this machine's devices, the CPU first."""
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return ["cpu", *(f"cuda:{i}" for i in range(gpus)), *mps]


def use_device(device: torch.device, deterministic: bool = False) -> None:
    """Make this the device that kernels launch on; `deterministic` sums in a fixed order there.

    Torch warns of an operation for which it has no fixed order.
    """
    if device.type != "cuda":
        return  # the CPU's kernels sum in a fixed order anyway
    torch.cuda.set_device(device)
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read by the first product
        torch.use_deterministic_algorithms(True, warn_only=True)


def device_of(module: object) -> torch.device:
    """The device of a module's parameters; the CPU where it has none."""
    first = next(module.parameters(), None) if isinstance(module, nn.Module) else None
    return torch.device("cpu") if first is None else first.device


def multiplies_bf16(device: torch.device) -> bool:
    """Whether a GPU multiplies bfloat16 matrices in hardware; see `fields.native_bf16` for CPUs."""
    if device.type != "cuda":
        return False
    return bool(torch.version.hip) or torch.cuda.get_device_capability(device) >= _BF16_CAPABILITY


def device_name(device: torch.device) -> str:
    """The model of a CUDA device, else the type of the device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
