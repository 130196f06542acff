"""Each op against its definition: first whether the results agree, then how long both take.

Bytes are the least that an op must move: its inputs and outputs once each, and every row of a table
that is read or written. Its bandwidth as a share of a plain copy's says how close the op is to the
limit of memory; random rows of a table that fits a cache can exceed it.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor

from orefield.bench.ops_cases import Case, cases
from orefield.config import RunConfig
from orefield.ops.backend import Twin, backend_for, using
from orefield.system.devices import device_name, synchronize
from orefield.system.processor import processor_name

Facts = dict[str, Any]

_COPY = {"cpu": 2**26, "cuda": 2**28}
"""Bytes copied to measure bandwidth: more than any cache holds."""


@dataclass(frozen=True)
class TimeBudget:
    """How long to measure."""

    seconds: float = 0.5
    """Of each op and its definition together."""
    fewest: int = 3
    most: int = 50


def bench_ops(config: RunConfig, device: torch.device, budget: TimeBudget) -> Iterator[Facts]:
    """A row of plain JSON types for each op, on as many samples as a training step has."""
    bandwidth = copy_bandwidth(device, budget)
    for case in cases(config, device):
        error = _error(case)
        runs = {"ours": _ready(case, None), "definition": _ready(case, "definition")}
        times = interleaved(runs, device, budget)
        ours = times["ours"]
        yield {
            "op": case.name,
            "agrees": error <= case.tolerance,
            "error": error,
            "tolerance": case.tolerance,
            "ms": 1e3 * ours,
            "definition_ms": 1e3 * times["definition"],
            "times_faster": times["definition"] / ours,
            "bytes": case.moved,
            "gigabytes_per_second": case.moved / ours / 1e9,
            "share_of_copy": case.moved / ours / bandwidth,
        }


def header(config: RunConfig, device: torch.device) -> Facts:
    """The machine and the settings that the rows depend on."""
    twin, why = backend_for(device.type)
    name = processor_name() if device.type == "cpu" else device_name(device)
    return {
        "device": f"{device}: {name}",
        "twin": twin,
        "why": why,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "samples": config.optim.target_samples,
        "copy_gigabytes_per_second": copy_bandwidth(device, TimeBudget()) / 1e9,
        "times_are": "medians; CUDA events on a GPU, else wall time, op and definition in turn",
    }


def copy_bandwidth(device: torch.device, budget: TimeBudget) -> float:
    """Bytes read and written per second by a copy of a large tensor."""
    size = _COPY.get(device.type, _COPY["cpu"])
    source = torch.zeros(size // 4, device=device)
    target = torch.zeros_like(source)
    copied = interleaved({"copy": lambda: target.copy_(source)}, device, budget)
    return 2 * size / copied["copy"]


def interleaved(
    runs: dict[str, Callable[[], object]], device: torch.device, budget: TimeBudget
) -> dict[str, float]:
    """Median seconds of each, after a warm-up call; in turns, because a machine's speed drifts."""
    for run in runs.values():
        run()
    synchronize(device)
    times: dict[str, list[float]] = {name: [] for name in runs}
    begun = time.perf_counter()
    for turn in range(budget.most):
        if turn >= budget.fewest and time.perf_counter() - begun > budget.seconds:
            break
        for name, run in runs.items():
            times[name].append(_seconds(run, device))
    return {name: median(found) for name, found in times.items()}


def _seconds(run: Callable[[], object], device: torch.device) -> float:
    if device.type == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) / 1e3
    begun = time.perf_counter()
    run()
    synchronize(device)
    return time.perf_counter() - begun


def _ready(case: Case, twin: Twin | None) -> Callable[[], object]:
    """The op on inputs of its own, by the given twin or the device's default."""
    state = case.make()

    def run() -> None:
        with using(twin) if twin else nullcontext():
            case.run(state)

    return run


def _error(case: Case) -> float:
    """Largest difference of any output, as a share of that output's largest value."""
    with using("definition"):
        wanted = case.run(case.make())
    got = case.run(case.make())
    return max(_difference(one, other) for one, other in zip(got, wanted, strict=True))


def _difference(one: Tensor, other: Tensor) -> float:
    if one.shape != other.shape:
        return float("inf")
    if one.numel() == 0:
        return 0.0
    scale = max(float(other.double().abs().max()), 1e-30)
    return float((one.double() - other.double()).abs().max()) / scale
