"""Triton twin of Adam on touched rows: one pass over the gradient, which it clears as it goes.

Of a row without a gradient nothing but the gradient is read.
"""

import triton
import triton.language as tl

from orefield.ops.sparse_adam import FP16_MAX

_FP16_MAX = tl.constexpr(FP16_MAX)
_BLOCK = 512


@triton.jit(do_not_specialize=["rows"])
def _sparse_adam(
    table_ptr, grad_ptr, mean_ptr, square_ptr, half_ptr, numbers_ptr, rows,
    BETA1: tl.constexpr, BETA2: tl.constexpr, EPS: tl.constexpr,
    WIDTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    o_r = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)  # [BLOCK]
    o_e = WIDTH * o_r[:, None] + tl.arange(0, WIDTH)[None, :]  # [BLOCK, WIDTH]
    b_g = tl.load(grad_ptr + o_e, mask=(o_r < rows)[:, None], other=0.0)  # [BLOCK, WIDTH]
    m_r = tl.sum((b_g != 0.0).to(tl.int32), 1) > 0  # [BLOCK] touched
    m_e = m_r[:, None]  # [BLOCK, 1]
    b_mean = tl.load(mean_ptr + o_e, mask=m_e, other=0.0)
    b_square = tl.load(square_ptr + o_e, mask=m_e, other=0.0)
    scale, bias = tl.load(numbers_ptr), tl.load(numbers_ptr + 1)
    b_mean += (1 - BETA1) * (b_g - b_mean)
    b_square += (1 - BETA2) * (b_g * b_g - b_square)
    b_table = tl.load(table_ptr + o_e, mask=m_e, other=0.0)
    b_table -= scale * b_mean / (tl.sqrt(b_square * bias) + EPS)
    tl.store(table_ptr + o_e, b_table, mask=m_e)
    tl.store(mean_ptr + o_e, b_mean, mask=m_e)
    tl.store(square_ptr + o_e, b_square, mask=m_e)
    tl.store(grad_ptr + o_e, tl.zeros_like(b_g), mask=m_e)
    if half_ptr is not None:
        b_half = tl.minimum(tl.maximum(b_table, -_FP16_MAX), _FP16_MAX)
        tl.store(half_ptr + o_e, b_half.to(half_ptr.dtype.element_ty), mask=m_e)


def sparse_adam(table, grad, mean, square, half, numbers, *constants):
    rows = len(table)
    if rows:
        _sparse_adam[(triton.cdiv(rows, _BLOCK),)](
            table.detach(),
            grad,
            mean,
            square,
            half,
            numbers,
            rows,
            *constants,
            table.shape[1],
            _BLOCK,
            enable_fp_fusion=True,
        )
