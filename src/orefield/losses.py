"""Losses beside the pixels' own, with their gradients in closed form: no graph."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def distortion(
    s: Float[Tensor, " samples"],
    length: Float[Tensor, " samples"],
    weights: Float[Tensor, " samples"],
    spans: Int[Tensor, "rays 2"],
) -> tuple[Float[Tensor, ""], Float[Tensor, " samples"]]:
    """How far apart a ray's weight lies, as a mean over rays, and its gradient at the weights.

    Per ray sum_ij w_i w_j |s_i - s_j| + sum_i w_i^2 l_i / 3 (Barron et al., "Mip-NeRF 360", 2022,
    equation 15), for samples in ascending order of s, each an interval of length l. As the samples
    are in order, sums over those before and behind replace the double sum.
    """
    w, ws = weights.double(), weights.double() * s.double()
    first, count = spans[:, 0].long(), spans[:, 1].long()
    ray = torch.repeat_interleave(count)

    def before(x: Tensor) -> tuple[Tensor, Tensor]:
        """Sums of x over the samples of the same ray before each, and over all of them."""
        through = torch.nn.functional.pad(x.cumsum(0), (1, 0))
        start = through[first]
        return (through[:-1] - start[ray]), (through[first + count] - start)[ray]

    w_before, w_all = before(w)
    ws_before, ws_all = before(ws)
    w_behind, ws_behind = w_all - w_before - w, ws_all - ws_before - ws
    apart = s * (w_before - w_behind) - (ws_before - ws_behind)
    rays = max(len(spans), 1)
    loss = (w * apart + w * w * length / 3).sum() / rays
    grad = 2 * (apart + w * length / 3) / rays
    return loss.to(weights.dtype), grad.to(weights.dtype)
