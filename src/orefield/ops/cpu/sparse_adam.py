"""Numba twin of Adam on touched rows: one pass over the gradient, which it clears as it goes."""

import math

import numpy as np
from numba import njit, prange

from orefield.ops.sparse_adam import half_copy
from orefield.system.kernel_cache import kernel

_BLOCK = 4096


@njit(inline="always")
def _touched(grad, i):
    touched = False
    for f in range(grad.shape[1]):
        touched |= grad[i, f] != 0
    return touched


@kernel(parallel=True, fastmath=True)
def _sparse_adam(table, grad, mean, square, scale, bias, beta1, beta2, eps):
    rows = len(table)
    for block in prange((rows + _BLOCK - 1) // _BLOCK):
        for i in range(block * _BLOCK, min((block + 1) * _BLOCK, rows)):
            if _touched(grad, i):
                for f in range(grad.shape[1]):
                    g = grad[i, f]
                    mean[i, f] += (1 - beta1) * (g - mean[i, f])
                    square[i, f] += (1 - beta2) * (g * g - square[i, f])
                    table[i, f] -= scale * mean[i, f] / (math.sqrt(square[i, f] * bias) + eps)
                    grad[i, f] = 0


def sparse_adam(table, grad, mean, square, half, numbers, *constants):
    # Numba knows no 16-bit floats: the working copy, which a CPU has no use for, is torch's.
    touched = None if half is None else (grad != 0).any(1)
    tables = (v.detach().numpy() for v in (table, grad, mean, square))
    _sparse_adam(*tables, *(np.float32(v) for v in (*numbers.tolist(), *constants)))
    if half is not None:
        half[touched] = half_copy(table[touched])
