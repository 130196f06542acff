"""Occupancy grid (Müller et al. 2022, appendix E): march only through cells that may be occupied.

Each cell holds a decaying maximum of the densities found in it. Cells that no training camera
covers are never occupied: nothing would ever teach the field what is there. For an unbounded scene
the grid has levels, each twice as wide as the one before (see ops/march.py).
"""

import math
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from orefield.config import SamplerConfig, chosen
from orefield.errors import ConfigError, OrefieldError
from orefield.ops.contraction import contract
from orefield.ops.frustum import Frustum
from orefield.ops.march import Grid, clearance, march
from orefield.ops.march_fixed import march_fixed
from orefield.types import CubeRays, Density, PackedSamples, Rays

_CHUNK = 65_536
"""Cells whose density is evaluated at once."""
_MOST = 2**17
"""Cells in one refresh, at most: five levels have ten times as many."""


class OccupancySampler(nn.Module):
    """Equal steps through occupied cells; implements `types.Sampler`."""

    densities: Tensor
    occupied: Tensor
    covered: Tensor
    clear: Tensor

    def __init__(
        self,
        config: SamplerConfig,
        near: float,
        covered: Bool[Tensor, "levels res res res"] | None = None,
        background_extent: int = 1,
        frustum: Frustum | None = None,
    ) -> None:
        """`near`: no samples nearer to a camera than this; `covered`: cells in a camera's view.

        `background_extent`: side of the largest level, a power of two. `frustum`: what the grid is
        a cube of, in place of the box. Raises OrefieldError when no cell is covered, and
        ConfigError for a resolution that levels cannot share.
        """
        super().__init__()
        levels, res = background_extent.bit_length(), config.resolution
        if levels > 1 and res % 4:
            raise ConfigError(f"sampler.resolution must be a multiple of 4 here, got {res}")
        if covered is not None and not bool(covered.any()):
            raise OrefieldError("no training camera sees the scene's box; check the poses")
        self.config, self.near, self.frustum = config, near, frustum
        self.dt = math.sqrt(3) / chosen(config.steps_per_diagonal, "sampler.steps_per_diagonal")
        self.cone_angle = chosen(config.cone_angle, "sampler.cone_angle")
        shape = (levels, res, res, res)
        covered = torch.ones(shape, dtype=torch.bool) if covered is None else covered.clone()
        inner = slice(res // 4, res - res // 4)
        covered[1:, inner, inner, inner] = False  # the level before has them, and finer
        self.register_buffer("densities", torch.zeros(shape))
        self.register_buffer("occupied", covered.clone())
        self.register_buffer("covered", covered)
        self.register_buffer("clear", clearance(covered), persistent=False)
        self.register_load_state_dict_post_hook(_follow_occupied)

    @property
    def grid(self) -> Grid:
        """What marching needs of the occupied cells."""
        near = self.near if self.frustum is None else 0.0
        return Grid(self.clear, self.dt, near, self.cone_angle)

    def cube_rays(self, rays: Rays) -> CubeRays:
        """The rays as they cross the grid's cube."""
        return CubeRays(rays) if self.frustum is None else self.frustum.cube_rays(rays, self.near)

    def forward(
        self, rays: Rays, generator: torch.Generator | None, training: bool = False
    ) -> PackedSamples:
        """Every sample of every ray; jittered when a generator is given."""
        jitter = None if generator is None else _random(generator, len(rays))
        return march(self.cube_rays(rays).lines, self.grid, jitter)[0]

    def sample_chunk(
        self,
        rays: Rays,
        first: Int[Tensor, " rays"],
        limit: int = 2**15 - 1,
        jitter: Float[Tensor, " rays"] | None = None,
    ) -> tuple[PackedSamples, Int[Tensor, " rays"]]:
        """At most `limit` samples per ray from number `first`, and where to go on (see `march`)."""
        return march(self.cube_rays(rays).lines, self.grid, jitter, first, limit)

    def sample_fixed(
        self, rays: Rays, generator: torch.Generator, capacity: int
    ) -> tuple[PackedSamples, Int[Tensor, ""]]:
        """The first `capacity` samples of the rays, and how many they have (see `march_fixed`)."""
        lines, jitter = self.cube_rays(rays).lines, _random(generator, len(rays))
        return march_fixed(lines, self.grid, jitter, capacity)

    def is_occupied(self, points: Float[Tensor, "3 points"]) -> Bool[Tensor, " points"]:
        """Whether the cell of each point is; of points beyond the largest level, the cell beside.

        Points are in scene units, in a frustum in those of its cube.
        """
        levels, res = self.covered.shape[:2]
        away, level = (points - 0.5).abs().amax(0), torch.zeros_like(points[0], dtype=torch.int64)
        for m in range(levels - 1):
            level += away > 0.5 * 2.0**m
        inside = (points - 0.5) * torch.exp2(-level.float()) + 0.5
        x, y, z = (inside * res).floor().long().clamp(0, res - 1)
        occupied: Tensor = self.occupied[level, x, y, z]
        return occupied

    def accumulate_grad(self, samples: PackedSamples, weights: Float[Tensor, " samples"]) -> None:
        """Nothing: the grid learns from densities, in `update`."""

    def update(self, step: int, density: Density, generator: torch.Generator) -> None:
        """Refresh the grid when `step` is due; steps count from 0."""
        if step % self.config.refresh_every == 0:
            self.refresh(self._due(step < self.config.warmup, generator), density, generator)

    @torch.no_grad()
    def refresh(
        self, cells: Int[Tensor, " cells"], density: Density, generator: torch.Generator
    ) -> None:
        """Decay the densities, take their maximum with that of a random point in each of `cells`.

        Then decide anew which cells are occupied.
        """
        levels, res = self.covered.shape[:2]
        grid = self.densities.view(-1)
        # With several levels a refresh covers few of the cells: the others keep their density.
        decaying = slice(None) if levels == 1 else cells
        grid[decaying] *= self.config.ema_decay
        for part in cells.split(_CHUNK):
            level, index = part // res**3, torch.stack([part // res**2, part // res, part]) % res
            points = (index + _random(generator, 3, len(part))) / res
            if levels > 1:
                points = contract((points - 0.5) * torch.exp2(level.float()) + 0.5)
            # A density that is not a number would stay in the maximum for good.
            grid[part] = torch.maximum(grid[part], density(points).nan_to_num(0.0))
        # A level's steps are about as long as its cells are wide.
        steps = self.dt * 2.0 ** torch.arange(levels, device=grid.device)[:, None]
        optical_depth = self.densities.view(levels, -1) * steps
        limit = optical_depth.mean(1, keepdim=True).clamp(max=self.config.occ_threshold)
        occupied = (optical_depth > limit).view_as(self.covered) & self.covered
        # Never empty: without a single sample no gradient could ever bring a cell back.
        self.occupy(occupied if occupied.any() else self.covered)

    def occupy(self, occupied: Bool[Tensor, "levels res res res"]) -> None:
        """Set the occupied cells and their clearance, in place."""
        self.occupied.copy_(occupied)
        self.clear.copy_(clearance(self.occupied))

    def _due(self, everything: bool, generator: torch.Generator) -> Int[Tensor, " cells"]:
        covered = self.covered.view(-1).nonzero()[:, 0]
        if everything and len(covered) <= _MOST:
            return covered
        part = min(max(len(covered) // 4, 1), _MOST // 2)
        anywhere = covered[_drawn(generator, len(covered), part)]
        occupied = self.occupied.view(-1).nonzero()[:, 0]
        if len(occupied) > part:
            occupied = occupied[_drawn(generator, len(occupied), part)]
        due: Tensor = torch.cat([anywhere, occupied]).unique()
        return due


def _follow_occupied(sampler: OccupancySampler, _: Any) -> None:
    """After loading: `clear` is not saved, for it follows from the occupied cells."""
    sampler.occupy(sampler.occupied.clone())


def _random(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device)


def _drawn(generator: torch.Generator, below: int, number: int) -> Int[Tensor, " number"]:
    return torch.randint(below, (number,), generator=generator, device=generator.device)
