"""Triton twin of the hash grid's gradient at the positions: a program has a block of samples.

It walks through all levels itself, so that each sample is summed in one fixed order.
"""

import torch
import triton
import triton.language as tl

from orefield.ops.gpu.hash_grid import axis, level, levels, row

_BLOCK = 128


@triton.jit
def _inside(p_points, o_n, m_n):
    """One where a coordinate lies in the cube, else zero."""
    b_x = tl.load(p_points + o_n, mask=m_n, other=0.0)
    return ((b_x >= 0.0) & (b_x <= 1.0)).to(tl.float32)


@triton.jit(do_not_specialize=["samples"])
def _hash_grid_positions_backward(
    grad_ptr,
    table_ptr,
    points_ptr,
    levels_ptr,
    out_ptr,
    samples,
    stride_f,
    stride_n,
    LEVELS: tl.constexpr,
    F: tl.constexpr,
    BLOCK: tl.constexpr,
):
    i_n = tl.program_id(0).to(tl.int64)
    o_n = i_n * BLOCK + tl.arange(0, BLOCK)  # [BLOCK]
    m_n = o_n < samples  # [BLOCK]
    o_f = tl.arange(0, F)  # [F]
    p_y, p_z = points_ptr + samples.to(tl.int64), points_ptr + 2 * samples.to(tl.int64)
    b_dx = tl.zeros([BLOCK], tl.float32)
    b_dy = tl.zeros([BLOCK], tl.float32)
    b_dz = tl.zeros([BLOCK], tl.float32)
    for i_l in range(LEVELS):
        p_grad = grad_ptr + (F * i_l + o_f)[None, :] * stride_f + o_n[:, None] * stride_n
        b_grad = tl.load(p_grad, mask=m_n[:, None], other=0.0).to(tl.float32)  # [BLOCK, F]
        first, r, dense, mask, s_y, s_z = level(levels_ptr + 6 * i_l, F)
        b_x0, b_x1, b_u0, b_u1 = axis(points_ptr, o_n, m_n, r, 1)  # [BLOCK] each
        b_y0, b_y1, b_v0, b_v1 = axis(p_y, o_n, m_n, r, s_y)  # [BLOCK] each
        b_z0, b_z1, b_w0, b_w1 = axis(p_z, o_n, m_n, r, s_z)  # [BLOCK] each
        for edge in tl.static_range(4):
            b_y, b_v, up_y = (b_y1, b_v1, 1.0) if edge & 1 else (b_y0, b_v0, -1.0)
            b_z, b_w, up_z = (b_z1, b_w1, 1.0) if edge & 2 else (b_z0, b_w0, -1.0)
            b_add, b_xor = b_y + b_z, b_y ^ b_z  # [BLOCK] each
            for end in tl.static_range(2):
                b_x, b_u, up_x = (b_x1, b_u1, 1.0) if end else (b_x0, b_u0, -1.0)
                o_row = first + row(b_x, b_add, b_xor, dense, mask, F)
                p_row = table_ptr + o_row[:, None] + o_f[None, :]  # [BLOCK, F]
                b_row = tl.load(p_row, mask=m_n[:, None], other=0.0)  # [BLOCK, F]
                b_value = r.to(tl.float32) * tl.sum(b_row.to(tl.float32) * b_grad, 1)  # [BLOCK]
                b_dx += up_x * b_v * b_w * b_value
                b_dy += up_y * b_u * b_w * b_value
                b_dz += up_z * b_u * b_v * b_value
    q_y, q_z = out_ptr + samples.to(tl.int64), out_ptr + 2 * samples.to(tl.int64)
    tl.store(out_ptr + o_n, b_dx * _inside(points_ptr, o_n, m_n), mask=m_n)
    tl.store(q_y + o_n, b_dy * _inside(p_y, o_n, m_n), mask=m_n)
    tl.store(q_z + o_n, b_dz * _inside(p_z, o_n, m_n), mask=m_n)


def hash_grid_positions_backward(grad, table, positions, layout):
    samples = positions.shape[1]
    points = positions.detach().contiguous().float()
    out = torch.empty_like(points)
    by_level = levels(layout, positions.device)
    if samples:
        _hash_grid_positions_backward[(triton.cdiv(samples, _BLOCK),)](
            grad, table.detach().contiguous(), points, by_level, out, samples, *grad.stride(),
            len(layout.resolution), layout.features_per_level, _BLOCK, enable_fp_fusion=True,
        )  # fmt: skip
    return out
