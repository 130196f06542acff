"""Volume rendering of packed rays (Mildenhall et al., "NeRF", 2020, equation 3).

For sample i of a ray, with raw outputs (s, k) = (log density, color logits), length dt, t away:
    x = exp(min(s, 15)) dt        optical depth
    T = exp(-sum_{j<i} x_j)       transmittance before the sample
    w = T (1 - exp(-x))           its weight in the pixel; per ray, w sums to at most 1
    c = sigmoid(k)                its color
A pixel is color = sum w c (no background), opacity = sum w, depth = sum w t.

The backward pass is a plain function, because mining needs dL/draw without a graph. With
v_i = gC . c_i + gO + gD t_i + gw_i, the gradient of the loss at w_i, one reverse scan per ray gives
    dL/ds_i = x_i (T_{i+1} v_i - sum_{j>i} w_j v_j),        dL/dk_i = w_i c_i (1 - c_i) gC.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from orefield.ops.backend import pick

MAX_LOG_DENSITY = 15.0


def over_background(
    color: Float[Tensor, "*shape 3"],
    opacity: Float[Tensor, "*shape"],
    background: float | Float[Tensor, "*shape 3"],
) -> Float[Tensor, "*shape 3"]:
    """A premultiplied color over a background: color + (1 - opacity) background.

    Color (0.3, 0, 0) of opacity 0.5 over white: (0.8, 0.5, 0.5).
    """
    return color + (1 - opacity)[..., None] * background


class Rendering(NamedTuple):
    """Pixels of a batch of rays, without a background, and the weights of their samples."""

    color: Float[Tensor, "rays 3"]
    opacity: Float[Tensor, " rays"]
    depth: Float[Tensor, " rays"]
    weights: Float[Tensor, " samples"]


class Tape(NamedTuple):
    """What the backward pass reads: x, T after the sample, w and c of every sample."""

    optical_depth: Float[Tensor, " samples"]
    transmittance_after: Float[Tensor, " samples"]
    weights: Float[Tensor, " samples"]
    rgb: Float[Tensor, "samples 3"]


def definition(
    raw: Float[Tensor, "samples 4"],
    t: Float[Tensor, " samples"],
    dt: Float[Tensor, " samples"],
    spans: Int[Tensor, "rays 2"],
) -> Rendering:
    """Pixels ray by ray, in plain torch under autograd."""
    color, opacity, depth, weights = [], [], [], []
    for first, count in spans.tolist():
        part = slice(first, first + count)
        x = torch.exp(raw[part, 0].clamp(max=MAX_LOG_DENSITY)) * dt[part]
        # Not x.cumsum(0) - x: behind a large x nothing would be left of small ones before it.
        before = torch.nn.functional.pad(x.cumsum(0), (1, 0))[:-1]
        w = torch.exp(-before) * -torch.expm1(-x)
        color.append((w[:, None] * torch.sigmoid(raw[part, 1:])).sum(0))
        opacity.append(w.sum())
        depth.append((w * t[part]).sum())
        weights.append(w)
    if not color:
        return Rendering(raw.new_zeros(0, 3), raw.new_zeros(0), raw.new_zeros(0), raw.new_zeros(0))
    return Rendering(
        torch.stack(color), torch.stack(opacity), torch.stack(depth), torch.cat(weights)
    )


def volume_rendering(
    raw: Float[Tensor, "samples 4"],
    t: Float[Tensor, " samples"],
    dt: Float[Tensor, " samples"],
    spans: Int[Tensor, "rays 2"],
) -> Rendering:
    """Pixels of packed rays, with gradients of every output for `raw`.

    `spans` must tile the samples in order: spans[r] starts where spans[r-1] ends. One ray with two
    gray samples (logits 0) of optical depth ln 2, at t = 1 and t = 2:

        weights = [0.5, 0.25]    opacity = 0.75    depth = 1.0    color = (0.375, 0.375, 0.375)

    Raises ValueError when the shapes or spans do not fit together.
    """
    _check(raw, t, dt, spans)
    if pick("volume_rendering", raw) is None:
        return definition(raw, t, dt, spans)
    return Rendering(*_VolumeRendering.apply(raw, t, dt, spans))


def volume_rendering_forward(
    raw: Float[Tensor, "samples 4"],
    t: Float[Tensor, " samples"],
    dt: Float[Tensor, " samples"],
    spans: Int[Tensor, "rays 2"],
) -> tuple[Rendering, Tape]:
    """Pixels and the tape for `volume_rendering_backward`, without a graph."""
    twin = pick("volume_rendering", raw)
    if twin is not None:
        pixels, tape = twin.forward(raw.detach(), t, dt, spans, MAX_LOG_DENSITY)
        return Rendering(*pixels), Tape(*tape)
    with torch.no_grad():
        pixels = definition(raw, t, dt, spans)
        x = torch.exp(raw[:, 0].clamp(max=MAX_LOG_DENSITY)) * dt
        parts = [x[first : first + count].cumsum(0) for first, count in spans.tolist()]
        behind = torch.exp(-torch.cat(parts)) if parts else x
        return pixels, Tape(x, behind, pixels.weights, torch.sigmoid(raw[:, 1:]))


def volume_rendering_backward(
    tape: Tape,
    raw: Float[Tensor, "samples 4"],
    t: Float[Tensor, " samples"],
    spans: Int[Tensor, "rays 2"],
    color: Float[Tensor, "rays 3"],
    opacity: Float[Tensor, " rays"],
    depth: Float[Tensor, " rays"] | None = None,
    weights: Float[Tensor, " samples"] | None = None,
) -> Float[Tensor, "samples 4"]:
    """dL/draw from the loss's gradients at color, opacity and, if given, depth and weights."""
    twin = pick("volume_rendering", raw)
    if twin is not None:
        grads = (color, opacity, depth, weights)
        grad: Tensor = twin.backward(tape, raw, t, spans, MAX_LOG_DENSITY, *grads)
        return grad
    ray = torch.repeat_interleave(spans[:, 1])
    v = (color[ray] * tape.rgb).sum(1) + opacity[ray]
    v = v if depth is None else v + depth[ray] * t
    v = v if weights is None else v + weights
    after = torch.zeros_like(v)
    for first, count in spans.tolist():
        part = slice(first, first + count)
        wv = (tape.weights * v)[part]
        after[part] = wv.flip(0).cumsum(0).flip(0) - wv
    ds = (
        tape.optical_depth * (tape.transmittance_after * v - after) * (raw[:, 0] <= MAX_LOG_DENSITY)
    )
    dk = (tape.weights[:, None] * tape.rgb * (1 - tape.rgb)) * color[ray]
    return torch.cat([ds[:, None], dk], 1)


def _check(raw: Tensor, t: Tensor, dt: Tensor, spans: Tensor) -> None:
    samples = t.shape[0]
    if raw.shape != (samples, 4) or dt.shape != (samples,):
        raise ValueError(
            f"raw must be [samples, 4], t and dt [samples]; got {list(raw.shape)}, "
            f"{list(t.shape)}, {list(dt.shape)}"
        )
    if spans.device.type != "cpu":
        return  # reading them would make the host wait
    ends = spans.sum(1)
    tiles = (spans[1:, 0] == ends[:-1]).all() and (spans[:, 1] >= 0).all()
    whole = spans[0, 0] == 0 and ends[-1] == samples if len(spans) else samples == 0
    if not (tiles and whole):
        raise ValueError(f"spans must tile the {samples} samples in order, without gaps")


class _VolumeRendering(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, raw: Tensor, t: Tensor, dt: Tensor, spans: Tensor) -> Rendering:
        pixels, tape = volume_rendering_forward(raw, t, dt, spans)
        ctx.save_for_backward(raw, t, spans, *tape)
        return pixels

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        raw, t, spans, *tape = ctx.saved_tensors
        return volume_rendering_backward(Tape(*tape), raw, t, spans, *grads), None, None, None
