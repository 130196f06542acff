"""Numba twin of the hash grid's gradient at the positions."""

import numpy as np
import torch
from numba import njit, prange

from orefield.ops.cpu.hash_grid import arrays, cell, corners
from orefield.system.kernel_cache import kernel

_U, _F = np.uint32, np.float32


@njit(inline="always")
def _value(table, row, grad, level, i):
    """What a vertex adds to the loss per unit of its weight."""
    value, width = _F(0), table.shape[1]
    for f in range(width):
        value += grad[width * level + f, i] * table[row, f]
    return value


@njit(inline="always")
def _inside(x):
    return _F(1) if x >= _F(0) and x <= _F(1) else _F(0)


@kernel(parallel=True, fastmath=True)
def _hash_grid_positions_backward(grad, table, positions, layout, out):
    first, resolution, size, dense = layout
    for i in prange(positions.shape[1]):
        px, py, pz = positions[0, i], positions[1, i], positions[2, i]
        gx, gy, gz = _F(0), _F(0), _F(0)
        for level in range(len(resolution)):
            r = resolution[level]
            s1 = _U(r + _U(1))
            tab = table[first[level] :]
            (ix, fx), (iy, fy), (iz, fz) = cell(px, r), cell(py, r), cell(pz, r)
            h = corners(ix, iy, iz, s1, _U(s1 * s1), _U(size[level] - _U(1)), dense[level])
            a, b = _value(tab, h[0], grad, level, i), _value(tab, h[1], grad, level, i)
            c, d = _value(tab, h[2], grad, level, i), _value(tab, h[3], grad, level, i)
            e, f = _value(tab, h[4], grad, level, i), _value(tab, h[5], grad, level, i)
            g, k = _value(tab, h[6], grad, level, i), _value(tab, h[7], grad, level, i)
            ux, uy, uz = _F(1) - fx, _F(1) - fy, _F(1) - fz
            scale = _F(r)
            gx += scale * (uz * (uy * (b - a) + fy * (d - c)) + fz * (uy * (f - e) + fy * (k - g)))
            gy += scale * (uz * (ux * (c - a) + fx * (d - b)) + fz * (ux * (g - e) + fx * (k - f)))
            gz += scale * (uy * (ux * (e - a) + fx * (f - b)) + fy * (ux * (g - c) + fx * (k - d)))
        out[0, i], out[1, i], out[2, i] = gx * _inside(px), gy * _inside(py), gz * _inside(pz)


def hash_grid_positions_backward(grad, table, positions, layout):
    out = torch.empty(3, positions.shape[1])
    points = positions.detach().contiguous().float().numpy()
    rows = grad.contiguous().float().numpy()
    _hash_grid_positions_backward(
        rows, table.detach().contiguous().numpy(), points, arrays(layout), out.numpy()
    )
    return out
