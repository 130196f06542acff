"""Numba twin of the hash grid.

Levels are the outer loop, so one level's table stays in the cache; the eight corners are written
out, so that the compiler gathers them as vectors; all integers are 32 bits wide (unsigned: the hash
wraps).
"""

import numba
import numpy as np
import torch
from numba import njit, prange
from numba.extending import overload

_U = np.uint32
_P1, _P2 = _U(2654435761), _U(805459861)
_ONE = np.float32(1)


@njit(inline="always")
def _cell(x, r):
    """Cell index and offset inside it; positions outside the cube are clamped to it."""
    x = min(max(x, np.float32(0)), _ONE) * np.float32(r)
    i = min(np.int32(x), np.int32(r) - np.int32(1))
    return _U(i), x - np.float32(i)


@njit(inline="always")
def _corners(ix, iy, iz, s1, s2, mask, dense):
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
def _mix(tab, h, w, f):
    return (
        w[0] * tab[h[0], f] + w[1] * tab[h[1], f] + w[2] * tab[h[2], f] + w[3] * tab[h[3], f]
        + w[4] * tab[h[4], f] + w[5] * tab[h[5], f] + w[6] * tab[h[6], f] + w[7] * tab[h[7], f]
    )  # fmt: skip


@njit(inline="always")
def _bf16(x):
    """The 16 bits of x as bfloat16, rounded to nearest even."""
    bits = np.float32(x).view(np.uint32)
    return np.uint16((bits + _U(0x7FFF) + ((bits >> _U(16)) & _U(1))) >> _U(16))


@njit(inline="always")
def _from_bf16(bits):
    return _U(_U(bits) << _U(16)).view(np.float32)


def _stored(out, x):
    """x as `out` holds it: bfloat16 travels as its 16 bits."""
    return _bf16(x) if out.dtype == np.uint16 else x


@overload(_stored, inline="always")
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


@njit(parallel=True, fastmath=True, cache=True)
def _forward(table, positions, first, resolution, size, dense, tasks, out):
    samples = positions.shape[1]
    for task in prange(tasks):
        start, stop = task * samples // tasks, (task + 1) * samples // tasks
        for level in range(len(resolution)):
            r = resolution[level]
            s1 = _U(r + _U(1))
            s2, mask = _U(s1 * s1), _U(size[level] - _U(1))
            tab, flat = table[first[level] :], dense[level]
            for i in range(start, stop):
                ix, fx = _cell(positions[0, i], r)
                iy, fy = _cell(positions[1, i], r)
                iz, fz = _cell(positions[2, i], r)
                h, w = _corners(ix, iy, iz, s1, s2, mask, flat), _weights(fx, fy, fz)
                out[2 * level, i] = _stored(out, _mix(tab, h, w, 0))
                out[2 * level + 1, i] = _stored(out, _mix(tab, h, w, 1))


@njit(parallel=True, fastmath=True, cache=True)
def _backward(grad, positions, first, resolution, size, dense, tasks, sink):
    # A task owns whole levels, dealt out like cards (fine levels cost most): the scatter needs no
    # atomics and repeats bit for bit, whatever the number of threads.
    levels, samples = len(resolution), positions.shape[1]
    for task in prange(tasks):
        for level in range(task, levels, tasks):
            r = resolution[level]
            s1 = _U(r + _U(1))
            s2, mask = _U(s1 * s1), _U(size[level] - _U(1))
            tab = sink[first[level] :]
            for i in range(samples):
                g0, g1 = _loaded(grad, i, 2 * level), _loaded(grad, i, 2 * level + 1)
                if g0 == 0 and g1 == 0:
                    continue
                ix, fx = _cell(positions[0, i], r)
                iy, fy = _cell(positions[1, i], r)
                iz, fz = _cell(positions[2, i], r)
                h = _corners(ix, iy, iz, s1, s2, mask, dense[level])
                w = _weights(fx, fy, fz)
                for corner in range(8):
                    tab[h[corner], 0] += w[corner] * g0
                    tab[h[corner], 1] += w[corner] * g1


def _arrays(layout):
    return (
        np.array(layout.first, np.int64),
        np.array(layout.resolution, np.uint32),
        np.array(layout.size, np.uint32),
        np.array(layout.dense, np.bool_),
    )


def _bits(x):
    """A tensor as an array; Numba knows no bfloat16, so its bits."""
    return x.view(torch.uint16).numpy() if x.dtype == torch.bfloat16 else x.numpy()


def forward(table, positions, layout, dtype):
    held = dtype if dtype == torch.bfloat16 else torch.float32
    out = torch.empty(layout.features, positions.shape[1], dtype=held)
    points = positions.detach().contiguous().float().numpy()
    threads = numba.get_num_threads()
    _forward(table.detach().numpy(), points, *_arrays(layout), threads, _bits(out))
    return out.to(dtype)


def backward(grad, positions, layout, sink):
    points = positions.detach().contiguous().float().numpy()
    # Sample-major, as a matrix product's backward leaves it: transposing costs more than the
    # strided reads.
    rows = grad.T.contiguous()
    rows = rows if rows.dtype == torch.bfloat16 else rows.float()
    tasks = min(numba.get_num_threads(), len(layout.resolution))
    _backward(_bits(rows), points, *_arrays(layout), tasks, sink.numpy())
