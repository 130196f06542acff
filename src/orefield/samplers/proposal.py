"""Proposal networks (Barron et al., "Mip-NeRF 360", 2022, section 3; nerfacto's way).

A first small density network is evaluated at many samples along each ray, a second at fewer, where
the first expects weight, and the field only at those where the second does. The networks learn from
the field's weights alone: they must allow for at least those (`ops.pdf.interlevel_loss`).

Samples are equally spaced in s(t) (ops/proposal_weights.py). In an unbounded scene positions are
contracted (ops/contraction.py), and the last interval of a ray never ends: it takes all the
transmittance that remains.
"""

import math
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from orefield.config import ProposalConfig
from orefield.ops.frustum import Frustum
from orefield.ops.march import ENDED, entry_and_exit
from orefield.ops.pdf import interlevel_loss
from orefield.ops.proposal_weights import (
    definition,
    distance,
    positions_along,
    proposal_weights,
    spacing,
)
from orefield.ops.sample_pdf import sample_pdf
from orefield.samplers.density_network import DensityNetwork
from orefield.types import CubeRays, Density, PackedSamples, Rays

ENDLESS = 1e10
"""Length of an interval that absorbs all that remains, unless its density is zero."""
_SLOPE = 10.0
"""How fast the annealing of weights ends (Barron et al. 2022, equation 18)."""


class ProposalSampler(nn.Module):
    """As many samples on every ray, where weight is expected; implements `types.Sampler`."""

    steps: Tensor

    def __init__(
        self,
        config: ProposalConfig,
        near: float,
        background_extent: int = 1,
        seed: int = 0,
        frustum: Frustum | None = None,
    ) -> None:
        """`near`: no samples nearer to a camera than this.

        `background_extent` and `frustum` as a scene's.
        """
        super().__init__()
        self.config, self.near, self.background_extent = config, near, background_extent
        self.frustum = frustum
        generator = torch.Generator().manual_seed(seed)
        finest = config.max_resolution
        sizes = (2, config.log2_hashmap_size, finest // 4), (3, config.log2_hashmap_size, finest)
        self.nets = nn.ModuleList(DensityNetwork(*size, generator) for size in sizes)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.step = 0
        """`steps` on the host."""
        self._proposals: list[tuple[Tensor, Tensor]] = []
        """Edges in s, and the networks' weights with a graph, of the rays that teach them."""
        self._edges: Tensor | None = None
        self.register_load_state_dict_post_hook(_follow_steps)

    def forward(
        self, rays: Rays, generator: torch.Generator | None, training: bool = False
    ) -> PackedSamples:
        """`proposal.num_samples` samples on every ray that meets the scene.

        Jittered when a generator is given.
        """
        jitter = None
        if generator is not None:
            jitter = torch.rand((len(rays), 3), generator=generator, device=generator.device)
        return self._propose(rays, jitter, learning=training and self._due())

    def cube_rays(self, rays: Rays) -> CubeRays:
        """The rays as lines in the cube that is sampled."""
        return CubeRays(rays) if self.frustum is None else self.frustum.cube_rays(rays, self.near)

    def sample_chunk(
        self,
        rays: Rays,
        first: Int[Tensor, " rays"],
        limit: int = 2**15 - 1,
        jitter: Float[Tensor, " rays"] | None = None,
    ) -> tuple[PackedSamples, Int[Tensor, " rays"]]:
        """All samples at once, whatever the limit: they are few."""
        shifts = None if jitter is None else jitter[:, None].expand(-1, 3)
        return self._propose(rays, shifts, learning=False), torch.full_like(first, ENDED)

    def update(self, step: int, density: Density, generator: torch.Generator) -> None:
        """Set the step, which decides on the annealing and on when the networks learn."""
        self.step = step
        self.steps.fill_(step)

    def accumulate_grad(
        self, samples: PackedSamples, weights: Float[Tensor, " samples"]
    ) -> Float[Tensor, ""] | None:
        """Back-propagate the interlevel loss of the last call's samples into the networks.

        Returns it, or None where the last call was not for training or the networks were not due.
        """
        proposals, edges = self._proposals, self._edges
        self._proposals, self._edges = [], None
        if edges is None or len(samples) == 0:
            return None
        field = weights.detach().view(-1, self.config.num_samples)[: len(edges)]
        with torch.enable_grad():
            losses = [interlevel_loss(edges, field, *proposal) for proposal in proposals]
            loss = torch.stack(losses).sum()
            loss.backward()
        return loss.detach()

    def _due(self) -> bool:
        config = self.config
        return self.step < config.warmup or self.step % config.update_every == 0

    def _annealing(self) -> float:
        """Exponent of the weights that samples are drawn by, from 0 to 1 over the first steps."""
        share = min(self.step / max(self.config.anneal, 1), 1.0)
        return _SLOPE * share / ((_SLOPE - 1) * share + 1)

    def _propose(
        self, rays: Rays, jitter: Float[Tensor, "rays 3"] | None, learning: bool
    ) -> PackedSamples:
        rays, near = self.cube_rays(rays).lines, self.near if self.frustum is None else 0.0
        entry, leave = entry_and_exit(rays, near, self.background_extent)
        meets = (entry < leave).nonzero()[:, 0]
        origins, directions = rays.origins[meets], rays.directions[meets]
        shifts = [None] * 3 if jitter is None else list(jitter[meets].unbind(1))
        begin, end = spacing(entry[meets])[:, None], spacing(leave[meets])[:, None]
        first, second = self.config.num_proposal_samples
        edges = begin + (end - begin) * (torch.arange(first + 1, device=begin.device) / first)
        if shifts[0] is not None:
            edges[:, 1:-1] += (shifts[0][:, None] - 0.5) * (end - begin) / first
        proposals, numbers = [], (second, self.config.num_samples)
        taught = slice(math.ceil(self.config.learn_share * len(meets)) if learning else 0)
        contracted = self.background_extent > 1
        for network, number, shift in zip(self.nets, numbers, shifts[1:], strict=True):
            assert isinstance(network, DensityNetwork)
            net = network.net
            weights = proposal_weights(origins, directions, edges, net, contracted)
            if learning:
                with torch.enable_grad():
                    some = origins[taught], directions[taught], edges[taught]
                    proposals.append((edges[taught], definition(*some, net, contracted)))
            edges = sample_pdf(edges, weights ** self._annealing(), number, shift)
        self._proposals, self._edges = (proposals, edges[taught]) if learning else ([], None)
        return self._packed(rays, meets, distance(edges))

    def _packed(
        self, rays: Rays, meets: Int[Tensor, " hit"], edges: Float[Tensor, "hit n"]
    ) -> PackedSamples:
        t, dt = (edges[:, 1:] + edges[:, :-1]) / 2, edges.diff(dim=1)
        if self.background_extent > 1:
            dt[:, -1] = ENDLESS
        counts = torch.zeros(len(rays), dtype=torch.int64, device=edges.device)
        counts[meets] = self.config.num_samples
        spans = torch.stack([counts.cumsum(0) - counts, counts], 1).int()
        lines, contracted = (
            (rays.origins[meets], rays.directions[meets]),
            self.background_extent > 1,
        )
        positions = positions_along(*lines, t, contracted)
        ray = meets.int().repeat_interleave(self.config.num_samples)
        return PackedSamples(positions, t.flatten(), dt.flatten(), ray, spans)


def _follow_steps(sampler: ProposalSampler, _: Any) -> None:
    """After loading."""
    sampler.step = int(sampler.steps)
