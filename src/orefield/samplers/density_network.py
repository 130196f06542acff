"""The proposal sampler's network: a small hash grid and MLP that give a rough density."""

import torch
from torch import Tensor, nn

from orefield.ops.density_network import DensityNet
from orefield.ops.hash_grid import grid_layout

FEATURES = 4
"""Of a level: few wide levels are as good as many narrow ones, and cost less."""
BASE_RESOLUTION = 16
WIDTH = 16


class DensityNetwork(nn.Module):
    """A hash grid of few levels and one hidden layer."""

    def __init__(
        self, levels: int, log2_hashmap_size: int, max_resolution: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        size = levels, log2_hashmap_size, BASE_RESOLUTION, max_resolution
        self.layout = grid_layout(*size, FEATURES)

        def uniform(*shape: int) -> Tensor:
            return torch.rand(*shape, generator=generator) * 2 - 1

        self.table = nn.Parameter(uniform(*self.layout.shape) * 1e-4)
        inputs = self.layout.features
        self.hidden = nn.Parameter(uniform(WIDTH, inputs) * (6 / (WIDTH + inputs)) ** 0.5)
        self.out = nn.Parameter(uniform(1, WIDTH) * (6 / (WIDTH + 1)) ** 0.5)

    @property
    def net(self) -> DensityNet:
        """The parameters, for the ops."""
        return DensityNet(self.table, self.layout, self.hidden, self.out)
