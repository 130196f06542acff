"""Batches of training rays, and what they ought to see."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from orefield.config import RunConfig
from orefield.mining import ErrorTiles
from orefield.ops.volume_rendering import over_background
from orefield.scenes import PixelSampler
from orefield.types import Rays


class RayBatch(NamedTuple):
    """Rays, the colors they ought to see, and what lies behind them."""

    rays: Rays
    target: Float[Tensor, "rays 3"]
    """In [0, 1], over the background."""
    background: Float[Tensor, "rays 3"]
    view: Int[Tensor, " rays"]
    """Index of the training image that each ray belongs to."""
    depth: Float[Tensor, " rays"] | None = None
    """Measured distances along the rays in scene units, 0 where unknown."""
    tile: Int[Tensor, " rays"] | None = None
    """Tile that each pixel was drawn from; None where pixels are drawn uniformly."""


class RayBatchSampler(nn.Module):
    """Random batches of training rays: uniform, or more from tiles rendered badly.

    Which of both is `mining.pixel_sampling` (see mining/error_tiles.py).
    """

    def __init__(self, pixels: PixelSampler, config: RunConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.pixels, self.background, self.generator = pixels, config.optim.background, generator
        by_error = config.mining.samples_pixels_by_error
        self.tiles = ErrorTiles(pixels.tiles).to(generator.device) if by_error else None

    def draw(self, rays: int) -> RayBatch:
        """So many rays through random pixels, each over its background (`optim.background`)."""
        tile = None
        if self.tiles is None:
            drawn = self.pixels.sample(rays, self.generator)
        else:
            tile = self.tiles.draw(rays, self.generator)
            drawn = self.pixels.fetch(self.pixels.in_tiles(tile, self.generator))
        background = torch.empty_like(drawn.rgba[:, :3])
        if self.background == "random":
            background.uniform_(generator=self.generator)
        else:
            background.fill_(1.0 if self.background == "white" else 0.0)
        alpha = drawn.rgba[:, 3]
        target = over_background(drawn.rgba[:, :3] * alpha[:, None], alpha, background)
        return RayBatch(drawn.rays, target, background, drawn.view, drawn.depth, tile)

    def record(self, batch: RayBatch, error: Float[Tensor, " rays"]) -> None:
        """The rays' squared errors, from which later draws learn; NaN is not recorded."""
        if self.tiles is not None and batch.tile is not None:
            self.tiles.record(batch.tile, error)

    def update(self, step: int) -> None:
        """To be called after step number `step`, outside of what is replayed as a graph."""
        if self.tiles is not None:
            self.tiles.update(step)
