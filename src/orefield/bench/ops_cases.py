"""Inputs to time the ops on: synthetic rays, samples and gradients, sized as in a training step.

Rays cross the unit cube from all sides. Half of its cells are empty, a thin medium fills the rest.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from orefield.config import RunConfig, chosen
from orefield.ops.compact import compact
from orefield.ops.hash_grid import GridLayout, grid_layout, hash_grid, hash_grid_backward
from orefield.ops.march import Grid, clearance, march
from orefield.ops.march_fixed import march_fixed
from orefield.ops.sparse_adam import adam_scalars, sparse_adam
from orefield.ops.transmittance import transmittance
from orefield.ops.volume_rendering import volume_rendering_backward, volume_rendering_forward
from orefield.types import PackedSamples, Rays

_KEPT = 0.2
"""Share of the samples that are kept and have a gradient."""


@dataclass(frozen=True)
class Case:
    """One op on one set of inputs."""

    name: str
    moved: int
    """Bytes it must move."""
    tolerance: float
    """Largest difference to the definition, as a share of the largest value: rounding of sums."""
    make: Callable[[], Any]
    """Fresh inputs, the same each time."""
    run: Callable[[Any], tuple[Tensor, ...]]
    """The op on inputs, which it may change; its outputs."""


@dataclass(frozen=True)
class _Batch:
    """Inputs that the cases share."""

    rays: Rays
    grid: Grid
    jitter: Tensor
    samples: PackedSamples
    raw: Tensor


def cases(config: RunConfig, device: torch.device) -> Iterator[Case]:
    """Every op, on about `optim.target_samples` samples; the preset must be resolved."""
    generator = torch.Generator().manual_seed(config.seed)
    field = config.field
    size = chosen(field.log2_hashmap_size, "field.log2_hashmap_size")
    finest = chosen(field.max_resolution, "field.max_resolution")
    width = field.features_per_level
    layout = grid_layout(field.levels, size, field.base_resolution, finest, width)
    batch = _batch(config, generator, device)
    yield from _marching(batch, chosen(config.optim.target_samples, "optim.target_samples"))
    yield from _grid(batch, layout, generator)
    yield from _along_rays(batch)
    yield from _choice(batch, generator)
    yield _adam(layout, generator, device)


def _batch(config: RunConfig, generator: torch.Generator, device: torch.device) -> _Batch:
    res = config.sampler.resolution
    steps = chosen(config.sampler.steps_per_diagonal, "sampler.steps_per_diagonal")
    occupied = torch.zeros(res, res, res, dtype=torch.bool)
    occupied[:, :, res // 4 : -(res // 4)] = True
    grid = Grid(clearance(occupied[None].to(device)), 3**0.5 / steps)
    target = chosen(config.optim.target_samples, "optim.target_samples")
    number = max(4 * target // steps, 4)

    def rays(n: int) -> Rays:
        from_all_sides = torch.randn(n, 3, generator=generator)
        outward = from_all_sides / from_all_sides.norm(dim=1, keepdim=True)
        inside = 0.3 + 0.4 * torch.rand(n, 3, generator=generator)
        origins = 0.5 + 1.5 * outward
        directions = inside - origins
        return Rays(origins, directions / directions.norm(dim=1, keepdim=True)).to(device)

    # As many rays as have about the wanted samples, as the trainer adapts them.
    per_ray = max(len(march(rays(number), grid)[0]) / number, 1.0)
    wanted = rays(max(int(0.95 * target / per_ray), 1))
    jitter = torch.rand(len(wanted), generator=generator).to(device)
    samples, _ = march(wanted, grid, jitter)
    raw = torch.randn(len(samples), 4, generator=generator)
    raw[:, 0] += 1  # most of a ray's light is absorbed
    return _Batch(wanted, grid, jitter, samples, raw.to(device))


def _marching(batch: _Batch, capacity: int) -> Iterator[Case]:
    grid = batch.grid, batch.jitter
    moved = batch.grid.clear.numel() + 36 * len(batch.rays) + 24 * len(batch.samples)

    # Samples on a cell's face may round either way, so sums are compared.
    def free(rays: Rays) -> tuple[Tensor, ...]:
        found, _ = march(rays, *grid)
        return found.spans[:, 1].sum(), found.t.sum(), found.positions.sum(1)

    def static(rays: Rays) -> tuple[Tensor, ...]:
        found, total = march_fixed(rays, *grid, capacity)
        return total, found.spans[:, 1].sum()

    yield Case("march", moved, 1e-4, lambda: batch.rays, free)
    yield Case("march_fixed", moved, 1e-4, lambda: batch.rays, static)


def _grid(batch: _Batch, layout: GridLayout, generator: torch.Generator) -> Iterator[Case]:
    device, n = batch.raw.device, len(batch.samples)
    table = (torch.rand(layout.shape, generator=generator) - 0.5).to(device)
    grad = torch.randn(layout.features, n, generator=generator)
    grad[:, torch.rand(n, generator=generator) > _KEPT] = 0.0
    grad, points = grad.to(device), batch.samples.positions
    rows = 8 * 4 * layout.features  # eight vertices at each level

    def forward(table: Tensor) -> tuple[Tensor, ...]:
        with torch.no_grad():
            return (hash_grid(table, points, layout),)

    def backward(sink: Tensor) -> tuple[Tensor, ...]:
        hash_grid_backward(grad, points, layout, sink)
        return (sink,)

    features = 4 * layout.features
    kept = int((grad != 0).any(0).sum())
    yield Case("hash_grid", n * (12 + features + rows), 1e-5, lambda: table, forward)
    moved = n * (12 + features) + 2 * kept * rows
    # Rows of coarse levels sum thousands of terms, each order rounding its own way.
    yield Case("hash_grid_backward", moved, 1e-4, lambda: torch.zeros_like(table), backward)


def _along_rays(batch: _Batch) -> Iterator[Case]:
    raw, samples = batch.raw, batch.samples
    n, rays = len(samples), len(batch.rays)
    along = samples.t, samples.dt, samples.spans
    generator = torch.Generator().manual_seed(1)
    color = torch.randn(rays, 3, generator=generator).to(raw.device)
    opacity = torch.randn(rays, generator=generator).to(raw.device)

    def forward(raw: Tensor) -> tuple[Tensor, ...]:
        pixels, _ = volume_rendering_forward(raw, *along)
        return pixels.color, pixels.opacity, pixels.depth, pixels.weights

    _, tape = volume_rendering_forward(raw, *along)

    def backward(raw: Tensor) -> tuple[Tensor, ...]:
        return (volume_rendering_backward(tape, raw, samples.t, samples.spans, color, opacity),)

    def passed(raw: Tensor) -> tuple[Tensor, ...]:
        return tuple(transmittance(raw[:, 0].contiguous(), samples.dt, samples.spans))

    yield Case("volume_rendering", 48 * n + 28 * rays, 1e-4, lambda: raw, forward)
    yield Case("volume_rendering_backward", 60 * n + 24 * rays, 1e-4, lambda: raw, backward)
    yield Case("transmittance", 20 * n + 12 * rays, 1e-4, lambda: raw, passed)


def _choice(batch: _Batch, generator: torch.Generator) -> Iterator[Case]:
    n = len(batch.samples)
    mask = (torch.rand(n, generator=generator) < _KEPT).to(batch.raw.device)
    room = max(n // 2, 1)
    yield Case("compact", 2 * n + 8 * room, 0.0, lambda: mask, lambda m: compact(m, room))


def _adam(layout: GridLayout, generator: torch.Generator, device: torch.device) -> Case:
    shape = layout.shape
    grad = torch.randn(shape, generator=generator)
    touched = torch.rand(layout.rows, generator=generator) < _KEPT
    grad[~touched] = 0.0
    grad = grad.to(device)

    numbers = adam_scalars(torch.tensor(1e-2), torch.tensor(1.0)).to(device)

    def make() -> list[Tensor]:
        return [torch.zeros(shape, device=device) for _ in range(4)]

    def run(state: list[Tensor]) -> tuple[Tensor, ...]:
        table, own, mean, square = state
        own.copy_(grad)  # the step clears it; moved bytes count this copy
        sparse_adam(table, own, mean, square, numbers)
        return table, mean, square

    moved = layout.features_per_level * (12 * layout.rows + 28 * int(touched.sum()))
    return Case("sparse_adam", moved, 1e-5, make, run)
