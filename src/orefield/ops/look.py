"""Looking along rays: the samples that matter for their pixels, found without a graph.

March, hash grid, density MLP and transmittance in one go. A ray ends where less than DARK of its
light is left, so what lies behind a surface is never asked for. Of the samples before that, those
with a share w of their pixel of at least `faintest` are returned, with what the density MLP says of
them. Terms as in ops/march.py, hash_grid.py and composite.py.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import linear

from orefield.ops import hash_grid, visibility
from orefield.ops.backend import pick
from orefield.ops.composite import LARGEST_LOG_DENSITY
from orefield.ops.hash_grid import GridLayout
from orefield.ops.march import Grid, march, span_in_steps
from orefield.ops.visibility import DARK
from orefield.types import PackedSamples, Rays


class DensityNet(NamedTuple):
    """A hash grid and two layers: shape = out relu(hidden features) + (start, 0, ...)."""

    table: Float[Tensor, "rows 2"]
    layout: GridLayout
    hidden: Float[Tensor, "width features"]
    out: Float[Tensor, "code width"]
    """Its first output, from `start`, is the log density."""
    start: float = 0.0


class Look(NamedTuple):
    """Samples in ray order, and what the field's first stages made of them."""

    samples: PackedSamples
    shape: Float[Tensor, "samples code"]
    """Of each sample: the log density, and what colour is made from."""
    asked: int
    """Samples the field was asked about, those left out since included."""
    features: Float[Tensor, "features samples"] | None = None
    """Where they were kept."""


def definition(
    rays: Rays,
    grid: Grid,
    jitter: Float[Tensor, " rays"],
    net: DensityNet,
    faintest: float,
) -> Look:
    """Everything everywhere, then what matters of it, in plain torch."""
    samples, _ = march(rays, grid, jitter)
    features = hash_grid.definition(net.table, samples.positions, net.layout)
    shape = linear(linear(features.T, net.hidden).relu(), net.out)
    shape[:, 0] += net.start
    before = shape.new_ones(len(rays))
    seen = visibility.definition(shape[:, 0], samples.dt, samples.spans, before)
    index = matters(seen, faintest).nonzero()[:, 0]
    chosen = chosen_samples([samples], index, len(rays))
    return Look(chosen, shape[index], len(samples))


def matters(seen: visibility.Visibility, faintest: float) -> Bool[Tensor, " samples"]:
    """Samples that light reaches and that hold a share of their pixel; so do those that are NaN."""
    return ~((seen.reaching < DARK) | (seen.weights < faintest))


def chosen_samples(
    pieces: list[PackedSamples], index: Int[Tensor, " chosen"], rays: int
) -> PackedSamples:
    """Some of the samples of `pieces` laid end to end; `index` lists them ray by ray."""
    ray = torch.cat([piece.ray for piece in pieces])[index]
    counts = torch.bincount(ray, minlength=rays)
    return PackedSamples(
        torch.cat([piece.positions for piece in pieces], 1).index_select(1, index),
        torch.cat([piece.t for piece in pieces])[index],
        torch.cat([piece.dt for piece in pieces])[index],
        ray,
        torch.stack([counts.cumsum(0) - counts, counts], 1).int(),
    )


@torch.no_grad()
def look(
    rays: Rays,
    grid: Grid,
    jitter: Float[Tensor, " rays"],
    net: DensityNet,
    faintest: float,
    expected: int = 0,
    stretch: int = 8,
) -> Look:
    """The samples that hold `faintest` or more of their pixel, before light falls below DARK.

    All in fp32. `expected` is a guess at the number of samples returned, for the buffers. Light is
    looked at after every `stretch` samples of a ray: a short one asks about less, a long one is
    faster per sample. The definition asks about every marched sample.
    Raises ValueError where `march` and `hash_grid` do.
    """
    if grid.dt <= 0:
        raise ValueError(f"dt must be positive, got {grid.dt}")
    if net.table.shape != (net.layout.rows, 2) or net.hidden.shape[1] != net.layout.features:
        raise ValueError(
            f"table and hidden must be [{net.layout.rows}, 2] and [width, {net.layout.features}] "
            f"for this layout, got {list(net.table.shape)} and {list(net.hidden.shape)}"
        )
    twin = pick("look", rays.origins)
    if twin is None:
        return definition(rays, grid, jitter, net, faintest)
    begin, leave = span_in_steps(rays, grid)
    limits = DARK, faintest, LARGEST_LOG_DENSITY
    return Look(*twin.look(rays, begin, leave, grid, jitter, net, limits, expected, stretch))
