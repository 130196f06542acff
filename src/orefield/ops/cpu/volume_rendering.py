"""Numba twin of volume rendering: one forward and one reverse scan per ray, rays in parallel."""

import math

import torch
from numba import prange

from orefield.system.kernel_cache import kernel


@kernel(parallel=True)
def _volume_rendering_forward(raw, t, dt, spans, largest, color, opacity, depth, x, behind, w, rgb):
    for r in prange(len(spans)):
        first, count = spans[r, 0], spans[r, 1]
        zero = dt.dtype.type(0)
        before, thick = zero + 1, zero
        red, green, blue, mass, far = zero, zero, zero, zero, zero
        for i in range(first, first + count):
            x[i] = math.exp(min(raw[i, 0], largest)) * dt[i]
            thick += x[i]
            behind[i] = math.exp(-thick)
            w[i] = before * -math.expm1(-x[i])
            before = behind[i]
            for k in range(3):
                rgb[i, k] = 1 / (1 + math.exp(-raw[i, k + 1]))
            red += w[i] * rgb[i, 0]
            green += w[i] * rgb[i, 1]
            blue += w[i] * rgb[i, 2]
            mass += w[i]
            far += w[i] * t[i]
        color[r, 0], color[r, 1], color[r, 2] = red, green, blue
        opacity[r], depth[r] = mass, far


@kernel(parallel=True)
def _volume_rendering_backward(
    raw, t, spans, largest, x, behind, w, rgb, g_color, g_opacity, g_depth, g_weights, out
):
    for r in prange(len(spans)):
        first, count = spans[r, 0], spans[r, 1]
        after = t.dtype.type(0)
        for i in range(first + count - 1, first - 1, -1):
            v = g_opacity[r]
            for k in range(3):
                v += g_color[r, k] * rgb[i, k]
                out[i, k + 1] = g_color[r, k] * w[i] * rgb[i, k] * (1 - rgb[i, k])
            if g_depth is not None:
                v += g_depth[r] * t[i]
            if g_weights is not None:
                v += g_weights[i]
            out[i, 0] = x[i] * (behind[i] * v - after)
            if raw[i, 0] > largest:
                out[i, 0] = 0
            after += w[i] * v


def forward(raw, t, dt, spans, largest):
    samples, rays = len(t), len(spans)
    raw, t, dt = (v.contiguous() for v in (raw, t, dt))
    pixels = [raw.new_empty(rays, 3), *(raw.new_empty(rays) for _ in range(2))]
    tape = [*(raw.new_empty(samples) for _ in range(3)), raw.new_empty(samples, 3)]
    inputs, outputs = (
        [v.numpy() for v in part] for part in ((raw, t, dt, spans), (*pixels, *tape))
    )
    _volume_rendering_forward(*inputs, largest, *outputs)
    return (*pixels, tape[2]), tape


def backward(tape, raw, t, spans, largest, color, opacity, depth, weights):
    raw, t = raw.detach().contiguous(), t.contiguous()
    grads = [
        None if g is None else g.contiguous().numpy() for g in (color, opacity, depth, weights)
    ]
    out = torch.empty_like(raw)
    saved = [v.contiguous().numpy() for v in tape]
    _volume_rendering_backward(
        raw.numpy(), t.numpy(), spans.numpy(), largest, *saved, *grads, out.numpy()
    )
    return out
