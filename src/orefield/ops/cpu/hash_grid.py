"""Numba twin of the hash grid.

Levels are the outer loop, so one level's table stays in the cache; the eight corners are written
out, so that the compiler works on them as vectors; a row is one vector (vectors.py); all integers
are 32 bits wide (unsigned: the hash wraps).
"""

import numba
import numpy as np
import torch
from numba import njit, prange
from numba.extending import overload

from orefield.ops.cpu.vectors import as_rows, mix, scatter
from orefield.system.kernel_cache import kernel

_U = np.uint32
_P1, _P2 = _U(2654435761), _U(805459861)
_ONE = np.float32(1)
BLOCK = 128


@njit(inline="always")
def cell(x, r):
    """Cell index and offset inside it; positions outside the cube are clamped to it.

    The index is clamped as an unsigned integer, which a NaN's becomes as well: fastmath may assume
    that there is none, and then does not clamp it.
    """
    x = min(max(x, np.float32(0)), _ONE) * np.float32(r)
    i = min(_U(np.int32(x)), _U(r) - _U(1))
    return i, x - np.float32(np.int32(i))


@njit(inline="always")
def corners(ix, iy, iz, s1, s2, mask, dense):
    if dense:
        y0, z0 = iy * s1, iz * s2
        y1, z1 = y0 + s1, z0 + s2
        x0, x1 = ix, ix + _U(1)
        return (
            _U(x0 + y0 + z0), _U(x1 + y0 + z0), _U(x0 + y1 + z0), _U(x1 + y1 + z0),
            _U(x0 + y0 + z1), _U(x1 + y0 + z1), _U(x0 + y1 + z1), _U(x1 + y1 + z1),
        )  # fmt: skip
    y0, z0 = iy * _P1, iz * _P2
    y1, z1 = y0 + _P1, z0 + _P2
    x0, x1 = ix, ix + _U(1)
    return (
        _U((x0 ^ y0 ^ z0) & mask), _U((x1 ^ y0 ^ z0) & mask),
        _U((x0 ^ y1 ^ z0) & mask), _U((x1 ^ y1 ^ z0) & mask),
        _U((x0 ^ y0 ^ z1) & mask), _U((x1 ^ y0 ^ z1) & mask),
        _U((x0 ^ y1 ^ z1) & mask), _U((x1 ^ y1 ^ z1) & mask),
    )  # fmt: skip


@njit(inline="always")
def _weights(fx, fy, fz):
    gx, gy, gz = _ONE - fx, _ONE - fy, _ONE - fz
    w00, w10, w01, w11 = gy * gz, fy * gz, gy * fz, fy * fz
    return (gx * w00, fx * w00, gx * w10, fx * w10, gx * w01, fx * w01, gx * w11, fx * w11)


@njit(inline="always")
def _bf16(x):
    """The 16 bits of x as bfloat16, rounded to nearest even."""
    bits = np.float32(x).view(np.uint32)
    return np.uint16((bits + _U(0x7FFF) + ((bits >> _U(16)) & _U(1))) >> _U(16))


@njit(inline="always")
def _from_bf16(bits):
    return _U(_U(bits) << _U(16)).view(np.float32)


def stored(out, x):
    """x as `out` holds it: bfloat16 travels as its 16 bits."""
    return _bf16(x) if out.dtype == np.uint16 else x


@overload(stored, inline="always")
def _stored_compiled(out, x):
    if out.dtype == numba.uint16:
        return lambda out, x: _bf16(x)
    return lambda out, x: x


def _loaded(grad, i, k):
    """Element of `grad`, whichever way it is held."""
    return _from_bf16(grad[i, k]) if grad.dtype == np.uint16 else grad[i, k]


@overload(_loaded, inline="always")
def _loaded_compiled(grad, i, k):
    if grad.dtype == numba.uint16:
        return lambda grad, i, k: _from_bf16(grad[i, k])
    return lambda grad, i, k: grad[i, k]


@njit(inline="always")
def _vertices(positions, start, n, r, s1, s2, mask, dense, index, weight):
    for q in range(n):
        ix, fx = cell(positions[0, start + q], r)
        iy, fy = cell(positions[1, start + q], r)
        iz, fz = cell(positions[2, start + q], r)
        h, w = corners(ix, iy, iz, s1, s2, mask, dense), _weights(fx, fy, fz)
        index[0, q], index[1, q], index[2, q], index[3, q] = h[0], h[1], h[2], h[3]
        index[4, q], index[5, q], index[6, q], index[7, q] = h[4], h[5], h[6], h[7]
        weight[0, q], weight[1, q], weight[2, q], weight[3, q] = w[0], w[1], w[2], w[3]
        weight[4, q], weight[5, q], weight[6, q], weight[7, q] = w[4], w[5], w[6], w[7]


@njit(inline="always")
def block_room(rows):
    """Of a block of samples: rows and weights of the corners, and a level's features."""
    width = rows.itemsize // 4
    return (
        np.empty((8, BLOCK), np.uint32),
        np.empty((8, BLOCK), np.float32),
        np.empty((width, BLOCK), np.float32),
    )


@njit(inline="always")
def _level_vertices(positions, at, n, level, layout, index, weight):
    """The corners of a block's samples at a level, all first: only that loop can be vectorized."""
    _, resolution, size, dense = layout
    r = resolution[level]
    s1 = _U(r + _U(1))
    s2, mask = _U(s1 * s1), _U(size[level] - _U(1))
    if dense[level]:
        _vertices(positions, at, n, r, s1, s2, mask, True, index, weight)
    else:
        _vertices(positions, at, n, r, s1, s2, mask, False, index, weight)


@njit(inline="always")
def encode(rows, positions, at, n, level, layout, room, out, to):
    """Features of a block of samples at one level, into columns of `out` from `to` on."""
    index, weight, mixed = room
    _level_vertices(positions, at, n, level, layout, index, weight)
    at_level = rows[layout[0][level] :]
    for q in range(n):
        mix(at_level, index, weight, q, mixed)
    for f in range(len(mixed)):
        for q in range(n):
            out[len(mixed) * level + f, to + q] = stored(out, mixed[f, q])


@kernel(parallel=True, fastmath=True)
def _hash_grid_forward(rows, positions, layout, tasks, out):
    samples = positions.shape[1]
    for task in prange(tasks):
        room = block_room(rows)
        start, stop = task * samples // tasks, (task + 1) * samples // tasks
        for level in range(len(layout[0])):
            for at in range(start, stop, BLOCK):
                encode(rows, positions, at, min(BLOCK, stop - at), level, layout, room, out, at)


@njit(inline="always")
def _scatter_block(rows, grad, positions, at, n, level, layout, room):
    index, weight, here = room
    width = len(here)
    _level_vertices(positions, at, n, level, layout, index, weight)
    at_level = rows[layout[0][level] :]
    for q in range(n):
        any_gradient = False
        for f in range(width):
            here[f, q] = _loaded(grad, at + q, width * level + f)
            any_gradient |= here[f, q] != 0
        if any_gradient:
            scatter(at_level, index, weight, q, here)


@kernel(parallel=True, fastmath=True)
def _hash_grid_backward(grad, positions, layout, tasks, sink):
    # A task owns whole levels, dealt out like cards (fine levels cost most): the scatter needs no
    # atomics and repeats bit for bit, whatever the number of threads.
    levels, samples = len(layout[0]), positions.shape[1]
    for task in prange(tasks):
        room = block_room(sink)
        for level in range(task, levels, tasks):
            for at in range(0, samples, BLOCK):
                n = min(BLOCK, samples - at)
                _scatter_block(sink, grad, positions, at, n, level, layout, room)


def arrays(layout):
    return (
        np.array(layout.first, np.int64),
        np.array(layout.resolution, np.uint32),
        np.array(layout.size, np.uint32),
        np.array(layout.dense, np.bool_),
    )


def bits(x):
    """A tensor as an array; Numba knows no bfloat16, so its bits."""
    return x.view(torch.uint16).numpy() if x.dtype == torch.bfloat16 else x.numpy()


def forward(table, positions, layout, dtype):
    held = dtype if dtype == torch.bfloat16 else torch.float32
    out = torch.empty(layout.features, positions.shape[1], dtype=held)
    points = positions.detach().contiguous().float().numpy()
    threads = numba.get_num_threads()
    _hash_grid_forward(as_rows(table), points, arrays(layout), threads, bits(out))
    return out.to(dtype)


def backward(grad, positions, layout, sink):
    points = positions.detach().contiguous().float().numpy()
    # Sample-major, as a matrix product's backward leaves it: transposing costs more than the
    # strided reads.
    rows = grad.T.contiguous()
    rows = rows if rows.dtype == torch.bfloat16 else rows.float()
    tasks = min(numba.get_num_threads(), len(layout.resolution))
    _hash_grid_backward(bits(rows), points, arrays(layout), tasks, as_rows(sink))
