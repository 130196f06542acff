"""Triton twin of compaction: count in each block, prefix sum over the blocks, write.

The host waits for nothing.
"""

import torch
import triton
import triton.language as tl

BLOCK = 1024


@triton.jit(do_not_specialize=["n"])
def _compact_count(mask_ptr, counts_ptr, n, BLOCK: tl.constexpr):
    i_b = tl.program_id(0).to(tl.int64)
    o_n = i_b * BLOCK + tl.arange(0, BLOCK)  # [BLOCK]
    b_set = tl.load(mask_ptr + o_n, mask=o_n < n, other=0) != 0  # [BLOCK]
    tl.store(counts_ptr + i_b, tl.sum(b_set.to(tl.int32), 0))


@triton.jit(do_not_specialize=["n", "capacity"])
def _compact_write(mask_ptr, ends_ptr, index_ptr, n, capacity, BLOCK: tl.constexpr):
    i_b = tl.program_id(0).to(tl.int64)
    o_n = i_b * BLOCK + tl.arange(0, BLOCK)  # [BLOCK]
    m_set = tl.load(mask_ptr + o_n, mask=o_n < n, other=0) != 0  # [BLOCK]
    b_set = m_set.to(tl.int32)
    before = tl.load(ends_ptr + i_b) - tl.sum(b_set, 0)
    o_slot = before + tl.cumsum(b_set, 0) - 1  # [BLOCK]
    tl.store(index_ptr + o_slot, o_n, mask=m_set & (o_slot < capacity))


def compact(mask, capacity):
    n, flags = len(mask), mask.contiguous().view(torch.uint8)
    index = torch.zeros(capacity, dtype=torch.int64, device=mask.device)
    if n == 0:
        return index, index.new_zeros(())
    counts = torch.empty(triton.cdiv(n, BLOCK), dtype=torch.int32, device=mask.device)
    _compact_count[(len(counts),)](flags, counts, n, BLOCK, enable_fp_fusion=True)
    ends = counts.cumsum(0)
    _compact_write[(len(counts),)](flags, ends, index, n, capacity, BLOCK, enable_fp_fusion=True)
    return index, ends[-1].clamp(max=capacity)
