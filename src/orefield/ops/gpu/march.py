"""Triton twin of marching: count each ray's samples, prefix sum, walk again and write.

A program has a block of rays, a lane each, and goes on until the last of them has ended. Walking
twice costs less than room for every sample a ray could have. Both walks are one kernel, compiled
without fused multiply-add: cells must agree with the definition bit for bit, and so must the walks.
"""

import torch
import triton
import triton.language as tl

from orefield.ops.march import DOUBLINGS
from orefield.types import PackedSamples

_BLOCK = 32
"""One warp: the fewer rays wait for the longest of them, the better."""
_FAR = tl.constexpr(1e30)
_LONGEST = tl.constexpr(1e6)
_DOUBLINGS = tl.constexpr(DOUBLINGS)


@triton.jit
def _inverse(b_d):
    return tl.where(b_d != 0.0, 1.0 / tl.where(b_d != 0.0, b_d, 1.0), _FAR)


@triton.jit
def _cell(b_x, res):
    return tl.minimum(tl.maximum((b_x * res.to(tl.float32)).to(tl.int32), 0), res - 1)


@triton.jit
def _leap(b_x, b_inverse, b_cell, b_clear, res, width):
    """Distance along the ray, in sides of the level's cube, to the far side of the empty cube round
    a cell, on one axis."""
    b_far = tl.minimum(b_cell + b_clear, res)
    b_edge = tl.where(b_inverse > 0, b_far, tl.maximum(b_cell + 1 - b_clear, 0))
    return (b_edge.to(tl.float32) * width - b_x) * b_inverse


@triton.jit
def _contracted(b_x, b_scale):
    return b_scale * (b_x * 2.0 - 1.0) / 4.0 + 0.5


@triton.jit(do_not_specialize=["rays", "res", "limit", "capacity"])
def _march(
    origins_ptr, directions_ptr, begin_ptr, leave_ptr, clear_ptr, jitter_ptr, first_ptr,
    counts_ptr, following_ptr, spans_ptr, positions_ptr, t_ptr, dt_ptr, ray_ptr,
    rays, res, dt, octave, per_octave, limit, capacity,
    LEVELS: tl.constexpr, WRITE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    i_b = tl.program_id(0).to(tl.int64)
    o_r = i_b * BLOCK + tl.arange(0, BLOCK)  # [BLOCK], as is all that follows
    m_r = o_r < rays
    b_ox = tl.load(origins_ptr + 3 * o_r, mask=m_r, other=0.0)
    b_oy = tl.load(origins_ptr + 3 * o_r + 1, mask=m_r, other=0.0)
    b_oz = tl.load(origins_ptr + 3 * o_r + 2, mask=m_r, other=0.0)
    b_dx = tl.load(directions_ptr + 3 * o_r, mask=m_r, other=0.0)
    b_dy = tl.load(directions_ptr + 3 * o_r + 1, mask=m_r, other=0.0)
    b_dz = tl.load(directions_ptr + 3 * o_r + 2, mask=m_r, other=0.0)
    b_ix, b_iy, b_iz = _inverse(b_dx), _inverse(b_dy), _inverse(b_dz)
    b_begin = tl.load(begin_ptr + o_r, mask=m_r, other=0.0)
    b_end = tl.load(leave_ptr + o_r, mask=m_r, other=-1.0)
    m_on = m_r & (b_end > 0.0)
    b_shift = tl.load(jitter_ptr + o_r, mask=m_r, other=0.0)
    b_k = tl.load(first_ptr + o_r, mask=m_r, other=0).to(tl.int32)
    b_count = tl.zeros([BLOCK], tl.int32)
    b_limit = tl.full([BLOCK], 0, tl.int32) + limit
    b_start = tl.zeros([BLOCK], tl.int64)
    if WRITE:
        b_start += tl.load(spans_ptr + 2 * o_r, mask=m_r, other=0)
        b_limit = tl.load(spans_ptr + 2 * o_r + 1, mask=m_r, other=0)
        m_on &= b_limit > 0
    width = 1.0 / res
    b_following = tl.full([BLOCK], -1, tl.int32)
    while tl.max(m_on.to(tl.int32), 0) > 0:
        b_u = b_begin + (b_k.to(tl.float32) + b_shift)
        b_doublings = tl.minimum(tl.maximum((b_u * per_octave).to(tl.int32) - 1, 0), _DOUBLINGS)
        b_step = dt * (tl.full([BLOCK], 1, tl.int32) << b_doublings).to(tl.float32)
        b_t = b_step * (b_u - b_doublings.to(tl.float32) * octave)
        m_on &= b_t < b_end
        b_t = tl.where(m_on, b_t, 0.0)
        b_x, b_y, b_z = b_ox + b_t * b_dx, b_oy + b_t * b_dy, b_oz + b_t * b_dz
        b_px, b_py, b_pz = b_x - 0.5, b_y - 0.5, b_z - 0.5
        b_away = tl.maximum(tl.maximum(tl.abs(b_px), tl.abs(b_py)), tl.abs(b_pz))
        b_level = tl.zeros([BLOCK], tl.int32)
        for level in tl.static_range(LEVELS - 1):
            b_level += (b_away > 0.5 * (1 << level)).to(tl.int32)
        b_side = (tl.full([BLOCK], 1, tl.int32) << b_level).to(tl.float32)
        b_per_side = 1.0 / b_side
        b_px, b_py, b_pz = b_px * b_per_side + 0.5, b_py * b_per_side + 0.5, b_pz * b_per_side + 0.5
        b_cx, b_cy, b_cz = _cell(b_px, res), _cell(b_py, res), _cell(b_pz, res)
        o_cell = ((b_level.to(tl.int64) * res + b_cx) * res + b_cy) * res + b_cz
        b_clear = tl.load(clear_ptr + o_cell, mask=m_on, other=1).to(tl.int32)
        m_hit = m_on & (b_clear == 0)
        m_over = m_hit & (b_count >= b_limit)
        b_following = tl.where(m_over, b_k, b_following)
        m_on &= ~m_over
        m_hit &= ~m_over
        if WRITE:
            o_s = b_start + b_count
            if LEVELS > 1:
                b_m = tl.maximum(tl.abs(b_x * 2.0 - 1.0), tl.abs(b_y * 2.0 - 1.0))
                b_m = tl.maximum(tl.maximum(b_m, tl.abs(b_z * 2.0 - 1.0)), 1.0)
                b_scale = (2.0 - 1.0 / b_m) / b_m
                b_x, b_y = _contracted(b_x, b_scale), _contracted(b_y, b_scale)
                b_z = _contracted(b_z, b_scale)
            tl.store(positions_ptr + o_s, b_x, mask=m_hit)
            tl.store(positions_ptr + capacity.to(tl.int64) + o_s, b_y, mask=m_hit)
            tl.store(positions_ptr + 2 * capacity.to(tl.int64) + o_s, b_z, mask=m_hit)
            tl.store(t_ptr + o_s, b_t, mask=m_hit)
            tl.store(dt_ptr + o_s, b_step, mask=m_hit)
            tl.store(ray_ptr + o_s, o_r.to(tl.int32), mask=m_hit)
        b_count += m_hit.to(tl.int32)
        b_ahead = tl.minimum(
            _leap(b_px, b_ix, b_cx, b_clear, res, width),
            _leap(b_py, b_iy, b_cy, b_clear, res, width),
        )
        b_ahead = tl.minimum(b_ahead, _leap(b_pz, b_iz, b_cz, b_clear, res, width))
        b_ahead = b_ahead * b_side / b_step
        b_ahead = tl.minimum(b_ahead, (b_doublings + 2).to(tl.float32) * octave - b_u)
        # It lands short of the far side and tests again, so that rounding skips no sample.
        b_leap = tl.minimum(tl.maximum(b_ahead, 1.0), _LONGEST).to(tl.int32)
        b_k += tl.where(m_hit, 1, b_leap)
    if not WRITE:
        tl.store(counts_ptr + o_r, b_count, mask=m_r)
        tl.store(following_ptr + o_r, b_following, mask=m_r)


def _run(rays, begin, leave, grid, jitter, first, limit, counted, spans, written, capacity):
    values = rays.origins, rays.directions, begin, leave, grid.clear, jitter, first
    inputs = (v.contiguous() for v in values)
    _march[(triton.cdiv(len(rays), _BLOCK),)](
        *inputs, *counted, spans, *written, len(rays), grid.clear.shape[1], grid.dt, grid.octave,
        1 / grid.octave, limit, capacity, len(grid.clear), spans is not None, _BLOCK,
        num_warps=1, enable_fp_fusion=False,
    )  # fmt: skip


def _count_samples(rays, begin, leave, grid, jitter, first, limit):
    counts = torch.zeros(len(rays), dtype=torch.int32, device=begin.device)
    following = torch.full_like(counts, -1)
    if len(rays):
        counted, nothing = (counts, following), (None,) * 4
        _run(rays, begin, leave, grid, jitter, first, limit, counted, None, nothing, 0)
    return counts, following


def _write_samples(rays, begin, leave, grid, jitter, first, spans, buffers):
    if len(rays):
        counted, capacity = (None, None), len(buffers[1])
        _run(rays, begin, leave, grid, jitter, first, 0, counted, spans, buffers, capacity)
    return PackedSamples(*buffers, spans)


def march(rays, begin, leave, grid, jitter, first, limit):
    """As many rows as there are samples: the host waits for their number once."""
    counts, following = _count_samples(rays, begin, leave, grid, jitter, first, limit)
    ends = counts.cumsum(0)
    spans = torch.stack([ends - counts, counts], 1).int()
    samples, device = int(ends[-1]) if len(rays) else 0, begin.device
    buffers = (
        torch.empty(3, samples, device=device),
        *torch.empty(2, samples, device=device),
        torch.empty(samples, dtype=torch.int32, device=device),
    )
    return _write_samples(rays, begin, leave, grid, jitter, first, spans, buffers), following


def march_fixed(rays, begin, leave, grid, jitter, capacity):
    """The first `capacity` samples, and how many there are; nothing waits for the device.

    Rows past that number are in the cube's middle, of length 0 and of ray 0. In ops/march_fixed.py
    is more about it.
    """
    first, device = torch.zeros(len(rays), dtype=torch.int32, device=begin.device), begin.device
    counts, _ = _count_samples(rays, begin, leave, grid, jitter, first, 2**31 - 1)
    ends = counts.cumsum(0).clamp(max=capacity)
    starts = torch.nn.functional.pad(ends, (1, 0))[:-1]
    spans = torch.stack([starts, ends - starts], 1).int()
    buffers = (
        torch.full((3, capacity), 0.5, device=device),
        *torch.zeros(2, capacity, device=device),
        torch.zeros(capacity, dtype=torch.int32, device=device),
    )
    samples = _write_samples(rays, begin, leave, grid, jitter, first, spans, buffers)
    return samples, counts.sum()
