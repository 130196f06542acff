"""What Numba cannot say: arithmetic on vectors of fixed width, written out in LLVM's language.

Each function's Python body says what it does; compiled code has the vectors instead. LLVM makes of
them what the processor has (a vector of 16 is one register with AVX-512, two with AVX2, four with
NEON), and keeps sums in registers where its own vectorizer would store them after every term.
"""

import functools

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

LANES = 16
"""Numbers in a vector of a matrix product (product.py)."""
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


def adam(table, grad, mean, square, i, numbers):
    """A step of Adam on row i of a table where its gradient, which is cleared, is not zero.

    `numbers` as in `sparse_adam`: scale, bias, 1 - beta1, 1 - beta2, epsilon.
    """
    scale, bias, rest1, rest2, epsilon = numbers
    rows = (v.view(np.float32).reshape(len(v), -1)[i] for v in (table, grad, mean, square))
    values, g, first, second = rows
    if (g != 0).any():
        first += rest1 * (g - first)
        second += rest2 * (g * g - second)
        values -= scale * first / (np.sqrt(second * bias) + epsilon)
        g[:] = 0


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


@overload(adam, inline="always")
def _adam_compiled(table, grad, mean, square, i, numbers):
    return lambda table, grad, mean, square, i, numbers: _adam(
        table, grad, mean, square, i, numbers
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


def lift(context, builder, signature, values):
    """The arguments of an intrinsic: arrays as `_Array`, indices as 64-bit integers."""
    for kind, value in zip(signature.args, values, strict=True):
        if isinstance(kind, types.Array):
            yield _Array(context, builder, kind, value)
        elif isinstance(kind, types.Integer):
            yield context.cast(builder, value, kind, types.int64)
        else:
            yield value


def integer(number):
    return ir.Constant(_INT64, number)


def lane(number):
    return ir.Constant(_INT32, number)


def spread(builder, value, vector):
    """A vector with one value everywhere."""
    nothing = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(nothing, value, lane(0))
    everywhere = ir.Constant(ir.VectorType(_INT32, vector.count), [0] * vector.count)
    return builder.shuffle_vector(first, nothing, everywhere)


def multiply_add(builder, a, b, c):
    return builder.fadd(builder.fmul(a, b, flags=_CONTRACT), c, flags=_CONTRACT)


def _row_type(kind):
    """A row of the table as a vector of its features."""
    return ir.VectorType(_FLOAT, kind.dtype.bitwidth // 32)


def _row(builder, index, corner, q):
    """The row of a corner."""
    return builder.zext(index.load(_INT32, integer(corner), q), _INT64)


@intrinsic
def _mix(typing, rows, index, weight, q, out):
    def generate(context, b, signature, values):
        rows, index, weight, q, out = lift(context, b, signature, values)
        vector = _row_type(signature.args[0])
        total = ir.Constant(vector, [0.0] * vector.count)
        for corner in range(_CORNERS):
            features = rows.load(vector, _row(b, index, corner, q))
            share = spread(b, weight.load(_FLOAT, integer(corner), q), vector)
            total = multiply_add(b, features, share, total)
        for f in range(vector.count):
            out.store(b.extract_element(total, lane(f)), integer(f), q)
        return context.get_dummy_value()

    return types.void(rows, index, weight, q, out), generate


@intrinsic
def _scatter(typing, rows, index, weight, q, grad):
    def generate(context, b, signature, values):
        rows, index, weight, q, grad = lift(context, b, signature, values)
        vector = _row_type(signature.args[0])
        gradient = ir.Constant(vector, ir.Undefined)
        for f in range(vector.count):
            part = grad.load(_FLOAT, integer(f), q)
            gradient = b.insert_element(gradient, part, lane(f))
        for corner in range(_CORNERS):
            row = _row(b, index, corner, q)
            share = spread(b, weight.load(_FLOAT, integer(corner), q), vector)
            rows.store(multiply_add(b, gradient, share, rows.load(vector, row)), row)
        return context.get_dummy_value()

    return types.void(rows, index, weight, q, grad), generate


@intrinsic
def _adam(typing, table, grad, mean, square, i, numbers):
    def generate(context, b, signature, values):
        table, grad, mean, square, i, numbers = lift(context, b, signature, values)
        vector = _row_type(signature.args[0])
        each = cgutils.unpack_tuple(b, numbers)
        scale, bias, rest1, rest2, epsilon = (spread(b, number, vector) for number in each)
        g = grad.load(vector, i)
        with b.if_then(_any_nonzero(b, g)):
            first, second = mean.load(vector, i), square.load(vector, i)
            first = multiply_add(b, rest1, b.fsub(g, first), first)
            second = multiply_add(b, rest2, b.fsub(b.fmul(g, g), second), second)
            root = b.fadd(_square_root(b, b.fmul(second, bias)), epsilon)
            change = b.fdiv(b.fmul(scale, first), root)
            table.store(b.fsub(table.load(vector, i), change), i)
            mean.store(first, i)
            square.store(second, i)
            grad.store(ir.Constant(vector, [0.0] * vector.count), i)
        return context.get_dummy_value()

    return types.void(table, grad, mean, square, i, numbers), generate


def _any_nonzero(builder, vector):
    """Whether a lane is not zero, or not a number."""
    zero = ir.Constant(vector.type, [0.0] * vector.type.count)
    lanes = builder.fcmp_unordered("!=", vector, zero)
    flags = [builder.extract_element(lanes, lane(k)) for k in range(vector.type.count)]
    return functools.reduce(builder.or_, flags)


def _square_root(builder, vector):
    name = f"llvm.sqrt.v{vector.type.count}f32"
    kind = ir.FunctionType(vector.type, [vector.type])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [vector])
