"""Samplers: where along each ray to look."""

import torch

from orefield.config import RunConfig
from orefield.samplers.occupancy import OccupancySampler as OccupancySampler
from orefield.samplers.proposal import ProposalSampler as ProposalSampler
from orefield.samplers.visibility import seen_cells as seen_cells


def make_sampler(
    config: RunConfig, near: float, extent: int, seen: torch.Tensor | None = None
) -> OccupancySampler | ProposalSampler:
    """A fresh sampler; `seen` are the cells that cameras see, for the occupancy grid."""
    if config.sampler.kind == "proposal":
        return ProposalSampler(config.proposal, near, extent, config.seed)
    return OccupancySampler(config.sampler, near, seen, extent)
