"""Transmittance along packed rays, from densities alone (terms as in ops/volume_rendering.py).

Evaluating densities costs little, evaluating colors costs much: transmittance tells which samples
are visible before any color is known.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from orefield.ops.backend import pick
from orefield.ops.volume_rendering import MAX_LOG_DENSITY

MIN_TRANSMITTANCE = 1e-4
"""Rays end once T falls below this (Müller et al. 2022, appendix E.2)."""


class RayTransmittance(NamedTuple):
    """Transmittance before each sample and after each ray, and the samples' weights."""

    before: Float[Tensor, " samples"]
    """T_i: transmittance from the ray's start to the sample's interval."""
    weights: Float[Tensor, " samples"]
    """w_i = T_i (1 - exp(-x_i)): the sample's share of the pixel."""
    after: Float[Tensor, " rays"]
    """Transmittance past the ray's last sample."""


def definition(
    log_density: Float[Tensor, " samples"],
    dt: Float[Tensor, " samples"],
    spans: Int[Tensor, "rays 2"],
    initial: Float[Tensor, " rays"],
) -> RayTransmittance:
    """Ray by ray, in plain torch."""
    optical_depth = torch.exp(log_density.clamp(max=MAX_LOG_DENSITY)) * dt
    before, after = torch.empty_like(optical_depth), initial.clone()
    for ray, (first, count) in enumerate(spans.tolist()):
        passed = optical_depth[first : first + count].cumsum(0)
        t = initial[ray] * torch.exp(-torch.nn.functional.pad(passed, (1, 0)))
        before[first : first + count], after[ray] = t[:-1], t[-1]
    return RayTransmittance(before, before * -torch.expm1(-optical_depth), after)


@torch.no_grad()
def transmittance(
    log_density: Float[Tensor, " samples"],
    dt: Float[Tensor, " samples"],
    spans: Int[Tensor, "rays 2"],
    initial: Float[Tensor, " rays"] | None = None,
) -> RayTransmittance:
    """Transmittance and weights of packed rays, without a graph.

    `initial` is each ray's transmittance before its first sample, 1 where none is given. `spans`
    must tile the samples in order. One ray with two samples of optical depth ln 2:

        transmittance(log(2 ln 2) twice, dt = 0.5 twice)
        before = [1, 0.5]    weights = [0.5, 0.25]    after = [0.25]

    Raises ValueError when the shapes do not fit together.
    """
    if log_density.shape != dt.shape or log_density.ndim != 1:
        raise ValueError(
            f"log_density and dt must be [samples], got {list(log_density.shape)} and "
            f"{list(dt.shape)}"
        )
    initial = dt.new_ones(len(spans)) if initial is None else initial
    twin = pick("transmittance", log_density)
    if twin is None:
        return definition(log_density, dt, spans, initial)
    return RayTransmittance(*twin.transmittance(log_density, dt, spans, initial, MAX_LOG_DENSITY))
