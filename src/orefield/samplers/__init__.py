"""Samplers: where along each ray the field is evaluated."""

import torch

from orefield.config import RunConfig, chosen
from orefield.ops.frustum import Frustum
from orefield.samplers.camera_coverage import camera_coverage as camera_coverage
from orefield.samplers.occupancy_grid import OccupancySampler as OccupancySampler
from orefield.samplers.proposal import ProposalSampler as ProposalSampler
from orefield.types import Sampler


def make_sampler(
    config: RunConfig,
    near: float,
    background_extent: int,
    device: torch.device,
    covered: torch.Tensor | None = None,
    frustum: Frustum | None = None,
) -> Sampler:
    """A fresh sampler; `covered` are the cells that cameras see, for the occupancy grid.

    `frustum` as a forward-facing scene's.
    """
    frustum = None if frustum is None else frustum.to(device)
    if chosen(config.sampler.kind, "sampler.kind") == "proposal":
        proposal = ProposalSampler(config.proposal, near, background_extent, config.seed, frustum)
        return proposal.to(device)
    grid = OccupancySampler(config.sampler, near, covered, background_extent, frustum)
    return grid.to(device)
