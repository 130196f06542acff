"""Products in bf16, summed in fp32, by the instruction that multiplies pairs (AVX-512 BF16).

It takes 0.62 of the time of products in fp32 (Zen 4, 64 samples by 64 by 64, rounding included).
`apply` is the product of a layer: in bf16 where its weights are held as `pairs`, else in fp32. As
in vectors.py, its Python body says what compiled code does.
"""

import numpy as np
import torch
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from orefield.ops.cpu.product import multiply
from orefield.ops.cpu.vectors import LANES, integer, lift, spread

MULTIPLIES_PAIRS = bool(get_host_cpu_features().get("avx512bf16"))
"""Whether the processor has the instruction; the only place that decides."""
_ROWS = 8
"""Rows that a tile has; AVX-512 has registers for 8 x 32 sums."""
_INSTRUCTION = "llvm.x86.avx512bf16.dpbf16ps.512"
_INT32 = ir.IntType(32)
_VECTOR, _HELD = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(_INT32, LANES)


def pairs(weights):
    """Weights [inputs, outputs] in bf16: element [k, n] is those of inputs 2 k and 2 k + 1."""
    bits = weights.view(np.uint32)
    rounded = bits + (0x7FFF + (bits >> 16 & 1))  # to nearest even, in the upper half
    return (rounded[::2] >> 16 | rounded[1::2] & 0xFFFF0000).view(np.int32)


def apply(x, weights, out, room):
    """out = x @ weights, for whole eights of rows and sixteens of columns.

    The weights are fp32, or `pairs`; then x is rounded too, into `room`, of 16 bits a number.
    """
    if weights.dtype == np.float32:
        out[:] = x @ weights
        return
    rounded = torch.from_numpy(weights).view(torch.bfloat16).view(*weights.shape, 2)
    whole = rounded.transpose(1, 2).reshape(x.shape[1], -1).float().numpy()
    out[:] = torch.from_numpy(x).bfloat16().float().numpy() @ whole


@overload(apply)
def _apply_compiled(x, weights, out, room):
    if weights.dtype == types.float32:
        return lambda x, weights, out, room: multiply(x, weights, out)

    def in_pairs(x, weights, out, room):
        for row in range(x.shape[0]):
            for column in range(0, x.shape[1], LANES):
                _round(x, row, column, room)
        whole = weights.shape[1] // (2 * LANES) * 2 * LANES
        for row in range(0, x.shape[0], _ROWS):
            for column in range(0, whole, 2 * LANES):
                _wide_tile(room, weights, row, column, out)
            for column in range(whole, weights.shape[1], LANES):
                _narrow_tile(room, weights, row, column, out)

    return in_pairs


class _Bfloat(ir.Type):
    """LLVM's bfloat, which llvmlite does not name."""

    def _to_string(self):
        return "bfloat"

    def __eq__(self, other):
        return isinstance(other, _Bfloat)

    def __hash__(self):
        return hash(_Bfloat)


_ROUNDED, _PAIRS = ir.VectorType(_Bfloat(), LANES), ir.VectorType(_Bfloat(), 2 * LANES)


@intrinsic
def _round(typing, x, row, column, out):
    """Sixteen numbers of a row, rounded to nearest even."""

    def generate(context, builder, signature, values):
        x, row, column, out = lift(context, builder, signature, values)
        out.store(builder.fptrunc(x.load(_VECTOR, row, column), _ROUNDED), row, column)
        return context.get_dummy_value()

    return types.void(x, row, column, out), generate


def _tile(vectors):
    """Eight rows, and columns of so many vectors, of a product of pairs.

    With two vectors a number of x, once loaded, is multiplied twice: with one, loading binds.
    """

    @intrinsic
    def tile(typing, x, weights, row, column, out):
        def generate(context, builder, signature, values):
            x, weights, row, column, out = lift(context, builder, signature, values)
            columns = [builder.add(column, integer(LANES * k)) for k in range(vectors)]
            places = [(builder.add(row, integer(k)), c) for k in range(_ROWS) for c in columns]
            zero = ir.Constant(_VECTOR, [0.0] * LANES)
            sums = [cgutils.alloca_once_value(builder, zero) for _ in places]
            kind = ir.FunctionType(_VECTOR, [_VECTOR, _PAIRS, _PAIRS])
            add = cgutils.get_or_insert_function(builder.module, kind, _INSTRUCTION)
            with cgutils.for_range(builder, weights.lengths[0]) as loop:
                two = builder.mul(loop.index, integer(2))
                loaded = [weights.load(_HELD, loop.index, c) for c in columns]
                factors = [builder.bitcast(w, _PAIRS) for w in loaded]
                for k, (place, total) in enumerate(zip(places, sums, strict=True)):
                    if k % vectors == 0:
                        pair = spread(builder, x.load(_INT32, place[0], two), _HELD)
                        pair = builder.bitcast(pair, _PAIRS)
                    found = builder.call(add, [builder.load(total), pair, factors[k % vectors]])
                    builder.store(found, total)
            for place, total in zip(places, sums, strict=True):
                out.store(builder.load(total), *place)
            return context.get_dummy_value()

        return types.void(x, weights, row, column, out), generate

    return tile


_narrow_tile, _wide_tile = _tile(1), _tile(2)
