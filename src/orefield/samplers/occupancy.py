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
from orefield.ops.march import ENDED, clearance, march
from orefield.types import Density, PackedSamples, Rays

_CHUNK = 65_536
_STOP = 46.0
"""Optical thickness at which the grid expects a ray to be dark: ten times that of 1 % of the light,
because a cell's decaying maximum is far above what most of its points hold."""
_PROBES = 1 / 16
"""Share of the rays that go on regardless, so that what was expected wrongly is found out."""


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
        self.densities = torch.zeros(shape)
        self.occupy(self.seen.clone())

    def __call__(self, rays: Rays, generator: torch.Generator | None) -> PackedSamples:
        """Every sample of every ray; jittered when a generator is given."""
        jitter = None if generator is None else torch.rand(len(rays), generator=generator)
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

    def front(
        self, rays: Rays, generator: torch.Generator
    ) -> tuple[PackedSamples, Bool[Tensor, " rays"]]:
        """Jittered samples up to where the grid expects each ray to be dark, and which were cut."""
        chance = torch.rand(2, len(rays), generator=generator)
        stop = torch.where(chance[1] < _PROBES, torch.inf, _STOP)
        grid = self.clear, self.dt, self.near
        samples, going = march(rays, *grid, chance[0], thickness=self.thickness, stop=stop)
        return samples, going != ENDED

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
            points = (index + torch.rand(3, len(part), generator=generator)) / res
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
        self.densities = state["densities"].float().clone()
        self.seen = state["seen"].bool().clone()
        self.occupy(state["occupied"].bool().clone())

    def occupy(self, occupied: Bool[Tensor, "res res res"]) -> None:
        """Set the occupied cells, and what follows from them for marching."""
        self.occupied, self.clear = occupied, clearance(occupied)
        self.thickness = self.densities * self.dt

    def _due(self, everything: bool, generator: torch.Generator) -> Int[Tensor, " cells"]:
        seen = self.seen.view(-1).nonzero()[:, 0]
        if everything:
            return seen
        quarter = max(len(seen) // 4, 1)
        anywhere = seen[torch.randint(len(seen), (quarter,), generator=generator)]
        occupied = self.occupied.view(-1).nonzero()[:, 0]
        if len(occupied) > quarter:
            occupied = occupied[torch.randint(len(occupied), (quarter,), generator=generator)]
        due: Tensor = torch.cat([anywhere, occupied]).unique()
        return due
