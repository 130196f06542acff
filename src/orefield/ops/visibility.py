"""How far light gets along packed rays, from densities alone (see ops/composite.py for the terms).

Marching a scene costs little, asking the field what colour is there costs much: what this tells is
which samples can matter, before any colour is known.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from orefield.ops.backend import pick
from orefield.ops.composite import LARGEST_LOG_DENSITY

DARK = 1e-4
"""Rays end where less of their light is left (Müller et al. 2022, appendix E.2)."""


class Visibility(NamedTuple):
    """Light along the rays, as shares of what entered them."""

    reaching: Float[Tensor, " samples"]
    """T: the share of light that reaches the sample."""
    weights: Float[Tensor, " samples"]
    """w: the sample's share of the pixel."""
    left: Float[Tensor, " rays"]
    """The share that passes the ray's last sample."""


def definition(
    log_density: Float[Tensor, " samples"],
    dt: Float[Tensor, " samples"],
    spans: Int[Tensor, "rays 2"],
    before: Float[Tensor, " rays"],
) -> Visibility:
    """Ray by ray, in plain torch."""
    x = torch.exp(log_density.clamp(max=LARGEST_LOG_DENSITY)) * dt
    reaching, left = torch.empty_like(x), before.clone()
    for ray, (first, count) in enumerate(spans.tolist()):
        passed = torch.nn.functional.pad(x[first : first + count].cumsum(0), (1, 0))
        light = before[ray] * torch.exp(-passed)
        reaching[first : first + count], left[ray] = light[:-1], light[-1]
    return Visibility(reaching, reaching * -torch.expm1(-x), left)


@torch.no_grad()
def visibility(
    log_density: Float[Tensor, " samples"],
    dt: Float[Tensor, " samples"],
    spans: Int[Tensor, "rays 2"],
    before: Float[Tensor, " rays"] | None = None,
) -> Visibility:
    """Transmittance and weights of packed rays; `before` is each ray's light at its first sample.

    It is 1 where none is given. No graph. `spans` must tile the samples in order.
    Raises ValueError when the shapes do not fit together.
    """
    if log_density.shape != dt.shape or log_density.ndim != 1:
        raise ValueError(
            f"log_density and dt must be [samples], got {list(log_density.shape)} and "
            f"{list(dt.shape)}"
        )
    before = dt.new_ones(len(spans)) if before is None else before
    twin = pick("visibility", log_density)
    if twin is None:
        return definition(log_density, dt, spans, before)
    return Visibility(*twin.visibility(log_density, dt, spans, before, LARGEST_LOG_DENSITY))
