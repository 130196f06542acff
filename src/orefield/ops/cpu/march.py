"""Numba twin of marching: find each ray's sample numbers, prefix sum, write.

Empty cells are skipped in leaps as wide as the grid's clearance allows. A leap lands short of the
far side and tests again, so that rounding can never skip a sample which the definition keeps. No
fastmath here: cells must agree bit for bit.
"""

import numpy as np
import torch
from numba import njit, prange

from orefield.types import PackedSamples

_I, _F = np.int32, np.float32
_ENDED = _I(-1)
_FAR = _F(1e30)


@njit(inline="always")
def _cell(x, res):
    return min(max(_I(x * _F(res)), _I(0)), _I(res - 1))


@njit(inline="always")
def _leap(x, inverse, cell, clear, width):
    """Distance along the ray to the far side of the empty cube round a cell, on one axis."""
    edge = cell + (clear if inverse > 0 else _I(1) - clear)
    return (_F(edge) * width - x) * inverse


@njit(inline="always")
def inverse(x):
    return _F(1) / x if x != 0 else _FAR


@njit(error_model="numpy")
def next_sample(k, shift, begin, end, dt, ox, oy, oz, dx, dy, dz, ix, iy, iz, cells, res):
    """The first k from here whose cell is occupied; ENDED where there is none."""
    width, per_step = _F(1) / _F(res), _F(1) / dt
    while True:
        t = begin + (_F(k) + shift) * dt
        if not t < end:
            return _ENDED
        x, y, z = ox + t * dx, oy + t * dy, oz + t * dz
        cx, cy, cz = _cell(x, res), _cell(y, res), _cell(z, res)
        empty = _I(cells[np.uint32((cx * res + cy) * res + cz)])
        if empty == 0:
            return k
        ahead = min(
            _leap(x, ix, cx, empty, width),
            _leap(y, iy, cy, empty, width),
            _leap(z, iz, cz, empty, width),
        )
        k += max(_I(ahead * per_step), _I(1))


@njit(parallel=True, cache=True, error_model="numpy")
def _find(o, d, entry, leave, clear, dt, jitter, first, limit, ks, counts, going):
    res, cells = _I(len(clear)), clear.reshape(-1)
    for r in prange(len(o)):
        k, count = first[r], _I(0)
        ox, oy, oz = o[r, 0], o[r, 1], o[r, 2]
        dx, dy, dz = d[r, 0], d[r, 1], d[r, 2]
        ix, iy, iz = inverse(dx), inverse(dy), inverse(dz)
        begin, end, shift = entry[r], leave[r], jitter[r]
        while True:
            k = next_sample(
                k, shift, begin, end, dt, ox, oy, oz, dx, dy, dz, ix, iy, iz, cells, res
            )
            if k == _ENDED or count == limit:
                break
            ks[r, count] = k
            count += _I(1)
            k += _I(1)
        counts[r], going[r] = count, k


@njit(parallel=True, cache=True)
def _write(o, d, entry, dt, jitter, ks, spans, positions, t, ray):
    for r in prange(len(o)):
        first, count = spans[r, 0], spans[r, 1]
        for i in range(count):
            at = entry[r] + (np.float32(ks[r, i]) + jitter[r]) * dt
            t[first + i] = at
            ray[first + i] = r
            positions[0, first + i] = o[r, 0] + at * d[r, 0]
            positions[1, first + i] = o[r, 1] + at * d[r, 1]
            positions[2, first + i] = o[r, 2] + at * d[r, 2]


def march(rays, entry, leave, clear, dt, jitter, first, limit):
    o, d = rays.origins.contiguous().numpy(), rays.directions.contiguous().numpy()
    entry, leave, jitter, first = (v.contiguous().numpy() for v in (entry, leave, jitter, first))
    n, step = len(rays), np.float32(dt)
    longest = int(np.clip(leave - entry, 0, None).max() / dt) + 2 if n else 1
    # Pages of this scratch that no ray reaches are never touched, hence never paid for.
    ks = np.empty((n, min(limit, longest)), np.int32)
    counts, going = np.zeros(n, np.int32), np.empty(n, np.int32)
    first = first.astype(np.int32, copy=False)
    ray = o, d, entry, leave, clear.contiguous().numpy(), step, jitter, first, np.int32(limit)
    _find(*ray, ks, counts, going)
    ends = counts.cumsum(dtype=np.int64)
    samples = int(ends[-1]) if n else 0
    spans = np.stack([ends - counts, counts], 1).astype(np.int32)
    positions = torch.empty(3, samples)
    t, owner = torch.empty(samples), torch.empty(samples, dtype=torch.int32)
    _write(o, d, entry, step, jitter, ks, spans, positions.numpy(), t.numpy(), owner.numpy())
    packed = PackedSamples(positions, t, torch.full_like(t, dt), owner, torch.from_numpy(spans))
    return packed, torch.from_numpy(going)
