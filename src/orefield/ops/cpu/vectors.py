"""What Numba cannot say: arithmetic on vectors of fixed width, written out in LLVM's language.

Each function's Python body says what it does; compiled code has the vectors instead. LLVM makes of
them what the processor has (a vector of 16 is one register with AVX-512, two with AVX2, four with
NEON), and keeps sums in registers where its own vectorizer would store them after every term.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

LANES = 16
"""Samples that `layer` works on at once."""
OUTPUTS = 4
"""Outputs of a layer that it works on at once: 4 x 16 sums fit the registers of AVX2."""
_CORNERS = 8
_CONTRACT = ("contract",)
"""A product and a sum may become one operation."""
_FLOAT, _INT64, _INT32 = ir.FloatType(), ir.IntType(64), ir.IntType(32)


def mix(rows, index, weight, q, out):
    """out[:, q] = the sum over c of weight[c, q] rows[index[c, q]], eight rows; see `as_rows`."""
    found = rows[index[:, q].astype(np.int64)].view(np.float32).reshape(_CORNERS, -1)
    out[:, q] = weight[:, q] @ found


def scatter(rows, index, weight, q, grad):
    """rows[index[c, q]] += weight[c, q] grad[:, q], for each of eight rows one after the other."""
    features = rows.view(np.float32).reshape(len(rows), -1)
    for c in range(_CORNERS):
        features[index[c, q]] += weight[c, q] * grad[:, q]


def layer(x, at, weights, row, out, to, rectify):
    """Four outputs of a layer, from `row` on, for 16 samples from column `at` of x on.

    out[row : row + 4, to : to + 16] = weights[row : row + 4] x[:, at : at + 16], those below zero
    replaced by zero if `rectify`; the last axis of each array is contiguous.
    """
    found = weights[row : row + OUTPUTS] @ x[:, at : at + LANES]
    out[row : row + OUTPUTS, to : to + LANES] = np.where((found < 0) & rectify, 0, found)


def as_rows(table):
    """The table [rows, 2 or 4] with each row as one element, whose type tells its width.

    The types are complex numbers of 8 or 16 bytes; nothing computes with them as such.
    """
    held = {2: np.complex64, 4: np.complex128}[table.shape[1]]
    return table.detach().contiguous().numpy().view(held)[:, 0]


@overload(mix, inline="always")
def _mix_compiled(rows, index, weight, q, out):
    return lambda rows, index, weight, q, out: _mix(rows, index, weight, q, out)


@overload(scatter, inline="always")
def _scatter_compiled(rows, index, weight, q, grad):
    return lambda rows, index, weight, q, grad: _scatter(rows, index, weight, q, grad)


@overload(layer, inline="always")
def _layer_compiled(x, at, weights, row, out, to, rectify):
    return lambda x, at, weights, row, out, to, rectify: _layer(
        x, at, weights, row, out, to, rectify
    )


class _Array:
    """Addresses in an array of one or two axes, in bytes."""

    def __init__(self, context, builder, kind, value):
        array = context.make_array(kind)(context, builder, value)
        self.builder = builder
        self.start = builder.ptrtoint(array.data, _INT64)
        self.strides = cgutils.unpack_tuple(builder, array.strides)
        self.lengths = cgutils.unpack_tuple(builder, array.shape)

    def pointer(self, held, *place):
        """To a value of the LLVM type `held` at these indices."""
        b, address = self.builder, self.start
        for number, stride in zip(place, self.strides, strict=True):
            address = b.add(address, b.mul(number, stride))
        return b.inttoptr(address, held.as_pointer())

    def load(self, held, *place):
        value = self.builder.load(self.pointer(held, *place))
        value.align = 4
        return value

    def store(self, value, *place):
        self.builder.store(value, self.pointer(value.type, *place)).align = 4


def _lift(context, builder, signature, values):
    """The arguments of an intrinsic: arrays as `_Array`, indices as 64-bit integers."""
    for kind, value in zip(signature.args, values, strict=True):
        if isinstance(kind, types.Array):
            yield _Array(context, builder, kind, value)
        elif isinstance(kind, types.Integer):
            yield context.cast(builder, value, kind, types.int64)
        else:
            yield value


def _integer(number):
    return ir.Constant(_INT64, number)


def _lane(number):
    return ir.Constant(_INT32, number)


def _spread(builder, value, vector):
    """A vector with one value everywhere."""
    nothing = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(nothing, value, _lane(0))
    everywhere = ir.Constant(ir.VectorType(_INT32, vector.count), [0] * vector.count)
    return builder.shuffle_vector(first, nothing, everywhere)


def _multiply_add(builder, a, b, c):
    return builder.fadd(builder.fmul(a, b, flags=_CONTRACT), c, flags=_CONTRACT)


def _row_type(kind):
    """A row of the table as a vector of its features."""
    return ir.VectorType(_FLOAT, kind.dtype.bitwidth // 32)


def _row(builder, index, corner, q):
    """The row of a corner."""
    return builder.zext(index.load(_INT32, _integer(corner), q), _INT64)


@intrinsic
def _mix(typing, rows, index, weight, q, out):
    def generate(context, b, signature, values):
        rows, index, weight, q, out = _lift(context, b, signature, values)
        vector = _row_type(signature.args[0])
        total = ir.Constant(vector, [0.0] * vector.count)
        for corner in range(_CORNERS):
            features = rows.load(vector, _row(b, index, corner, q))
            share = _spread(b, weight.load(_FLOAT, _integer(corner), q), vector)
            total = _multiply_add(b, features, share, total)
        for f in range(vector.count):
            out.store(b.extract_element(total, _lane(f)), _integer(f), q)
        return context.get_dummy_value()

    return types.void(rows, index, weight, q, out), generate


@intrinsic
def _scatter(typing, rows, index, weight, q, grad):
    def generate(context, b, signature, values):
        rows, index, weight, q, grad = _lift(context, b, signature, values)
        vector = _row_type(signature.args[0])
        gradient = ir.Constant(vector, ir.Undefined)
        for f in range(vector.count):
            part = grad.load(_FLOAT, _integer(f), q)
            gradient = b.insert_element(gradient, part, _lane(f))
        for corner in range(_CORNERS):
            row = _row(b, index, corner, q)
            share = _spread(b, weight.load(_FLOAT, _integer(corner), q), vector)
            rows.store(_multiply_add(b, gradient, share, rows.load(vector, row)), row)
        return context.get_dummy_value()

    return types.void(rows, index, weight, q, grad), generate


@intrinsic
def _layer(typing, x, at, weights, row, out, to, rectify):
    def generate(context, b, signature, values):
        x, at, weights, row, out, to, rectify = _lift(context, b, signature, values)
        vector = ir.VectorType(_FLOAT, LANES)
        zero = ir.Constant(vector, [0.0] * LANES)
        outputs = [b.add(row, _integer(k)) for k in range(OUTPUTS)]
        sums = [cgutils.alloca_once_value(b, zero) for _ in outputs]
        with cgutils.for_range(b, x.lengths[0]) as loop:
            samples = x.load(vector, loop.index, at)
            for place, total in zip(outputs, sums, strict=True):
                w = _spread(b, weights.load(_FLOAT, place, loop.index), vector)
                b.store(_multiply_add(b, w, samples, b.load(total)), total)
        for place, total in zip(outputs, sums, strict=True):
            found = b.load(total)
            below = b.and_(b.fcmp_ordered("<", found, zero), _spread(b, rectify, _flags()))
            out.store(b.select(below, zero, found), place, to)
        return context.get_dummy_value()

    return types.void(x, at, weights, row, out, to, rectify), generate


def _flags():
    return ir.VectorType(ir.IntType(1), LANES)
