"""Scene contraction: all of space in the unit cube (Barron et al., "Mip-NeRF 360", 2022, eq. 10).

With the maximum norm instead of the Euclidean one, as for a grid whose cells are cubes: the scene's
box keeps its proportions in the middle half of the cube, and everything outside of it is contracted
into the shell round that. With c = 2 x - 1 and m = max |c_i|,
    c' = c where m <= 1, else (2 - 1 / m) c / m,        contracted = c' / 4 + 1 / 2.
"""

from jaxtyping import Float
from torch import Tensor


def contract(positions: Float[Tensor, "3 points"]) -> Float[Tensor, "3 points"]:
    """Positions in scene units, whose box is the unit cube, to positions in the open unit cube.

    The first derivative is continuous. Points in the box and beside it:

        (0, 1/2, 1) -> (1/4, 1/2, 3/4)   (3/2, 1/2, 1/2) -> (7/8, 1/2, 1/2)
    """
    c = 2 * positions - 1
    m = c.abs().amax(0).clamp(min=1)
    return (2 - 1 / m) / m * c / 4 + 0.5


def uncontract(positions: Float[Tensor, "3 points"]) -> Float[Tensor, "3 points"]:
    """The inverse of `contract`: (7/8, 1/2, 1/2) -> (3/2, 1/2, 1/2). Faces lie at infinity."""
    c = 4 * (positions - 0.5)
    m = c.abs().amax(0).clamp(min=1)
    return c / m / (2 - m).clamp(min=1e-12) / 2 + 0.5
