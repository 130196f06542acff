"""Marching into buffers of fixed size: what `march` finds, without a host read.

Reading the number of samples from a GPU would make host and device wait for each other. So the
buffers' size is fixed, and the number stays on the device.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

from orefield.ops.backend import pick
from orefield.ops.march import Grid, march, span_in_steps
from orefield.types import PackedSamples, Rays


def definition(
    rays: Rays,
    grid: Grid,
    jitter: Float[Tensor, " rays"],
    capacity: int,
) -> tuple[PackedSamples, Int[Tensor, ""]]:
    """`march`, its samples cut off at the capacity or filled up to it with zeros."""
    samples, _ = march(rays, grid, jitter)
    found = len(samples)
    last = samples.spans.sum(1).clamp(max=capacity)
    first = samples.spans[:, 0].clamp(max=capacity)
    values = samples.positions, samples.t, samples.dt, samples.ray
    positions, t, lengths, ray = (pad(x, (0, capacity - found)) for x in values)
    spans = torch.stack([first, last - first], 1)
    fitted = PackedSamples(positions, t, lengths, ray, spans)
    return fitted, torch.full_like(fitted.spans[:1, 0], found, dtype=torch.int64).sum()


@torch.no_grad()
def march_fixed(
    rays: Rays,
    grid: Grid,
    jitter: Float[Tensor, " rays"],
    capacity: int,
) -> tuple[PackedSamples, Int[Tensor, ""]]:
    """The first `capacity` samples of a batch of rays, and how many samples the rays really have.

    That number stays on the device; slots past it lie in the cube and belong to ray 0, but to no
    span. A ray whose last samples do not fit has a span that ends at the capacity, a ray that does
    not fit at all an empty span there. Of two rays with 3 and 2 samples, the first 4:

        capacity = 4: spans = [[0, 3], [3, 1]], number 5

    Raises ValueError for dt <= 0 or capacity < 1.
    """
    if grid.dt <= 0 or capacity < 1:
        raise ValueError(f"dt must be positive, capacity at least 1, got {grid.dt} and {capacity}")
    twin = pick("march", rays.origins)
    run = getattr(twin, "march_fixed", None)
    if run is None:
        return definition(rays, grid, jitter, capacity)
    begin, leave = span_in_steps(rays, grid)
    samples, total = run(rays, begin, leave, grid, jitter, capacity)
    return samples, total
