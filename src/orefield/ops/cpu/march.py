"""Numba twin of marching: find each ray's sample numbers, prefix sum, write.

Empty cells are skipped in leaps as wide as the grid's clearance allows. A leap lands short of the
far side and tests again, so that rounding can never skip a sample which the definition keeps. No
fastmath here: cells must agree bit for bit.
"""

import numpy as np
import torch
from numba import njit, prange

from orefield.ops.march import DOUBLINGS
from orefield.system.kernel_cache import kernel
from orefield.types import PackedSamples

_I, _F = np.int32, np.float32
_ENDED = _I(-1)
_FAR = _F(1e30)
_HALF = _F(0.5)


@njit(inline="always")
def _cell(x, res):
    return min(max(_I(x * _F(res)), _I(0)), _I(res - 1))


@njit(inline="always")
def _leap(x, inverse, cell, clear, res):
    """Distance along the ray, in sides of the level's cube, to the far side of the empty cube round
    a cell, on one axis."""
    edge = min(cell + clear, res) if inverse > 0 else max(cell + _I(1) - clear, _I(0))
    return (_F(edge) * (_F(1) / _F(res)) - x) * inverse


@njit(inline="always")
def inverse(x):
    return _F(1) / x if x != 0 else _FAR


@njit(inline="always")
def distance(u, dt, octave, per_octave):
    """t(u), the step there, and the number of doublings before."""
    doublings = min(max(_I(u * per_octave) - _I(1), _I(0)), _I(DOUBLINGS))
    step = dt * _F(_I(1) << doublings)
    return step * (u - _F(doublings) * octave), step, doublings


@njit(inline="always")
def contracted(x, y, z):
    cx, cy, cz = x * _F(2) - _F(1), y * _F(2) - _F(1), z * _F(2) - _F(1)
    m = max(max(abs(cx), abs(cy)), max(abs(cz), _F(1)))
    scale = (_F(2) - _F(1) / m) / m
    return (
        scale * cx / _F(4) + _HALF,
        scale * cy / _F(4) + _HALF,
        scale * cz / _F(4) + _HALF,
    )


@njit(error_model="numpy")
def next_sample(k, shift, begin, end, walk, ox, oy, oz, dx, dy, dz, ix, iy, iz, cells, res):
    """The first k from here whose cell is occupied; ENDED where there is none."""
    dt, octave, per_octave, levels = walk
    while True:
        u = begin + (_F(k) + shift)
        t, step, doublings = distance(u, dt, octave, per_octave)
        if not t < end:
            return _ENDED
        x, y, z = ox + t * dx - _HALF, oy + t * dy - _HALF, oz + t * dz - _HALF
        away, reach, level = max(max(abs(x), abs(y)), abs(z)), _HALF, _I(0)
        while away > reach and level < levels - 1:
            reach *= _F(2)
            level += _I(1)
        side = _F(_I(1) << level)
        per_side = _F(1) / side
        x, y, z = x * per_side + _HALF, y * per_side + _HALF, z * per_side + _HALF
        cx, cy, cz = _cell(x, res), _cell(y, res), _cell(z, res)
        empty = _I(cells[np.uint32(((level * res + cx) * res + cy) * res + cz)])
        if empty == 0:
            return k
        ahead = min(
            _leap(x, ix, cx, empty, res),
            _leap(y, iy, cy, empty, res),
            _leap(z, iz, cz, empty, res),
        )
        leap = min(ahead * side / step, _F(doublings + 2) * octave - u)
        k += max(_I(leap), _I(1))


@kernel(parallel=True, error_model="numpy")
def _march_find(o, d, begin, leave, clear, walk, jitter, first, limit, ks, counts, going):
    res, cells = _I(clear.shape[1]), clear.reshape(-1)
    for r in prange(len(o)):
        k, count = first[r], _I(0)
        ox, oy, oz = o[r, 0], o[r, 1], o[r, 2]
        dx, dy, dz = d[r, 0], d[r, 1], d[r, 2]
        ix, iy, iz = inverse(dx), inverse(dy), inverse(dz)
        start, end, shift = begin[r], leave[r], jitter[r]
        while True:
            k = next_sample(
                k, shift, start, end, walk, ox, oy, oz, dx, dy, dz, ix, iy, iz, cells, res
            )
            if k == _ENDED or count == limit:
                break
            ks[r, count] = k
            count += _I(1)
            k += _I(1)
        counts[r], going[r] = count, k


@njit(inline="always")
def place(o, d, r, t, levels):
    """Where a sample lies: contracted, where there is more than the unit cube."""
    x, y, z = o[r, 0] + t * d[r, 0], o[r, 1] + t * d[r, 1], o[r, 2] + t * d[r, 2]
    return contracted(x, y, z) if levels > 1 else (x, y, z)


@kernel(parallel=True)
def _march_write(o, d, begin, walk, jitter, ks, spans, positions, t, dt, ray):
    least, octave, per_octave, levels = walk
    for r in prange(len(o)):
        first, count = spans[r, 0], spans[r, 1]
        for i in range(count):
            u = begin[r] + (np.float32(ks[r, i]) + jitter[r])
            at, step, _ = distance(u, least, octave, per_octave)
            t[first + i], dt[first + i], ray[first + i] = at, step, r
            x, y, z = place(o, d, r, at, levels)
            positions[0, first + i], positions[1, first + i], positions[2, first + i] = x, y, z


def walk_of(grid):
    """What a walk needs to know of a grid's steps, as the kernels take it."""
    return _F(grid.dt), _F(grid.octave), _F(1 / grid.octave), _I(len(grid.clear))


def march(rays, begin, leave, grid, jitter, first, limit):
    o, d = rays.origins.contiguous().numpy(), rays.directions.contiguous().numpy()
    begin, leave, jitter, first = (v.contiguous().numpy() for v in (begin, leave, jitter, first))
    n, walk = len(rays), walk_of(grid)
    farthest = leave.max() / (grid.octave * grid.dt) if n else 0.0
    doublings = max(np.floor(np.log2(max(farthest, 1.0))), 0.0)
    most = int((doublings + farthest / 2**doublings) * grid.octave) + 2  # u(t) of the farthest
    # Pages of this scratch that no ray reaches are never touched, hence never paid for.
    ks = np.empty((n, max(min(limit, most), 1)), np.int32)
    counts, going = np.zeros(n, np.int32), np.empty(n, np.int32)
    first = first.astype(np.int32, copy=False)
    clear = grid.clear.contiguous().numpy()
    _march_find(o, d, begin, leave, clear, walk, jitter, first, np.int32(limit), ks, counts, going)
    ends = counts.cumsum(dtype=np.int64)
    samples = int(ends[-1]) if n else 0
    spans = np.stack([ends - counts, counts], 1).astype(np.int32)
    positions = torch.empty(3, samples)
    t, dt, owner = *torch.empty(2, samples), torch.empty(samples, dtype=torch.int32)
    arrays = (v.numpy() for v in (positions, t, dt, owner))
    _march_write(o, d, begin, walk, jitter, ks, spans, *arrays)
    packed = PackedSamples(positions, t, dt, owner, torch.from_numpy(spans))
    return packed, torch.from_numpy(going)
