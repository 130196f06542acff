"""Matrix products of a block of samples, in registers: what the networks' kernels are made of.

Rows of a product are samples, or a layer's outputs where gradients of weights are summed over
samples. The last axis of the second factor is what a vector's lanes are, so that forward pass,
backward pass and gradients of weights are one function. As in vectors.py, the Python body of `tile`
says what compiled code does.
"""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from orefield.ops.cpu.vectors import LANES, integer, lift, multiply_add, spread

ROWS = 4
"""Rows that `tile` works on at once: 4 x 16 sums fit the registers of AVX2. With 8, AVX-512 is 6 %
faster, and AVX2 takes 2.5 times as long."""
_FLOAT = ir.FloatType()


def padded(weights):
    """A copy in fp32 with rows and columns of zeros, up to whole vectors of both."""
    high, wide = weights.shape
    held = np.zeros((-(-high // LANES) * LANES, -(-wide // LANES) * LANES), np.float32)
    held[:high, :wide] = weights
    return held


def tile(a, b, row, column, out, add):
    """Four rows and sixteen columns of a @ b, from `row` and `column` on, into the same of `out`.

    They are added to what is there if `add`. The last axis of b and out is contiguous; all fp32.
    """
    rows, columns = slice(row, row + ROWS), slice(column, column + LANES)
    found = a[rows] @ b[:, columns]
    out[rows, columns] = out[rows, columns] + found if add else found


@overload(tile, inline="always")
def _tile_compiled(a, b, row, column, out, add):
    return lambda a, b, row, column, out, add: _tile(a, b, row, column, out, add)


@njit
def multiply(a, b, out, add=False):
    """out = a @ b, or out += a @ b; a has fours of rows and b sixteens of columns."""
    for column in range(0, b.shape[1], LANES):
        for row in range(0, a.shape[0], ROWS):
            tile(a, b, row, column, out, add)


@njit
def rectify(x):
    """Replace what is below zero by zero; a NaN stays."""
    for row in range(x.shape[0]):
        for column in range(x.shape[1]):
            x[row, column] = np.float32(0) if x[row, column] < 0 else x[row, column]


@njit
def rectify_backward(grad, x):
    """Replace the gradient by zero where x, which was rectified, is not above zero."""
    for row in range(x.shape[0]):
        for column in range(x.shape[1]):
            grad[row, column] = np.float32(0) if x[row, column] <= 0 else grad[row, column]


@intrinsic
def _tile(typing, a, b, row, column, out, add):
    def generate(context, builder, signature, values):
        a, b, row, column, out, add = lift(context, builder, signature, values)
        vector = ir.VectorType(_FLOAT, LANES)
        zero = ir.Constant(vector, [0.0] * LANES)
        rows = [builder.add(row, integer(k)) for k in range(ROWS)]
        sums = [cgutils.alloca_once_value(builder, zero) for _ in rows]
        with cgutils.for_range(builder, b.lengths[0]) as loop:
            weights = b.load(vector, loop.index, column)
            for r, total in zip(rows, sums, strict=True):
                x = spread(builder, a.load(_FLOAT, r, loop.index), vector)
                builder.store(multiply_add(builder, x, weights, builder.load(total)), total)
        with builder.if_then(add):
            for r, total in zip(rows, sums, strict=True):
                builder.store(builder.fadd(builder.load(total), out.load(vector, r, column)), total)
        for r, total in zip(rows, sums, strict=True):
            out.store(builder.load(total), r, column)
        return context.get_dummy_value()

    return types.void(a, b, row, column, out, add), generate
