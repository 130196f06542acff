"""Median depth: the distance at which a ray's transmittance falls to one half.

With x_i the optical depth of interval i, of length dt_i, X_i the optical depth before it, and i the
interval in which the sum passes ln 2,
    t = t_i - dt_i / 2 + dt_i (ln 2 - X_i) / x_i,
so that with c = dt_i / x_i the gradient at the log densities s is
    dt/ds_j = -c x_j for j < i,    dt/ds_i = -c (ln 2 - X_i),    0 behind.
Autograd finds just this. Depth and gradient are zero where the transmittance stays above one half.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from orefield.ops.volume_rendering import MAX_LOG_DENSITY

_OPAQUE = 64.0
"""An optical depth behind which nothing is left."""


def median_depth(
    log_density: Float[Tensor, " samples"],
    t: Float[Tensor, " samples"],
    dt: Float[Tensor, " samples"],
    spans: Int[Tensor, "rays 2"],
    before: Float[Tensor, " rays"] | None = None,
    stopped: float = 0.5,
) -> Float[Tensor, " rays"]:
    """Median distance along each ray, differentiable in the log densities.

    For another share of the light that is `stopped`, the distance where that is.

    `before` is the optical depth each ray had before its first sample here, if any: a ray may be
    rendered in chunks, and has its median in one of them. Of density 2 everywhere beyond t = 1 it
    is 1 + ln 2 / 2 = 1.347.
    """
    wanted = -math.log(1 - stopped)
    x = torch.exp(log_density.clamp(max=MAX_LOG_DENSITY)) * dt
    first, count = spans[:, 0].long(), spans[:, 1].long()
    ray = torch.repeat_interleave(count)
    # A NaN, or the endless last interval of an unbounded scene, must not reach the rays behind.
    bounded = x.double().clamp(max=_OPAQUE).nan_to_num(_OPAQUE)
    through = torch.nn.functional.pad(bounded.cumsum(0), (1, 0))
    start = through[first] if before is None else through[first] - before.double()
    ahead = (through[:-1] - start[ray]).to(x.dtype)
    crossing = ((ahead < wanted) & (ahead + x >= wanted)).nonzero()[:, 0]
    x, ahead = x[crossing], ahead[crossing]
    found = t[crossing] - dt[crossing] / 2 + dt[crossing] * (wanted - ahead) / x
    return t.new_zeros(len(spans)).index_add(0, ray[crossing], found)
