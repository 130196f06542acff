"""A hash grid and two layers, evaluated without a graph: positions to the network's outputs.

On a CPU one kernel keeps a block of samples in the cache from its positions to its outputs.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import linear

from orefield.ops import hash_grid
from orefield.ops.backend import pick
from orefield.ops.hash_grid import GridLayout


class DensityNet(NamedTuple):
    """A hash grid and two layers: geometry = out relu(hidden features) + (start, 0, ...)."""

    table: Float[Tensor, "rows length"]
    layout: GridLayout
    hidden: Float[Tensor, "width features"]
    out: Float[Tensor, "geometry width"]
    """Its first output, from `start`, is the log density."""
    start: float = 0.0

    def check(self) -> None:
        """Raise ValueError where the shapes of table, layers and layout contradict each other."""
        layout = self.layout
        if self.table.shape != layout.shape or self.hidden.shape[1] != layout.features:
            raise ValueError(
                f"table and hidden must be {list(layout.shape)} and [width, {layout.features}] "
                f"for this layout, got {list(self.table.shape)} and {list(self.hidden.shape)}"
            )


def definition(
    positions: Float[Tensor, "3 samples"], net: DensityNet
) -> Float[Tensor, "samples geometry"]:
    """In plain torch; under autograd for the network's parameters."""
    features = hash_grid.hash_grid(net.table, positions, net.layout)
    geometry = linear(linear(features.T, net.hidden).relu(), net.out)
    start = geometry.new_zeros(geometry.shape[1])
    start[0] = net.start
    return geometry + start


@torch.no_grad()
def density_network(
    positions: Float[Tensor, "3 samples"], net: DensityNet
) -> Float[Tensor, "samples geometry"]:
    """The network's outputs at positions in the unit cube (clamped to it), in fp32.

    Raises ValueError where the network's shapes contradict each other.
    """
    net.check()
    twin = pick("density_network", positions)
    if twin is None:
        return definition(positions, net)
    geometry: Tensor = twin.density_network(positions, net)
    return geometry
