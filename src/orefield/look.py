"""The first forward: densities along the rays, without a graph; colours come later, for the rest.

`look_everywhere` asks the field about every marched sample, as published. `look_ahead` goes along
the rays step by step and asks only about what light still reaches: what lies behind a surface is
not asked about, and nothing is left out on expectation alone.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from orefield.fields import NgpField
from orefield.ops.backend import pick
from orefield.ops.look import DensityNet, Look, chosen_samples, matters
from orefield.ops.look import look as look_along
from orefield.ops.march import ENDED
from orefield.ops.visibility import DARK, visibility
from orefield.samplers import OccupancySampler
from orefield.types import Field, Rays, Sampler

_PIECE = 8
"""Samples of a ray in the first stretch; each further one is twice as long."""


class Outlook(NamedTuple):
    """What to expect of a look; right or wrong, its samples are the same."""

    samples: int
    stretch: int
    """Samples after which to look at the light of a ray: half of what a ray holds, for in the fog
    of the first steps rays have no end to find."""


FIRST_OUTLOOK = Outlook(0, 64)


@torch.no_grad()
def look_everywhere(field: Field, sampler: Sampler, rays: Rays, generator: torch.Generator) -> Look:
    """Every marched sample."""
    samples = sampler(rays, generator)
    features = field.encode(samples.positions)
    return Look(samples, field.shape(features), len(samples), features)


@torch.no_grad()
def look_ahead(
    field: Field,
    sampler: Sampler,
    rays: Rays,
    generator: torch.Generator,
    faintest: float,
    outlook: Outlook,
) -> Look:
    """The samples that hold `faintest` or more of their pixel, before light falls below DARK.

    Those of `bright(look_everywhere(...), faintest)`, found without asking about the others where
    that can be helped. `outlook` only decides how fast.
    """
    jitter = torch.rand(len(rays), generator=generator, device=generator.device)
    fused = pick("look", rays.origins) is not None
    if fused and isinstance(field, NgpField) and isinstance(sampler, OccupancySampler):
        net = DensityNet(field.table, field.layout, field.density1, field.density2, field.log_fog)
        return look_along(rays, sampler.grid, jitter, net, faintest, *outlook)
    return _in_stretches(field, sampler, rays, jitter, faintest)


def outlook(last: Look) -> Outlook:
    """What an earlier look along other rays of the same scene lets expect."""
    rays = int((last.samples.spans[:, 1] > 0).sum())
    return Outlook(len(last.samples), min(max(len(last.samples) // max(2 * rays, 1), 4), 64))


def _in_stretches(
    field: Field, sampler: Sampler, rays: Rays, jitter: Float[Tensor, " rays"], faintest: float
) -> Look:
    light, limit = torch.ones_like(jitter), _PIECE
    active = torch.arange(len(rays), dtype=torch.int32, device=jitter.device)
    first = torch.zeros_like(active)
    pieces, shapes, marks = [], [], []
    while True:
        part = Rays(rays.origins[active], rays.directions[active])
        samples, following = sampler.piece(part, first, limit, jitter[active])
        shape = field.shape(field.encode(samples.positions))
        seen = visibility(shape[:, 0], samples.dt, samples.spans, light)
        marks.append(matters(seen, faintest))
        samples.ray.copy_(active[samples.ray])
        pieces.append(samples)
        shapes.append(shape)
        going = (following != ENDED) & (seen.left >= DARK)
        active, first, light = active[going], following[going], seen.left[going]
        limit *= 2
        if len(active) == 0:
            break
    index = torch.cat(marks).nonzero()[:, 0]
    order = torch.cat([piece.ray for piece in pieces])[index].sort(stable=True).indices
    index, asked = index[order], sum(map(len, pieces))
    return Look(chosen_samples(pieces, index, len(rays)), torch.cat(shapes)[index], asked)


@torch.no_grad()
def bright(look: Look, faintest: float = 0.0) -> Look:
    """Those that light reaches (T >= DARK) and that hold `faintest` or more of their pixel."""
    seen = visibility(look.shape[:, 0], look.samples.dt, look.samples.spans)
    index = matters(seen, faintest).nonzero()[:, 0]
    samples = chosen_samples([look.samples], index, len(look.samples.spans))
    features = None if look.features is None else look.features.index_select(1, index)
    return Look(samples, look.shape.index_select(0, index), look.asked, features)
