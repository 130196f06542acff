"""Occupancy grid over the unit cube (Müller et al. 2022, appendix E): march only where matter may
be.

Each cell holds a decaying maximum of the densities seen in it. Cells no training camera sees are
never occupied: nothing would ever teach the field what is there.
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from orefield.config import SamplerConfig
from orefield.errors import OrefieldError
from orefield.ops.march import clearance, march
from orefield.types import Density, PackedSamples, Rays

_CHUNK = 65_536


class OccupancySampler:
    """Equal steps through occupied cells; implements `types.Sampler`."""

    def __init__(
        self,
        config: SamplerConfig,
        near: float,
        seen: Bool[Tensor, "res res res"] | None = None,
    ) -> None:
        """`near`: scene units in front of a camera left empty; `seen`: cells in a camera's view.

        Raises ValueError when no cell is seen.
        """
        if seen is not None and not bool(seen.any()):
            raise OrefieldError("no training camera sees the scene's box; check the poses")
        self.config, self.near = config, near
        self.dt = math.sqrt(3) / config.steps
        shape = (config.resolution,) * 3
        self.seen = torch.ones(shape, dtype=torch.bool) if seen is None else seen
        self.densities = torch.zeros_like(self.seen, dtype=torch.float32)
        self.occupy(self.seen.clone())

    def __call__(self, rays: Rays, generator: torch.Generator | None) -> PackedSamples:
        """Every sample of every ray; jittered when a generator is given."""
        jitter = None if generator is None else _random(generator, len(rays))
        return march(rays, self.clear, self.dt, self.near, jitter)[0]

    def piece(
        self,
        rays: Rays,
        first: Int[Tensor, " rays"],
        limit: int = 2**15 - 1,
        jitter: Float[Tensor, " rays"] | None = None,
    ) -> tuple[PackedSamples, Int[Tensor, " rays"]]:
        """At most `limit` samples per ray from number `first`, and where to go on (see `march`)."""
        return march(rays, self.clear, self.dt, self.near, jitter, first, limit)

    def learn(self, samples: PackedSamples, weights: Float[Tensor, " samples"]) -> None:
        """Nothing: the grid learns from densities, in `update`."""

    def parameters(self) -> list[torch.nn.Parameter]:
        """None."""
        return []

    def update(self, step: int, density: Density, generator: torch.Generator) -> None:
        """Refresh the grid when `step` is due; steps count from 0."""
        if step % self.config.refresh_every == 0:
            self.refresh(self._due(step < self.config.warmup, generator), density, generator)

    def refresh(
        self, cells: Int[Tensor, " cells"], density: Density, generator: torch.Generator
    ) -> None:
        """Decay all cells, look at a random point in each of `cells`, redraw the occupied ones."""
        res = self.config.resolution
        grid = self.densities.view(-1).mul_(self.config.decay)
        for part in cells.split(_CHUNK):
            index = torch.stack([part // res**2, part // res % res, part % res])
            points = (index + _random(generator, 3, len(part))) / res
            # A density that is not a number would stay in the maximum for good.
            grid[part] = torch.maximum(grid[part], density(points).nan_to_num(0.0))
        mean = float(grid.mean()) * self.dt
        threshold = min(self.config.threshold, mean)
        occupied = (self.densities * self.dt > threshold) & self.seen
        # Never empty: without a single sample no gradient could ever bring a cell back.
        self.occupy(occupied if occupied.any() else self.seen.clone())

    def occupied_share(self) -> float:
        """Share of the cells that rays stop in, in [0, 1]."""
        return float(self.occupied.float().mean())

    def state(self) -> dict[str, Tensor]:
        """Tensors from which `restore` rebuilds this sampler."""
        return {"densities": self.densities, "occupied": self.occupied, "seen": self.seen}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take over a saved state; raises ValueError when its grid has another resolution."""
        for name, own in self.state().items():
            if name not in state or state[name].shape != own.shape:
                raise ValueError(f"sampler state: {name!r} must be {list(own.shape)}")
        on = self.seen.device
        self.densities = state["densities"].to(on, torch.float32, copy=True)
        self.seen = state["seen"].to(on, torch.bool, copy=True)
        self.occupy(state["occupied"].to(on, torch.bool, copy=True))

    def occupy(self, occupied: Bool[Tensor, "res res res"]) -> None:
        """Set the occupied cells, and what follows from them for marching."""
        self.occupied, self.clear = occupied, clearance(occupied)

    def to(self, device: torch.device) -> "OccupancySampler":
        """This sampler, with its grid on another device."""
        self.seen, self.densities = self.seen.to(device), self.densities.to(device)
        self.occupied, self.clear = self.occupied.to(device), self.clear.to(device)
        return self

    def _due(self, everything: bool, generator: torch.Generator) -> Int[Tensor, " cells"]:
        seen = self.seen.view(-1).nonzero()[:, 0]
        if everything:
            return seen
        quarter = max(len(seen) // 4, 1)
        anywhere = seen[_drawn(generator, len(seen), quarter)]
        occupied = self.occupied.view(-1).nonzero()[:, 0]
        if len(occupied) > quarter:
            occupied = occupied[_drawn(generator, len(occupied), quarter)]
        due: Tensor = torch.cat([anywhere, occupied]).unique()
        return due


def _random(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device)


def _drawn(generator: torch.Generator, below: int, number: int) -> Int[Tensor, " number"]:
    return torch.randint(below, (number,), generator=generator, device=generator.device)
