"""The hash grid's gradient at the positions (see hash_grid.py), for cameras that are optimized.

Within a cell, features are trilinear in the position: the derivative along an axis is the
difference of the mixes on the two faces across it, times the cells per unit. At a position outside
the cube, which is clamped, it is zero along the axes that leave it.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from orefield.ops import hash_grid
from orefield.ops.backend import pick
from orefield.ops.hash_grid import GridLayout


def definition(
    grad: Float[Tensor, "features samples"],
    table: Float[Tensor, "rows width"],
    positions: Float[Tensor, "3 samples"],
    layout: GridLayout,
) -> Float[Tensor, "3 samples"]:
    """By autograd through the hash grid's definition."""
    with torch.enable_grad():
        x = positions.detach().requires_grad_()
        features = hash_grid.definition(table.detach(), x, layout)
        (found,) = torch.autograd.grad(features, x, grad.to(features.dtype))
    return found


def hash_grid_positions_backward(
    grad: Float[Tensor, "features samples"],
    table: Float[Tensor, "rows width"],
    positions: Float[Tensor, "3 samples"],
    layout: GridLayout,
) -> Float[Tensor, "3 samples"]:
    """dL/dpositions, given dL/dfeatures."""
    twin = pick("hash_grid_positions", positions)
    run = definition if twin is None else twin.hash_grid_positions_backward
    found: Tensor = run(grad, table, positions, layout)
    return found
