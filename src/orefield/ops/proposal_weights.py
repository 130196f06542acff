"""Weights that a small density network expects along rays (Barron et al. 2022, section 3).

Bins are spaced in s(t), which is t / 2 up to one box away and 1 - 1 / (2 t) from there on; the
density of a bin is that at its middle. On a CPU one kernel goes from the bins' edges to the
weights.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from orefield.ops import density_network
from orefield.ops.backend import pick
from orefield.ops.contraction import contract
from orefield.ops.density_network import DensityNet
from orefield.ops.pdf import render_weights
from orefield.ops.volume_rendering import MAX_LOG_DENSITY


def spacing(t: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """s(t), in [0, 1): 0.25 at t = 0.5, 0.5 at 1, 0.9 at 5."""
    return torch.where(t < 1, t / 2, 1 - 0.5 / t.clamp(min=1))


def distance(s: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """t(s), the inverse of `spacing`."""
    return torch.where(s < 0.5, 2 * s, 0.5 / (1 - s.clamp(min=0.5)))


def positions_along(
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    t: Float[Tensor, "rays n"],
    contracted: bool,
) -> Float[Tensor, "3 points"]:
    """Points at these distances, ray by ray: contracted, or clamped to the unit cube."""
    points = (origins.T[:, :, None] + t * directions.T[:, :, None]).flatten(1)
    return contract(points) if contracted else points.clamp(0, 1)


def definition(
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    edges: Float[Tensor, "rays edges"],
    net: DensityNet,
    contracted: bool,
) -> Float[Tensor, "rays bins"]:
    """In plain torch; under autograd for the network's parameters."""
    t = distance(edges)
    middle = (t[:, 1:] + t[:, :-1]) / 2
    positions = positions_along(origins, directions, middle, contracted)
    log = density_network.definition(positions, net)[:, 0]
    return render_weights(log.clamp(max=MAX_LOG_DENSITY).exp().view_as(middle), t)


@torch.no_grad()
def proposal_weights(
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    edges: Float[Tensor, "rays edges"],
    net: DensityNet,
    contracted: bool,
) -> Float[Tensor, "rays bins"]:
    """The rendering weight of each bin, without a graph; `edges` in s, ascending along a ray.

    `contracted`: positions of an unbounded scene are contracted, others clamped to the unit cube.
    Raises ValueError where the network's shapes contradict each other.
    """
    net.check()
    twin = pick("proposal_weights", origins)
    if twin is None:
        return definition(origins, directions, edges, net, contracted)
    weights: Tensor = twin.proposal_weights(
        origins, directions, edges, net, contracted, MAX_LOG_DENSITY
    )
    return weights
