"""Numba twin of Adam on touched rows: one pass over the gradient, which it clears as it goes."""

import numpy as np
from numba import prange

from orefield.ops.cpu.vectors import adam, as_rows
from orefield.ops.sparse_adam import half_copy
from orefield.system.kernel_cache import kernel

_BLOCK = 4096


@kernel(parallel=True)
def _sparse_adam(table, grad, mean, square, numbers):
    rows = len(table)
    for block in prange((rows + _BLOCK - 1) // _BLOCK):
        for i in range(block * _BLOCK, min((block + 1) * _BLOCK, rows)):
            adam(table, grad, mean, square, i, numbers)


def sparse_adam(table, grad, mean, square, half, numbers, beta1, beta2, epsilon):
    # Numba knows no 16-bit floats: the working copy, which a CPU has no use for, is torch's.
    touched = None if half is None else (grad != 0).any(1)
    tables = (as_rows(v) for v in (table, grad, mean, square))
    scalars = (*numbers.tolist(), 1 - beta1, 1 - beta2, epsilon)
    _sparse_adam(*tables, tuple(np.float32(v) for v in scalars))
    if half is not None:
        half[touched] = half_copy(table[touched])
