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


def depth_error(
    depth: Float[Tensor, " rays"],
    opacity: Float[Tensor, " rays"],
    measured: Float[Tensor, " rays"],
) -> tuple[Float[Tensor, ""], Float[Tensor, " rays"], Float[Tensor, " rays"]]:
    """Squared error of depths, and its gradients at composited depth and opacity.

    With depth = sum w t and opacity = sum w, the residual is sum w (t - measured): a ray that is
    not opaque yet is not pulled anywhere for what it lacks. A mean over all rays; those whose
    measured distance is 0, which stands for unknown, have none.
    """
    residual = torch.where(measured > 0, depth - measured * opacity, 0.0)
    share = 2 / max(len(depth), 1)
    return residual.square().mean(), share * residual, -share * residual * measured
