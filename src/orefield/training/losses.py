"""The loss: named terms over rendered rays, each with its gradients in closed form, no graph.

To add a term, write a function from `RenderedBatch` to `Term` and name it in `TERMS`.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from orefield.ops.proposal_weights import spacing
from orefield.ops.volume_rendering import (
    Rendering,
    over_background,
    volume_rendering_backward,
    volume_rendering_forward,
)
from orefield.types import PackedSamples


class LossWeights(NamedTuple):
    """Weights of the terms beside the colors'; 0 leaves a term out."""

    depth: float = 0.0
    distortion: float = 0.0


class Exposure(NamedTuple):
    """How a camera changes the rendered light: gain * color + offset * opacity, no background."""

    gain: Float[Tensor, "rays 3"]
    offset: Float[Tensor, "rays 3"]


class Target(NamedTuple):
    """What the rays ought to see."""

    color: Float[Tensor, "rays 3"]
    """The photographs' color, in [0, 1], over the background."""
    background: Float[Tensor, "rays 3"]
    depth: Float[Tensor, " rays"] | None = None
    """Measured distances along the rays, in the units of the samples' `t`; 0 where unknown."""
    exposure: Exposure | None = None
    complete: Bool[Tensor, " rays"] | None = None
    """Rays that make up the mean; None for all."""


class RenderedBatch(NamedTuple):
    """What the terms are functions of."""

    rendering: Rendering
    samples: PackedSamples
    target: Target
    weights: LossWeights
    residual: Float[Tensor, "rays 3"]
    """Rendered less photographed pixel; 0 for rays that do not count."""
    share: float | Float[Tensor, ""]
    """1 / (3 * number of rays that count)."""


class Term(NamedTuple):
    """A weighted term of the loss, and its gradients at what volume rendering gives."""

    value: Float[Tensor, ""]
    color: Float[Tensor, "rays 3"] | None = None
    opacity: Float[Tensor, " rays"] | None = None
    depth: Float[Tensor, " rays"] | None = None
    weights: Float[Tensor, " samples"] | None = None


class PixelLoss(NamedTuple):
    """All without a graph and on the device."""

    terms: dict[str, Float[Tensor, ""]]
    """Value of each term, weighted; `color` is the mean squared error over rays and channels."""
    grad: Float[Tensor, "samples 4"]
    """Of their sum, at the raw outputs."""
    error: Float[Tensor, " rays"]
    """Squared error of each ray, summed over channels."""
    at_pixels: Float[Tensor, "rays 3"]
    """Gradient at the pixels, exposure included."""
    rendering: Rendering
    transmittance_after: Float[Tensor, " samples"]
    """T behind each sample."""


def pixel_loss(
    raw: Float[Tensor, "samples 4"],
    samples: PackedSamples,
    target: Target,
    weights: LossWeights = LossWeights(),  # noqa: B008  (immutable)
) -> PixelLoss:
    """Render, compare, and carry every term's gradient back to the raw outputs.

    Nothing is read from the device. A ray that renders to 0.5 gray where the photograph is black
    adds 3 * 0.25 to `error` and, alone in its batch, 0.25 to the term `color`.
    """
    rendering, tape = volume_rendering_forward(raw, samples.t, samples.dt, samples.spans)
    residual = _pixels(rendering, target) - target.color
    if target.complete is None:
        share: float | Tensor = 1 / max(residual.numel(), 1)
    else:
        residual = torch.where(target.complete[:, None], residual, 0.0)
        share = 1 / (3 * target.complete.sum()).clamp(min=1)
    batch = RenderedBatch(rendering, samples, target, weights, residual, share)
    terms = {name: t for name, function in TERMS.items() if (t := function(batch)) is not None}
    color, opacity, depth, at_weights = (
        _total([getattr(term, part) for term in terms.values()]) for part in Term._fields[1:]
    )
    assert color is not None  # the color term has both
    assert opacity is not None
    grad = volume_rendering_backward(
        tape, raw, samples.t, samples.spans, color, opacity, depth, at_weights
    )
    values = {name: term.value for name, term in terms.items()}
    error, at_pixels = residual.square().sum(1), residual * (2 * share)
    return PixelLoss(values, grad, error, at_pixels, rendering, tape.transmittance_after)


def color_loss(batch: RenderedBatch) -> Term:
    """Mean squared error over rays and channels.

    With the pixel gain color + offset opacity + (1 - opacity) background and e = dL/dpixel, the
    gradients at color and opacity are gain e and (offset - background) . e.
    """
    e, background = batch.residual * (2 * batch.share), batch.target.background
    exposure = batch.target.exposure
    if exposure is None:
        color, behind = e, background
    else:
        color, behind = exposure.gain * e, background - exposure.offset
    value = batch.residual.square().sum(1).sum() * batch.share
    return Term(value, color, -(e * behind).sum(1))


def depth_loss(batch: RenderedBatch) -> Term | None:
    """`calibration.depth` times the squared error of depth where it was measured."""
    weight, measured = batch.weights.depth, batch.target.depth
    if weight <= 0 or measured is None:
        return None
    if batch.target.complete is not None:
        measured = torch.where(batch.target.complete, measured, 0.0)
    rendering = batch.rendering
    value, depth, opacity = depth_error(rendering.depth, rendering.opacity, measured)
    return Term(weight * value, None, weight * opacity, weight * depth)


def distortion_loss(batch: RenderedBatch) -> Term | None:
    """`proposal.distortion` times Mip-NeRF 360's distortion, in the spacing of the proposals."""
    weight, samples = batch.weights.distortion, batch.samples
    if weight <= 0:
        return None
    half = torch.minimum(samples.dt, samples.t) / 2  # the last interval may never end
    low, high = spacing(samples.t - half), spacing(samples.t + half)
    middle, length = (low + high) / 2, high - low
    value, grad = distortion(middle, length, batch.rendering.weights, samples.spans)
    return Term(weight * value, weights=weight * grad)


TERMS: dict[str, Callable[[RenderedBatch], Term | None]] = {
    "color": color_loss,
    "depth": depth_loss,
    "distortion": distortion_loss,
}
"""Every term by its name; one that returns None is not part of the loss."""


def _pixels(rendering: Rendering, target: Target) -> Float[Tensor, "rays 3"]:
    """Rendered pixels as the cameras would have taken them, over the background."""
    color, opacity = rendering.color, rendering.opacity
    if target.exposure is not None:
        color = target.exposure.gain * color + target.exposure.offset * opacity[:, None]
    return over_background(color, opacity, target.background)


def _total(parts: list[Tensor | None]) -> Tensor | None:
    total: Tensor | None = None
    for part in parts:
        total = part if total is None else total if part is None else total + part
    return total


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
    """Squared error of depths, and its gradients at rendered depth and opacity.

    With depth = sum w t and opacity = sum w, the residual is sum w (t - measured): a ray that is
    not opaque yet is not pulled anywhere for what it lacks. A mean over all rays; those whose
    measured distance is 0, which stands for unknown, have none.
    """
    residual = torch.where(measured > 0, depth - measured * opacity, 0.0)
    share = 2 / max(len(depth), 1)
    return residual.square().mean(), share * residual, -share * residual * measured
