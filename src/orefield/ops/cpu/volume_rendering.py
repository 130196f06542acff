"""Numba twin of volume rendering: one forward and one reverse scan per ray, rays in parallel.

What is a function of one sample alone is computed for all of a task's samples first: only such a
loop becomes one of vectors.
"""

import numba
import torch
from numba import njit, prange

from orefield.ops.cpu.exponential import decay, exp
from orefield.system.kernel_cache import kernel


@njit(error_model="numpy")
def _each_sample(raw, dt, largest, x, behind, w, sigmoids):
    """Optical depths; of each sample alone, the light it lets pass and stops; its color."""
    for i in range(len(dt)):
        s = raw[i, 0]
        x[i] = exp(largest if s > largest else s) * dt[i]
    for i in range(len(dt)):
        behind[i], w[i] = decay(x[i])
    flat, flat_raw, one = sigmoids.reshape(-1), raw.reshape(-1), dt.dtype.type(1)
    for i in range(len(flat)):
        flat[i] = one / (one + exp(-flat_raw[i]))


@kernel(parallel=True, error_model="numpy")
def _volume_rendering_forward(
    raw, t, dt, spans, largest, tasks, color, opacity, depth, x, behind, w, sigmoids
):
    zero, most = dt.dtype.type(0), dt.dtype.type(largest)
    for task in prange(tasks):
        low, high = task * len(spans) // tasks, (task + 1) * len(spans) // tasks
        if low < high:
            part = slice(spans[low, 0], spans[high - 1, 0] + spans[high - 1, 1])
            _each_sample(raw[part], dt[part], most, x[part], behind[part], w[part], sigmoids[part])
        for r in range(low, high):
            first, count = spans[r, 0], spans[r, 1]
            before = zero + 1
            red, green, blue, mass, far = zero, zero, zero, zero, zero
            for i in range(first, first + count):
                w[i] *= before
                before *= behind[i]
                behind[i] = before
                red += w[i] * sigmoids[i, 1]
                green += w[i] * sigmoids[i, 2]
                blue += w[i] * sigmoids[i, 3]
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
    # The first column, of the log density, is only there to make the loop over logits one of rows.
    x, behind, w, sigmoids = *raw.new_empty(3, samples), raw.new_empty(samples, 4)
    inputs, outputs = (
        [v.numpy() for v in part]
        for part in ((raw, t, dt, spans), (*pixels, x, behind, w, sigmoids))
    )
    _volume_rendering_forward(*inputs, largest, numba.get_num_threads(), *outputs)
    return (*pixels, w), (x, behind, w, sigmoids[:, 1:])


def backward(tape, raw, t, spans, largest, color, opacity, depth, weights):
    raw, t = raw.detach().contiguous(), t.contiguous()
    grads = [
        None if g is None else g.contiguous().numpy() for g in (color, opacity, depth, weights)
    ]
    out = torch.empty_like(raw)
    saved = [v.numpy() for v in tape]
    _volume_rendering_backward(
        raw.numpy(), t.numpy(), spans.numpy(), largest, *saved, *grads, out.numpy()
    )
    return out
