"""Samples drawn from histograms along rays: the inverse CDF at equal steps (Barron et al. 2022).

All rays have as many bins; a histogram's edges are `[rays, bins + 1]`, in ascending order.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from orefield.ops.backend import pick

PADDING = 0.01
"""Weight added to every bin before drawing, so that no part of a ray is left out for good."""


def definition(
    edges: Float[Tensor, "rays edges"],
    weights: Float[Tensor, "rays bins"],
    number: int,
    jitter: Float[Tensor, " rays"],
) -> Float[Tensor, "rays drawn"]:
    """In plain torch, with a search for each step."""
    padded = weights + PADDING
    cdf = torch.nn.functional.pad((padded / padded.sum(1, keepdim=True)).cumsum(1), (1, 0))
    u = (torch.arange(number + 1, device=cdf.device) + jitter[:, None]) / (number + 1)
    right = torch.searchsorted(cdf, u.contiguous(), right=True).clamp(1, weights.shape[1])
    below, above = cdf.gather(1, right - 1), cdf.gather(1, right)
    low, high = edges.gather(1, right - 1), edges.gather(1, right)
    share = ((u - below) / (above - below).clamp(min=1e-9)).clamp(0, 1)
    return low + share * (high - low)


@torch.no_grad()
def sample_pdf(
    edges: Float[Tensor, "rays edges"],
    weights: Float[Tensor, "rays bins"],
    number: int,
    jitter: Float[Tensor, " rays"] | None = None,
) -> Float[Tensor, "rays drawn"]:
    """Edges of `number` new bins, dense where weight is, without a graph.

    `jitter` in [0, 1) shifts all steps of a ray within their stratum, by half a stratum if absent.
    Equal weights between the edges 2 and 4, number = 4: [2.2, 2.6, 3.0, 3.4, 3.8]. Raises
    ValueError unless there is one edge more than bins, and a bin.
    """
    if weights.shape[1] < 1 or edges.shape != (len(weights), weights.shape[1] + 1):
        shapes = f"edges {tuple(edges.shape)}, weights {tuple(weights.shape)}"
        raise ValueError(f"expected a bin or more and one edge more than bins, got {shapes}")
    jitter = edges.new_full((len(edges),), 0.5) if jitter is None else jitter
    twin = pick("sample_pdf", edges)
    if twin is None:
        return definition(edges, weights, number, jitter)
    drawn: Tensor = twin.sample_pdf(edges, weights, number, jitter, PADDING)
    return drawn
