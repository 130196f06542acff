"""Occupancy grid (Müller et al. 2022, appendix E): march only where matter may be.

Each cell holds a decaying maximum of the densities seen in it. Cells no training camera sees are
never occupied: nothing would ever teach the field what is there. Where a scene has surroundings,
the grid has levels, each twice as wide as the one before (see ops/march.py).
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from orefield.config import SamplerConfig
from orefield.errors import ConfigError, OrefieldError
from orefield.ops.contract import contract
from orefield.ops.march import Grid, clearance, march
from orefield.types import Density, PackedSamples, Rays

_CHUNK = 65_536
_MOST = 2**17
"""Cells looked at in one refresh, at most: five levels have ten times as many."""


class OccupancySampler:
    """Equal steps through occupied cells; implements `types.Sampler`."""

    def __init__(
        self,
        config: SamplerConfig,
        near: float,
        seen: Bool[Tensor, "levels res res res"] | None = None,
        extent: int = 1,
    ) -> None:
        """`near`: scene units in front of a camera left empty; `seen`: cells in a camera's view.

        `extent`: side of the largest level, a power of two. Raises OrefieldError when no cell is
        seen, and ConfigError for a resolution that levels cannot share.
        """
        levels, res = extent.bit_length(), config.resolution
        if levels > 1 and res % 4:
            raise ConfigError(f"sampler.resolution must be a multiple of 4 here, got {res}")
        if seen is not None and not bool(seen.any()):
            raise OrefieldError("no training camera sees the scene's box; check the poses")
        self.config, self.near = config, near
        self.dt = math.sqrt(3) / config.steps
        shape = (levels, res, res, res)
        self.seen = torch.ones(shape, dtype=torch.bool) if seen is None else seen.clone()
        inner = slice(res // 4, res - res // 4)
        self.seen[1:, inner, inner, inner] = False  # the level before has them, and finer
        self.densities = torch.zeros_like(self.seen, dtype=torch.float32)
        self.occupy(self.seen.clone())

    def __call__(self, rays: Rays, generator: torch.Generator | None) -> PackedSamples:
        """Every sample of every ray; jittered when a generator is given."""
        jitter = None if generator is None else _random(generator, len(rays))
        return march(rays, self.grid, jitter)[0]

    def piece(
        self,
        rays: Rays,
        first: Int[Tensor, " rays"],
        limit: int = 2**15 - 1,
        jitter: Float[Tensor, " rays"] | None = None,
    ) -> tuple[PackedSamples, Int[Tensor, " rays"]]:
        """At most `limit` samples per ray from number `first`, and where to go on (see `march`)."""
        return march(rays, self.grid, jitter, first, limit)

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
        """Look at a random point in each of `cells`, let what was there before fade, and redraw
        the occupied ones."""
        levels, res = self.seen.shape[:2]
        grid = self.densities.view(-1)
        # With surroundings a refresh covers few of the cells: what it does not look at stays.
        fading = slice(None) if levels == 1 else cells
        grid[fading] *= self.config.decay
        for part in cells.split(_CHUNK):
            level, index = part // res**3, torch.stack([part // res**2, part // res, part]) % res
            points = (index + _random(generator, 3, len(part))) / res
            if levels > 1:
                points = contract((points - 0.5) * torch.exp2(level.float()) + 0.5)
            # A density that is not a number would stay in the maximum for good.
            grid[part] = torch.maximum(grid[part], density(points).nan_to_num(0.0))
        # A level's steps are about as long as its cells are wide.
        steps = self.dt * 2.0 ** torch.arange(levels, device=grid.device)[:, None]
        thickness = self.densities.view(levels, -1) * steps
        limit = thickness.mean(1, keepdim=True).clamp(max=self.config.threshold)
        occupied = (thickness > limit).view_as(self.seen) & self.seen
        # Never empty: without a single sample no gradient could ever bring a cell back.
        self.occupy(occupied if occupied.any() else self.seen.clone())

    def occupied_share(self) -> float:
        """Share of the cells that rays stop in, in [0, 1], as a mean over levels."""
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

    def occupy(self, occupied: Bool[Tensor, "levels res res res"]) -> None:
        """Set the occupied cells, and what follows from them for marching."""
        self.occupied = occupied
        self.grid = Grid(clearance(occupied), self.dt, self.near, self.config.cone)

    def to(self, device: torch.device) -> "OccupancySampler":
        """This sampler, with its grid on another device."""
        self.seen, self.densities = self.seen.to(device), self.densities.to(device)
        self.occupy(self.occupied.to(device))
        return self

    def _due(self, everything: bool, generator: torch.Generator) -> Int[Tensor, " cells"]:
        seen = self.seen.view(-1).nonzero()[:, 0]
        if everything and len(seen) <= _MOST:
            return seen
        part = min(max(len(seen) // 4, 1), _MOST // 2)
        anywhere = seen[_drawn(generator, len(seen), part)]
        occupied = self.occupied.view(-1).nonzero()[:, 0]
        if len(occupied) > part:
            occupied = occupied[_drawn(generator, len(occupied), part)]
        due: Tensor = torch.cat([anywhere, occupied]).unique()
        return due


def _random(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device)


def _drawn(generator: torch.Generator, below: int, number: int) -> Int[Tensor, " number"]:
    return torch.randint(below, (number,), generator=generator, device=generator.device)
