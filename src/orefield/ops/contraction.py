"""The whole of space in the unit cube (Barron et al., "Mip-NeRF 360", 2022, equation 10).

With the largest norm instead of the Euclidean one, as for a grid whose cells are cubes: the scene's
box keeps its proportions in the middle half of the cube, and what surrounds it is drawn together
into the shell round that. With c = 2 x - 1 and m = max |c_i|,
    c' = c where m <= 1, else (2 - 1 / m) c / m,        contracted = c' / 4 + 1 / 2.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def contract(positions: Float[Tensor, "3 points"]) -> Float[Tensor, "3 points"]:
    """Scene units, where the box is the unit cube, to places in the open unit cube; smooth."""
    c = 2 * positions - 1
    m = c.abs().amax(0).clamp(min=1)
    return (2 - 1 / m) / m * c / 4 + 0.5


def expand(contracted: Float[Tensor, "3 points"]) -> Float[Tensor, "3 points"]:
    """The inverse of `contract`, for places in the open unit cube."""
    c = 4 * contracted - 2
    m = c.abs().amax(0).clamp(min=1)
    outside: Tensor = c / (m * (2 - m).clamp(min=torch.finfo(m.dtype).tiny))
    return (outside + 1) / 2
