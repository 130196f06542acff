"""The density pass with early termination, in one kernel and without a graph.

It marches, reads the hash grid, runs the density MLP and sums up the optical depth. A ray ends once
its transmittance is below MIN_TRANSMITTANCE, so what lies behind a surface is never evaluated. Of
the samples before that, those whose weight is at least `min_weight` are returned, with the density
MLP's outputs.
Terms as in ops/march.py, hash_grid.py and volume_rendering.py.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from orefield.ops import density_network, transmittance
from orefield.ops.backend import pick
from orefield.ops.density_network import DensityNet
from orefield.ops.march import Grid, march, span_in_steps
from orefield.ops.transmittance import MIN_TRANSMITTANCE, RayTransmittance
from orefield.ops.volume_rendering import MAX_LOG_DENSITY
from orefield.types import PackedSamples, Rays


class TerminatedPass(NamedTuple):
    """The visible samples in ray order, and the density MLP's outputs."""

    samples: PackedSamples
    geometry: Float[Tensor, "samples geometry"]
    evaluated: int
    """Samples at which the density was evaluated, those left out since included."""


def definition(
    rays: Rays,
    grid: Grid,
    jitter: Float[Tensor, " rays"],
    net: DensityNet,
    min_weight: float,
) -> TerminatedPass:
    """Every marched sample, then the visible ones of them, in plain torch."""
    samples, _ = march(rays, grid, jitter)
    geometry = density_network.definition(samples.positions, net)
    initial = geometry.new_ones(len(rays))
    along = transmittance.definition(geometry[:, 0], samples.dt, samples.spans, initial)
    index = visible_mask(along, min_weight).nonzero()[:, 0]
    return TerminatedPass(pack([samples], index, len(rays)), geometry[index], len(samples))


def visible_mask(along: RayTransmittance, min_weight: float) -> Bool[Tensor, " samples"]:
    """Samples with T >= MIN_TRANSMITTANCE and w >= min_weight; and those that are NaN.

    A NaN must reach the loss, where the step that it belongs to is skipped and counted.

        before = [1, 0.5, 0.5, 1e-5], weights = [0.5, 1e-6, 0.49999, 1e-5], min_weight = 1e-4:
        [True, False, True, False]
    """
    return ~((along.before < MIN_TRANSMITTANCE) | (along.weights < min_weight))


def pack(chunks: list[PackedSamples], index: Int[Tensor, " chosen"], rays: int) -> PackedSamples:
    """The samples at `index` of `chunks` laid end to end, in ray order, with spans of their own."""
    ray = torch.cat([chunk.ray for chunk in chunks])[index]
    counts = torch.bincount(ray, minlength=rays)
    return PackedSamples(
        torch.cat([chunk.positions for chunk in chunks], 1).index_select(1, index),
        torch.cat([chunk.t for chunk in chunks])[index],
        torch.cat([chunk.dt for chunk in chunks])[index],
        ray,
        torch.stack([counts.cumsum(0) - counts, counts], 1).int(),
    )


@torch.no_grad()
def terminated_density_pass(
    rays: Rays,
    grid: Grid,
    jitter: Float[Tensor, " rays"],
    net: DensityNet,
    min_weight: float,
    expected: int = 0,
    stretch: int = 8,
) -> TerminatedPass:
    """The samples with T >= MIN_TRANSMITTANCE and w >= min_weight, and the density at each.

    All in fp32. `expected` is a guess at the number of samples returned, for the buffers.
    Transmittance is checked after every `stretch` samples of a ray: a short one evaluates fewer
    samples behind a surface, a long one is faster per sample. The definition evaluates all.
    Raises ValueError where `march` and `hash_grid` do.
    """
    if grid.dt <= 0:
        raise ValueError(f"dt must be positive, got {grid.dt}")
    net.check()
    twin = pick("density_pass", rays.origins)
    if twin is None:
        return definition(rays, grid, jitter, net, min_weight)
    begin, leave = span_in_steps(rays, grid)
    limits = MIN_TRANSMITTANCE, min_weight, MAX_LOG_DENSITY
    found = twin.density_pass(rays, begin, leave, grid, jitter, net, limits, expected, stretch)
    return TerminatedPass(*found)
