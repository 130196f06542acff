"""Triton twin of transmittance: one forward scan per ray, as in volume rendering."""

import torch
import triton
import triton.language as tl

from orefield.ops.gpu.volume_rendering import BLOCK, absorbed, optical_depth


@triton.jit
def _transmittance(
    log_ptr, dt_ptr, spans_ptr, initial_ptr, before_ptr, weights_ptr, after_ptr,
    LARGEST: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    i_r = tl.program_id(0).to(tl.int64)
    first = tl.load(spans_ptr + 2 * i_r).to(tl.int64)
    count = tl.load(spans_ptr + 2 * i_r + 1)
    initial = tl.load(initial_ptr + i_r)
    passed = tl.zeros_like(initial)  # before the block, but for the sample next to it
    whole = tl.zeros_like(initial)
    start = 0
    while start < count:
        o_s = first + start + tl.arange(0, BLOCK)  # [BLOCK]
        m_s = o_s < first + count  # [BLOCK]
        b_x = optical_depth(log_ptr, dt_ptr, o_s, m_s, 1, LARGEST)  # [BLOCK]
        b_ahead = optical_depth(
            log_ptr, dt_ptr, o_s - 1, m_s & (o_s > first), 1, LARGEST
        )  # [BLOCK]
        b_before = initial * tl.exp(-(passed + tl.cumsum(b_ahead, 0)))  # [BLOCK]
        tl.store(before_ptr + o_s, b_before, mask=m_s)
        tl.store(weights_ptr + o_s, b_before * absorbed(b_x), mask=m_s)
        passed += tl.sum(b_ahead, 0)
        whole += tl.sum(b_x, 0)
        start += BLOCK
    tl.store(after_ptr + i_r, initial * tl.exp(-whole))


def transmittance(log_density, dt, spans, initial, largest):
    inputs = (v.contiguous() for v in (log_density.detach(), dt, spans, initial))
    out = torch.empty_like(dt), torch.empty_like(dt), torch.empty_like(initial)
    if len(spans):
        _transmittance[(len(spans),)](
            *inputs, *out, largest, BLOCK, num_warps=1, enable_fp_fusion=True
        )
    return out
