"""The proposal sampler's network: a small hash grid and MLP that give a rough density."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear

from orefield.ops.hash_grid import grid_layout, hash_grid
from orefield.ops.volume_rendering import MAX_LOG_DENSITY

LEVELS = 5
BASE_RESOLUTION = 16
WIDTH = 16


class DensityNetwork(nn.Module):
    """A hash grid of few levels and one hidden layer."""

    def __init__(
        self, log2_hashmap_size: int, max_resolution: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.layout = grid_layout(LEVELS, log2_hashmap_size, BASE_RESOLUTION, max_resolution)

        def uniform(*shape: int) -> Tensor:
            return torch.rand(*shape, generator=generator) * 2 - 1

        self.table = nn.Parameter(uniform(*self.layout.shape) * 1e-4)
        inputs = self.layout.features
        self.hidden = nn.Parameter(uniform(WIDTH, inputs) * (6 / (WIDTH + inputs)) ** 0.5)
        self.out = nn.Parameter(uniform(1, WIDTH) * (6 / (WIDTH + 1)) ** 0.5)

    def forward(self, positions: Float[Tensor, "3 points"]) -> Float[Tensor, " points"]:
        """Density per scene unit, at positions in the unit cube."""
        features = hash_grid(self.table, positions, self.layout, torch.float32)
        log = linear(linear(features.T, self.hidden).relu(), self.out)[:, 0]
        return log.clamp(max=MAX_LOG_DENSITY).exp()
