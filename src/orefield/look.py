"""The first forward: which samples the field is asked about, and which of them go on.

Without a graph, and for densities only: colours come later, for what is left. `look_everywhere`
asks about every marched sample, as published. `look_ahead` asks up to where the sampler expects
each ray to be dark, and keeps what holds a share of its pixel worth having.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from orefield.ops.visibility import DARK, visibility
from orefield.types import Field, PackedSamples, Rays, Sampler


class Look(NamedTuple):
    """Samples, and what the field's two first stages made of them."""

    samples: PackedSamples
    features: Float[Tensor, "features asked"]
    """Of every sample the field was asked about."""
    shape: Float[Tensor, "samples code"]
    index: Int[Tensor, " samples"]
    """Where among those the samples stand."""
    cut: Bool[Tensor, " rays"]
    """Rays that were ended on expectation: what lies behind their last sample is not known."""

    def known(self, kept: Int[Tensor, " kept"] | None = None) -> Float[Tensor, "features _"]:
        """Features of the samples, or of some of them."""
        return self.features[:, self.index if kept is None else self.index[kept]]


@torch.no_grad()
def look_everywhere(field: Field, sampler: Sampler, rays: Rays, generator: torch.Generator) -> Look:
    """Every marched sample."""
    samples = sampler(rays, generator)
    features = field.encode(samples.positions)
    index = torch.arange(len(samples))
    cut = torch.zeros(len(rays), dtype=torch.bool)
    return Look(samples, features, field.shape(features), index, cut)


@torch.no_grad()
def look_ahead(field: Field, sampler: Sampler, rays: Rays, generator: torch.Generator) -> Look:
    """The samples before each ray is expected to be dark."""
    samples, cut = sampler.front(rays, generator)
    features = field.encode(samples.positions)
    return Look(samples, features, field.shape(features), torch.arange(len(samples)), cut)


@torch.no_grad()
def lit(look: Look, faintest: float = 0.0) -> Look:
    """Those that light reaches (T >= DARK) and that hold `faintest` or more of their pixel (w)."""
    samples = look.samples
    seen = visibility(look.shape[:, 0], samples.dt, samples.spans)
    index = ((seen.reaching >= DARK) & (seen.weights >= faintest)).nonzero()[:, 0]
    ray = samples.ray[index]
    counts = torch.bincount(ray, minlength=len(samples.spans))
    spans = torch.stack([counts.cumsum(0) - counts, counts], 1).int()
    chosen = PackedSamples(
        samples.positions[:, index], samples.t[index], samples.dt[index], ray, spans
    )
    return Look(chosen, look.features, look.shape[index], look.index[index], look.cut)
