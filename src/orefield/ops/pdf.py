"""Histograms along rays: their weights, and how one bounds another.

All rays have as many bins; a histogram's edges are `[rays, bins + 1]`, in ascending order. Plain
torch, under autograd where the densities have a graph.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def render_weights(
    density: Float[Tensor, "rays bins"], edges: Float[Tensor, "rays edges"]
) -> Float[Tensor, "rays bins"]:
    """Weight of each bin, `T (1 - exp(-density length))` (Mildenhall et al. 2020, equation 3).

    Two bins of length 1 and density ln 2: [0.5, 0.25].
    """
    optical_depth = density * edges.diff(dim=1)
    before = torch.nn.functional.pad(optical_depth.cumsum(1), (1, 0))[:, :-1]
    return torch.exp(-before) * -torch.expm1(-optical_depth)


def interlevel_loss(
    edges: Float[Tensor, "rays ends"],
    weights: Float[Tensor, "rays fine"],
    coarse_edges: Float[Tensor, "rays coarse_ends"],
    coarse: Float[Tensor, "rays coarse"],
) -> Float[Tensor, ""]:
    """By how much weights exceed what a coarse histogram allows (Barron et al. 2022, eq. 13).

    A bin is allowed the weight of all coarse bins that it touches. Zero exactly where every bin
    keeps to it; a sum over bins, a mean over rays. One bin of weight 0.6 that touches two coarse
    ones of 0.2 and 0.3: (0.6 - 0.5)^2 / 0.6 = 0.0167.
    """
    total = torch.nn.functional.pad(coarse.cumsum(1), (1, 0))
    last = coarse.shape[1]
    begins, ends = edges[:, :-1].contiguous(), edges[:, 1:].contiguous()
    first = torch.searchsorted(coarse_edges.contiguous(), begins, right=True) - 1
    after = torch.searchsorted(coarse_edges.contiguous(), ends)
    first, after = first.clamp(0, last), after.clamp(0, last)
    allowed = total.gather(1, after) - total.gather(1, first)
    return ((weights - allowed).clamp(min=0) ** 2 / (weights + 1e-7)).sum() / max(len(edges), 1)
