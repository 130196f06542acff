"""Proposal networks (Barron et al., "Mip-NeRF 360", 2022, section 3; nerfacto's way).

A first small density network is asked at many places along each ray, a second at fewer, where the
first expects weight, and the field only at those where the second does. The networks learn from the
field's weights alone: they must allow for at least those (`ops.resample.overflow`).

Places are equally spaced in s(t), which is t / 2 up to one box away and 1 - 1 / (2 t) from there
on. Where a scene has surroundings, positions are contracted (ops/contract.py), and the last
interval of a ray never ends: whatever light is left is stopped there.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from orefield.config import ProposalConfig
from orefield.ops.contract import contract
from orefield.ops.march import ENDED, entry_and_exit
from orefield.ops.resample import overflow, resample, weights_of
from orefield.samplers.density_net import DensityNet
from orefield.types import Density, PackedSamples, Rays

ENDLESS = 1e10
"""Length of an interval that lets no light through, unless nothing is there at all."""
_SLOPE = 10.0
"""How fast the annealing of weights ends (Barron et al. 2022, equation 18)."""


def spacing(t: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """s(t), in [0, 1)."""
    return torch.where(t < 1, t / 2, 1 - 0.5 / t.clamp(min=1))


def distance(s: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """t(s), the inverse of `spacing`."""
    return torch.where(s < 0.5, 2 * s, 0.5 / (1 - s.clamp(min=0.5)))


class _Pending:
    """What `learn` needs of the last call: edges in s, and the networks' weights with a graph."""

    def __init__(self) -> None:
        self.histograms: list[tuple[Tensor, Tensor]] = []
        self.edges: Tensor | None = None


class ProposalSampler:
    """As many samples on every ray, where weight is expected; implements `types.Sampler`."""

    def __init__(self, config: ProposalConfig, near: float, extent: int = 1, seed: int = 0) -> None:
        """`near`: scene units in front of a camera left empty; `extent`: as of the scene."""
        self.config, self.near, self.extent = config, near, extent
        generator = torch.Generator().manual_seed(seed)
        sizes = (config.log2_table, config.finest // 4), (config.log2_table, config.finest)
        self.nets = torch.nn.ModuleList(DensityNet(*size, generator) for size in sizes)
        self.step = 0
        self.pending: _Pending | None = None

    def __call__(self, rays: Rays, generator: torch.Generator | None) -> PackedSamples:
        """`proposal.last` samples on every ray that meets the scene; jittered given a generator."""
        jitter = None
        if generator is not None:
            jitter = torch.rand((len(rays), 3), generator=generator, device=generator.device)
        return self._propose(rays, jitter, learning=generator is not None and self._due())

    def piece(
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
        """Take note of the step: weights are annealed and learning is thinned out by it."""
        self.step = step

    def learn(self, samples: PackedSamples, weights: Float[Tensor, " samples"]) -> None:
        """Have the networks allow for the field's weights of the last call's samples."""
        pending, self.pending = self.pending, None
        if pending is None or pending.edges is None or len(samples) == 0:
            return
        field = weights.detach().view(-1, self.config.last)
        with torch.enable_grad():
            losses = [overflow(pending.edges, field, *h) for h in pending.histograms]
            torch.stack(losses).sum().backward()

    def parameters(self) -> list[torch.nn.Parameter]:
        """The networks'."""
        return list(self.nets.parameters())

    def occupied_share(self) -> float:
        """Everything may hold something: 1."""
        return 1.0

    def state(self) -> dict[str, Tensor]:
        """Tensors from which `restore` rebuilds this sampler."""
        return {**self.nets.state_dict(), "step": torch.tensor(self.step)}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take over a saved state; raises ValueError where it does not fit."""
        for name, own in self.state().items():
            if name not in state or state[name].shape != own.shape:
                raise ValueError(f"sampler state: {name!r} must be {list(own.shape)}")
        self.step = int(state["step"])
        self.nets.load_state_dict({name: state[name] for name in self.nets.state_dict()})

    def to(self, device: torch.device) -> "ProposalSampler":
        """This sampler, with its networks on another device."""
        self.nets.to(device)
        return self

    def _due(self) -> bool:
        config = self.config
        return self.step < config.warmup or self.step % config.learn_every == 0

    def _annealing(self) -> float:
        """Exponent of the weights that samples are drawn by, from 0 to 1 over the first steps."""
        share = min(self.step / max(self.config.anneal, 1), 1.0)
        return _SLOPE * share / ((_SLOPE - 1) * share + 1)

    def _propose(
        self, rays: Rays, jitter: Float[Tensor, "rays 3"] | None, learning: bool
    ) -> PackedSamples:
        entry, leave = entry_and_exit(rays, self.near, self.extent)
        meets = (entry < leave).nonzero()[:, 0]
        origins, directions = rays.origins[meets], rays.directions[meets]
        shifts = [None] * 3 if jitter is None else list(jitter[meets].unbind(1))
        begin, end = spacing(entry[meets])[:, None], spacing(leave[meets])[:, None]
        config, pending = self.config, _Pending()
        steps = torch.arange(config.first + 1, device=begin.device) / config.first
        edges = begin + (end - begin) * steps
        if shifts[0] is not None:
            edges[:, 1:-1] += (shifts[0][:, None] - 0.5) * (end - begin) / config.first
        for net, number, shift in zip(
            self.nets, (config.second, config.last), shifts[1:], strict=True
        ):
            with torch.set_grad_enabled(learning):
                t = distance(edges)
                middle = (t[:, 1:] + t[:, :-1]) / 2
                density = net(self._positions(origins, directions, middle))
                weights = weights_of(density.view_as(middle), t)
            pending.histograms.append((edges, weights))
            with torch.no_grad():
                edges = resample(edges, weights ** self._annealing(), number, shift)
        pending.edges = edges
        self.pending = pending if learning else None
        return self._packed(rays, meets, distance(edges))

    def _positions(
        self,
        origins: Float[Tensor, "hit 3"],
        directions: Float[Tensor, "hit 3"],
        t: Float[Tensor, "hit n"],
    ) -> Float[Tensor, "3 points"]:
        points = origins.T[:, :, None] + t * directions.T[:, :, None]
        return contract(points.flatten(1)) if self.extent > 1 else points.flatten(1).clamp(0, 1)

    def _packed(
        self, rays: Rays, meets: Int[Tensor, " hit"], edges: Float[Tensor, "hit n"]
    ) -> PackedSamples:
        t, dt = (edges[:, 1:] + edges[:, :-1]) / 2, edges.diff(dim=1)
        if self.extent > 1:
            dt[:, -1] = ENDLESS
        counts = torch.zeros(len(rays), dtype=torch.int64, device=edges.device)
        counts[meets] = self.config.last
        spans = torch.stack([counts.cumsum(0) - counts, counts], 1).int()
        positions = self._positions(rays.origins[meets], rays.directions[meets], t)
        ray = meets.int().repeat_interleave(self.config.last)
        return PackedSamples(positions, t.flatten(), dt.flatten(), ray, spans)
