"""Triton twin of the hash grid: a program has a block of samples at one level.

Levels are the launch grid's slow axis, so that at any time the programs read the rows of one or two
levels, which fit the L2 cache. A row's features lie side by side in a tile: one load of 8 or 16
bytes, and from compute capability 9.0 on one atomic addition.
"""

from functools import lru_cache

import torch
import triton
import triton.language as tl

_BLOCK = 128
_P1, _P2 = 2654435761, 805459861


@triton.jit
def cell(p_points, o_n, m_n, r):
    """Cell index and offset inside it; positions outside the cube are clamped to it."""
    b_x = tl.load(p_points + o_n, mask=m_n, other=0.0)
    b_x = tl.minimum(tl.maximum(b_x, 0.0), 1.0) * r.to(tl.float32)
    b_i = tl.minimum(tl.maximum(b_x.to(tl.int32), 0), r - 1)  # integers: a NaN's is any of them
    return b_i.to(tl.uint32), b_x - b_i.to(tl.float32)


@triton.jit
def axis(p_points, o_n, m_n, r, stride):
    """For both vertices along an axis: their part of the row number, and of the weight."""
    b_i, b_f = cell(p_points, o_n, m_n, r)  # [BLOCK] each
    b_low = b_i * stride
    return b_low, b_low + stride, 1.0 - b_f, b_f


@triton.jit
def level(p_level, F: tl.constexpr):
    """First element of a level's rows; cells per axis; how x, y and z make a row."""
    first, r, dense = tl.load(p_level), tl.load(p_level + 1), tl.load(p_level + 2)
    mask, s_y, s_z = tl.load(p_level + 3), tl.load(p_level + 4), tl.load(p_level + 5)
    return (
        F * first,
        r.to(tl.int32),
        dense != 0,
        mask.to(tl.uint32),
        s_y.to(tl.uint32),
        s_z.to(tl.uint32),
    )


@triton.jit
def row(b_x, b_add, b_xor, dense, mask, F: tl.constexpr):
    """Offset of a vertex's first feature in its level."""
    b_row = tl.where(dense, b_x + b_add, (b_x ^ b_xor) & mask)  # [BLOCK]
    return b_row.to(tl.int64) * F


@triton.jit(do_not_specialize=["samples"])
def _hash_grid_forward(
    table_ptr, points_ptr, levels_ptr, out_ptr, samples, F: tl.constexpr, BLOCK: tl.constexpr
):
    i_n, i_l = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64)
    o_n = i_n * BLOCK + tl.arange(0, BLOCK)  # [BLOCK]
    m_n = o_n < samples  # [BLOCK]
    o_f = tl.arange(0, F)  # [F]
    first, r, dense, mask, s_y, s_z = level(levels_ptr + 6 * i_l, F)
    p_y, p_z = points_ptr + samples.to(tl.int64), points_ptr + 2 * samples.to(tl.int64)
    b_x0, b_x1, b_u0, b_u1 = axis(points_ptr, o_n, m_n, r, 1)  # [BLOCK] each
    b_y0, b_y1, b_v0, b_v1 = axis(p_y, o_n, m_n, r, s_y)  # [BLOCK] each
    b_z0, b_z1, b_w0, b_w1 = axis(p_z, o_n, m_n, r, s_z)  # [BLOCK] each
    b_sum = tl.zeros([BLOCK, F], tl.float32)
    for edge in tl.static_range(4):
        b_y, b_v = (b_y1, b_v1) if edge & 1 else (b_y0, b_v0)
        b_z, b_w = (b_z1, b_w1) if edge & 2 else (b_z0, b_w0)
        b_add, b_xor, b_vw = b_y + b_z, b_y ^ b_z, b_v * b_w  # [BLOCK] each
        for end in tl.static_range(2):
            b_x, b_u = (b_x1, b_u1) if end else (b_x0, b_u0)
            o_row = first + row(b_x, b_add, b_xor, dense, mask, F)
            p_row = table_ptr + o_row[:, None] + o_f[None, :]  # [BLOCK, F]
            b_row = tl.load(p_row, mask=m_n[:, None], other=0.0)  # [BLOCK, F]
            b_sum += (b_u * b_vw)[:, None] * b_row.to(tl.float32)
    p_out = out_ptr + (F * i_l + o_f)[None, :] * samples + o_n[:, None]  # [BLOCK, F]
    tl.store(p_out, b_sum.to(out_ptr.dtype.element_ty), mask=m_n[:, None])


@triton.jit(do_not_specialize=["samples"])
def _hash_grid_backward(
    grad_ptr,
    points_ptr,
    levels_ptr,
    sink_ptr,
    samples,
    stride_f,
    stride_n,
    F: tl.constexpr,
    BLOCK: tl.constexpr,
):
    i_n, i_l = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64)
    o_n = i_n * BLOCK + tl.arange(0, BLOCK)  # [BLOCK]
    m_n = o_n < samples  # [BLOCK]
    o_f = tl.arange(0, F)  # [F]
    p_grad = grad_ptr + (F * i_l + o_f)[None, :] * stride_f + o_n[:, None] * stride_n
    b_grad = tl.load(p_grad, mask=m_n[:, None], other=0.0).to(tl.float32)  # [BLOCK, F]
    m_g = tl.sum((b_grad != 0.0).to(tl.int32), 1) > 0  # [BLOCK] has a gradient
    first, r, dense, mask, s_y, s_z = level(levels_ptr + 6 * i_l, F)
    p_y, p_z = points_ptr + samples.to(tl.int64), points_ptr + 2 * samples.to(tl.int64)
    b_x0, b_x1, b_u0, b_u1 = axis(points_ptr, o_n, m_n, r, 1)  # [BLOCK] each
    b_y0, b_y1, b_v0, b_v1 = axis(p_y, o_n, m_n, r, s_y)  # [BLOCK] each
    b_z0, b_z1, b_w0, b_w1 = axis(p_z, o_n, m_n, r, s_z)  # [BLOCK] each
    for edge in tl.static_range(4):
        b_y, b_v = (b_y1, b_v1) if edge & 1 else (b_y0, b_v0)
        b_z, b_w = (b_z1, b_w1) if edge & 2 else (b_z0, b_w0)
        b_add, b_xor, b_vw = b_y + b_z, b_y ^ b_z, b_v * b_w  # [BLOCK] each
        for end in tl.static_range(2):
            b_x, b_u = (b_x1, b_u1) if end else (b_x0, b_u0)
            o_row = first + row(b_x, b_add, b_xor, dense, mask, F)
            p_row = sink_ptr + o_row[:, None] + o_f[None, :]  # [BLOCK, F]
            b_part = (b_u * b_vw)[:, None] * b_grad  # [BLOCK, F]
            tl.atomic_add(p_row, b_part, mask=m_g[:, None], sem="relaxed")


@lru_cache(maxsize=16)
def levels(layout, device):
    """Per level: first row, resolution, dense or not, mask, and what y and z are multiplied by."""
    each = zip(layout.first, layout.resolution, layout.size, layout.dense, strict=True)
    rows = [
        (first, r, dense, size - 1, *((r + 1, (r + 1) ** 2) if dense else (_P1, _P2)))
        for first, r, size, dense in each
    ]
    return torch.tensor(rows, dtype=torch.int64, device=device)


def _programs(samples, layout):
    return triton.cdiv(samples, _BLOCK), len(layout.resolution)


def forward(table, positions, layout, dtype):
    samples = positions.shape[1]
    out = torch.empty(layout.features, samples, dtype=dtype, device=positions.device)
    points = positions.detach().contiguous().float()
    by_level = levels(layout, positions.device)
    rows, width = table.detach().contiguous(), layout.features_per_level
    if samples:
        _hash_grid_forward[_programs(samples, layout)](
            rows, points, by_level, out, samples, width, _BLOCK, enable_fp_fusion=True
        )
    return out


def backward(grad, positions, layout, sink):
    samples = positions.shape[1]
    points = positions.detach().contiguous().float()
    by_level = levels(layout, positions.device)
    # Strides, because a matrix product leaves the gradient sample-major.
    if samples:
        _hash_grid_backward[_programs(samples, layout)](
            grad, points, by_level, sink, samples, *grad.stride(),
            layout.features_per_level, _BLOCK, enable_fp_fusion=True,
        )  # fmt: skip
