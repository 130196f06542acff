"""Triton twin of volume rendering: a program per ray, block after block along it.

A scan that leaves out its own element is not the full scan less the element: behind a large optical
depth nothing would be left of the small ones before it. The kernels scan the neighbors' values
instead, read a second time from the cache.
"""

import torch
import triton
import triton.language as tl

BLOCK = 64
"""Samples of a ray at once: most rays have fewer in occupied cells; a wavefront on AMD."""
_SERIES = tl.constexpr(9)
_SMALL = tl.constexpr(0.25)


@triton.jit
def absorbed(b_x):
    """1 - exp(-x) for x >= 0, as exact as expm1; by its series where the difference would cancel.

    The first term left out is 0.25^9 / 10! of the whole: far below float32, and 1e-12 in float64.
    """
    b_small = tl.minimum(b_x, _SMALL)
    b_sum = tl.full(b_x.shape, 1.0, b_x.dtype)
    for term in tl.static_range(_SERIES - 1):
        b_sum = 1.0 - b_small * b_sum * (1.0 / (_SERIES - term))
    return tl.where(b_x < _SMALL, b_small * b_sum, 1.0 - tl.exp(-b_x))


@triton.jit
def optical_depth(p_log_density, dt_ptr, o_s, m_s, STRIDE: tl.constexpr, LARGEST: tl.constexpr):
    """x at these samples, 0 outside of the mask."""
    b_log = tl.load(p_log_density + STRIDE * o_s, mask=m_s, other=0.0)
    b_dt = tl.load(dt_ptr + o_s, mask=m_s, other=0.0)
    # Not tl.minimum: a NaN would come out as the largest density, and no one would know.
    return tl.exp(tl.where(b_log > LARGEST, LARGEST, b_log)) * b_dt


@triton.jit
def _channel(raw_ptr, rgb_ptr, o_s, m_s, CHANNEL: tl.constexpr):
    b_k = tl.load(raw_ptr + 4 * o_s + 1 + CHANNEL, mask=m_s, other=0.0)
    b_c = 1.0 / (1.0 + tl.exp(-b_k))
    tl.store(rgb_ptr + 3 * o_s + CHANNEL, b_c, mask=m_s)
    return b_c


@triton.jit
def _volume_rendering_forward(
    raw_ptr, t_ptr, dt_ptr, spans_ptr,
    color_ptr, opacity_ptr, depth_ptr, x_ptr, behind_ptr, w_ptr, rgb_ptr,
    LARGEST: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    i_r = tl.program_id(0).to(tl.int64)
    first = tl.load(spans_ptr + 2 * i_r).to(tl.int64)
    count = tl.load(spans_ptr + 2 * i_r + 1)
    b_none = tl.zeros([BLOCK], raw_ptr.dtype.element_ty)
    b_red, b_green, b_blue, b_mass, b_far = b_none, b_none, b_none, b_none, b_none  # [BLOCK] each
    thick = tl.sum(b_none, 0)
    start = 0
    while start < count:
        o_s = first + start + tl.arange(0, BLOCK)  # [BLOCK]
        m_s = o_s < first + count  # [BLOCK]
        b_x = optical_depth(raw_ptr, dt_ptr, o_s, m_s, 4, LARGEST)  # [BLOCK]
        b_ahead = optical_depth(
            raw_ptr, dt_ptr, o_s - 1, m_s & (o_s > first), 4, LARGEST
        )  # [BLOCK]
        b_before = thick + tl.cumsum(b_ahead, 0)  # [BLOCK] optical depth in front
        b_w = tl.exp(-b_before) * absorbed(b_x)  # [BLOCK]
        tl.store(x_ptr + o_s, b_x, mask=m_s)
        tl.store(behind_ptr + o_s, tl.exp(-(b_before + b_x)), mask=m_s)
        tl.store(w_ptr + o_s, b_w, mask=m_s)
        b_red += b_w * _channel(raw_ptr, rgb_ptr, o_s, m_s, 0)
        b_green += b_w * _channel(raw_ptr, rgb_ptr, o_s, m_s, 1)
        b_blue += b_w * _channel(raw_ptr, rgb_ptr, o_s, m_s, 2)
        b_mass += b_w
        b_far += b_w * tl.load(t_ptr + o_s, mask=m_s, other=0.0)
        thick += tl.sum(b_ahead, 0)
        start += BLOCK
    tl.store(color_ptr + 3 * i_r, tl.sum(b_red, 0))
    tl.store(color_ptr + 3 * i_r + 1, tl.sum(b_green, 0))
    tl.store(color_ptr + 3 * i_r + 2, tl.sum(b_blue, 0))
    tl.store(opacity_ptr + i_r, tl.sum(b_mass, 0))
    tl.store(depth_ptr + i_r, tl.sum(b_far, 0))


@triton.jit
def _at_weight(t_ptr, rgb_ptr, g_weights_ptr, o_s, m_s, red, green, blue, mass, far):
    """v, the loss's gradient at the weights of these samples."""
    b_v = mass + red * tl.load(rgb_ptr + 3 * o_s, mask=m_s, other=0.0)
    b_v += green * tl.load(rgb_ptr + 3 * o_s + 1, mask=m_s, other=0.0)
    b_v += blue * tl.load(rgb_ptr + 3 * o_s + 2, mask=m_s, other=0.0)
    b_v += far * tl.load(t_ptr + o_s, mask=m_s, other=0.0)
    if g_weights_ptr is not None:
        b_v += tl.load(g_weights_ptr + o_s, mask=m_s, other=0.0)
    return b_v


@triton.jit
def _channel_grad(rgb_ptr, out_ptr, o_s, m_s, b_w, g_channel, CHANNEL: tl.constexpr):
    b_c = tl.load(rgb_ptr + 3 * o_s + CHANNEL, mask=m_s, other=0.0)
    tl.store(out_ptr + 4 * o_s + 1 + CHANNEL, b_w * b_c * (1.0 - b_c) * g_channel, mask=m_s)


@triton.jit
def _volume_rendering_backward(
    raw_ptr, t_ptr, spans_ptr, x_ptr, behind_ptr, w_ptr, rgb_ptr,
    g_color_ptr, g_opacity_ptr, g_depth_ptr, g_weights_ptr, out_ptr,
    LARGEST: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    i_r = tl.program_id(0).to(tl.int64)
    first = tl.load(spans_ptr + 2 * i_r).to(tl.int64)
    count = tl.load(spans_ptr + 2 * i_r + 1)
    red, green = tl.load(g_color_ptr + 3 * i_r), tl.load(g_color_ptr + 3 * i_r + 1)
    blue, mass = tl.load(g_color_ptr + 3 * i_r + 2), tl.load(g_opacity_ptr + i_r)
    after = tl.zeros_like(mass)
    far = tl.zeros_like(mass)
    if g_depth_ptr is not None:
        far = tl.load(g_depth_ptr + i_r)
    last = first + count - 1
    start = 0
    while start < count:
        o_s = last - start - tl.arange(0, BLOCK)  # [BLOCK] from the ray's end to its beginning
        m_s = o_s >= first  # [BLOCK]
        m_n = m_s & (o_s < last)  # [BLOCK] has a next sample
        b_v = _at_weight(
            t_ptr, rgb_ptr, g_weights_ptr, o_s, m_s, red, green, blue, mass, far
        )  # [BLOCK]
        b_next = _at_weight(
            t_ptr, rgb_ptr, g_weights_ptr, o_s + 1, m_n, red, green, blue, mass, far
        )  # [BLOCK]
        b_next *= tl.load(w_ptr + o_s + 1, mask=m_n, other=0.0)
        b_after = after + tl.cumsum(b_next, 0)  # [BLOCK] sum of w v behind
        b_behind = tl.load(behind_ptr + o_s, mask=m_s, other=0.0)
        b_ds = tl.load(x_ptr + o_s, mask=m_s, other=0.0) * (b_behind * b_v - b_after)
        b_log = tl.load(raw_ptr + 4 * o_s, mask=m_s, other=0.0)
        tl.store(out_ptr + 4 * o_s, tl.where(b_log > LARGEST, 0.0, b_ds), mask=m_s)
        b_w = tl.load(w_ptr + o_s, mask=m_s, other=0.0)
        _channel_grad(rgb_ptr, out_ptr, o_s, m_s, b_w, red, 0)
        _channel_grad(rgb_ptr, out_ptr, o_s, m_s, b_w, green, 1)
        _channel_grad(rgb_ptr, out_ptr, o_s, m_s, b_w, blue, 2)
        after += tl.sum(b_next, 0)
        start += BLOCK


def forward(raw, t, dt, spans, largest):
    samples, rays = len(t), len(spans)
    raw, t, dt, spans = (v.contiguous() for v in (raw, t, dt, spans))
    pixels = [raw.new_empty(rays, 3), *(raw.new_empty(rays) for _ in range(2))]
    tape = [*(raw.new_empty(samples) for _ in range(3)), raw.new_empty(samples, 3)]
    if rays:
        _volume_rendering_forward[(rays,)](
            raw, t, dt, spans, *pixels, *tape, largest, BLOCK, num_warps=1, enable_fp_fusion=True
        )
    return (*pixels, tape[2]), tape


def backward(tape, raw, t, spans, largest, color, opacity, depth, weights):
    raw, t, spans, *tape = (v.contiguous() for v in (raw.detach(), t, spans, *tape))
    grads = (None if g is None else g.contiguous() for g in (color, opacity, depth, weights))
    out = torch.empty_like(raw)
    if len(spans):
        _volume_rendering_backward[(len(spans),)](
            raw, t, spans, *tape, *grads, out, largest, BLOCK, num_warps=1, enable_fp_fusion=True
        )
    return out
