"""Numba twin of marching: find each ray's sample numbers, prefix sum, write.

An empty cell is skipped in one leap, and so is an empty block of 4^3 cells. A leap lands short of
the far side and tests again, so that rounding can never skip a sample which the definition keeps.
No fastmath here: cells must agree bit for bit.
"""

import numpy as np
import torch
from numba import njit, prange

from orefield.types import PackedSamples

_ENDED = np.int32(-1)
_FAR = np.float32(1e30)
_BLOCK = 4


@njit(inline="always")
def _leap(x, d, cell, inverse, width):
    """Distance to the cell's far side along one axis."""
    if d == 0:
        return _FAR
    edge = np.float32(cell + (1 if d > 0 else 0)) * width
    return (edge - x) * inverse


@njit(inline="always")
def _cell(x, res):
    return min(max(np.int32(x * np.float32(res)), np.int32(0)), np.int32(res - 1))


@njit(parallel=True, cache=True)
def _blocks(occupied):
    """Whether any cell of a block of 4^3 is occupied; the last block may be cut."""
    res = len(occupied)
    n = (res + _BLOCK - 1) // _BLOCK
    any_in = np.zeros((n, n, n), np.bool_)
    for x in prange(n):
        for i in range(x * _BLOCK, min((x + 1) * _BLOCK, res)):
            for j in range(res):
                for k in range(res):
                    if occupied[i, j, k]:
                        any_in[x, j // _BLOCK, k // _BLOCK] = True
    return any_in


@njit(parallel=True, cache=True)
def _find(o, d, entry, leave, occupied, blocks, dt, jitter, first, limit, ks, counts, following):
    res, rays = occupied.shape[0], len(o)
    width = np.float32(1) / np.float32(res)
    block_width = np.float32(_BLOCK) * width
    for r in prange(rays):
        k, count = first[r], np.int32(0)
        following[r] = _ENDED
        ix = np.float32(1) / d[r, 0] if d[r, 0] != 0 else _FAR
        iy = np.float32(1) / d[r, 1] if d[r, 1] != 0 else _FAR
        iz = np.float32(1) / d[r, 2] if d[r, 2] != 0 else _FAR
        while True:
            t = entry[r] + (np.float32(k) + jitter[r]) * dt
            if not t < leave[r]:
                break
            x, y, z = o[r, 0] + t * d[r, 0], o[r, 1] + t * d[r, 1], o[r, 2] + t * d[r, 2]
            cx, cy, cz = _cell(x, res), _cell(y, res), _cell(z, res)
            if occupied[cx, cy, cz]:
                if count == limit:
                    following[r] = k
                    break
                ks[r, count] = k
                count += np.int32(1)
                k += np.int32(1)
            else:
                side = width
                if not blocks[cx // _BLOCK, cy // _BLOCK, cz // _BLOCK]:
                    cx, cy, cz, side = cx // _BLOCK, cy // _BLOCK, cz // _BLOCK, block_width
                ahead = min(
                    _leap(x, d[r, 0], cx, ix, side),
                    _leap(y, d[r, 1], cy, iy, side),
                    _leap(z, d[r, 2], cz, iz, side),
                )
                k += max(np.int32(ahead / dt), np.int32(1))
        counts[r] = count


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


def march(rays, entry, leave, occupied, dt, jitter, first, limit):
    o, d = rays.origins.contiguous().numpy(), rays.directions.contiguous().numpy()
    entry, leave, jitter, first = (v.numpy() for v in (entry, leave, jitter, first))
    n, step = len(rays), np.float32(dt)
    longest = int(np.clip(leave - entry, 0, None).max() / dt) + 2 if n else 1
    # Pages of this scratch that no ray reaches are never touched, hence never paid for.
    ks = np.empty((n, min(limit, longest)), np.int32)
    counts, following = np.zeros(n, np.int32), np.empty(n, np.int32)
    cells = occupied.numpy()
    _find(
        o, d, entry, leave, cells, _blocks(cells), step, jitter, first, limit, ks, counts, following
    )
    ends = counts.cumsum(dtype=np.int64)
    samples = int(ends[-1]) if n else 0
    spans = np.stack([ends - counts, counts], 1).astype(np.int32)
    positions = torch.empty(3, samples)
    t, ray = torch.empty(samples), torch.empty(samples, dtype=torch.int32)
    _write(o, d, entry, step, jitter, ks, spans, positions.numpy(), t.numpy(), ray.numpy())
    packed = PackedSamples(positions, t, torch.full_like(t, dt), ray, torch.from_numpy(spans))
    return packed, torch.from_numpy(following)
