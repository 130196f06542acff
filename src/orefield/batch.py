"""A batch of training rays, and how far the rendered pixels are from the photographs'."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from orefield.config import Background
from orefield.losses import distortion as spread
from orefield.ops.composite import composite_backward, composite_forward
from orefield.samplers.proposal import spacing
from orefield.scenes import PixelBank
from orefield.types import PackedSamples, Rays


class Batch(NamedTuple):
    """Rays, the colours they ought to see, and what lies behind them."""

    rays: Rays
    target: Float[Tensor, "rays 3"]
    background: Float[Tensor, "rays 3"]


def draw(bank: PixelBank, rays: int, generator: torch.Generator, background: Background) -> Batch:
    """Random pixels of the bank, over a background of the given kind; all on the bank's device."""
    drawn, rgba = bank.sample(rays, generator)
    behind = torch.empty_like(rgba[:, :3])
    if background == "random":
        behind.uniform_(generator=generator)
    else:
        behind.fill_(1.0 if background == "white" else 0.0)
    alpha = rgba[:, 3:]
    return Batch(drawn, rgba[:, :3] * alpha + behind * (1 - alpha), behind)


def pixel_loss(
    raw: Float[Tensor, "samples 4"],
    samples: PackedSamples,
    target: Float[Tensor, "rays 3"],
    background: Float[Tensor, "rays 3"],
    counted: Bool[Tensor, " rays"] | None = None,
    distortion: float = 0.0,
) -> tuple[Float[Tensor, ""], Float[Tensor, "samples 4"]]:
    """Mean squared pixel error and its gradient at the raw outputs; nothing is read back.

    No graph: with C = colour + (1 - opacity) background and e = dL/dC = 2 (C - target) / (3 rays),
    the gradients at colour and opacity are e and -e . background. Only the rays `counted` make up
    the mean, all where none are named. `distortion` adds that many times the distortion loss to the
    gradient.
    """
    pixels, tape = composite_forward(raw, samples.t, samples.dt, samples.spans)
    error = pixels.colour + (1 - pixels.opacity)[:, None] * background - target
    if counted is None:
        share: Tensor | float = 1 / max(error.numel(), 1)
    else:
        error = torch.where(counted[:, None], error, 0.0)
        share = 1 / (3 * counted.sum()).clamp(min=1)
    e = error * (2 * share)
    opacity = -(e * background).sum(1)
    weights = None
    if distortion > 0:
        half = torch.minimum(samples.dt, samples.t) / 2  # the last interval may never end
        ends = spacing(samples.t - half), spacing(samples.t + half)
        _, weights = spread((ends[0] + ends[1]) / 2, ends[1] - ends[0], tape.weights, samples.spans)
        weights *= distortion
    grad = composite_backward(tape, raw, samples.t, samples.spans, e, opacity, None, weights)
    return (error * error).sum() * share, grad
