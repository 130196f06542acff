"""Numba twin of a proposal network's weights: a task has some rays, with all of their bins."""

import math

import numpy as np
import torch
from numba import njit, prange

from orefield.ops.cpu.density_network import density_mlp, encode_blocks, layers
from orefield.ops.cpu.hash_grid import BLOCK, arrays, block_room
from orefield.ops.cpu.march import contracted as contracted_point
from orefield.ops.cpu.vectors import as_rows
from orefield.system.kernel_cache import kernel

_SAMPLES = 4096
"""About so many samples a task: their features and one level's table fit the cache of a core."""
_F = np.float32


@njit(inline="always")
def _distance(s):
    return _F(2) * s if s < _F(0.5) else _F(0.5) / (_F(1) - s)


@njit(error_model="numpy")
def _place(o, d, r, edges, contracted, positions, lengths, at):
    """Middles and lengths of a ray's bins."""
    near = _distance(edges[r, 0])
    for i in range(edges.shape[1] - 1):
        far = _distance(edges[r, i + 1])
        t, lengths[at + i] = (near + far) * _F(0.5), far - near
        x, y, z = o[r, 0] + t * d[r, 0], o[r, 1] + t * d[r, 1], o[r, 2] + t * d[r, 2]
        if contracted:
            x, y, z = contracted_point(x, y, z)
        positions[0, at + i], positions[1, at + i], positions[2, at + i] = x, y, z
        near = far


@kernel(parallel=True, error_model="numpy")
def _proposal_weights(o, d, edges, contracted, rows, layout, w1, w2, start, largest, out):
    bins = edges.shape[1] - 1
    each = max(_SAMPLES // bins, 1)
    blocks = (each * bins + BLOCK - 1) // BLOCK
    for task in prange((len(o) + each - 1) // each):
        first, last = task * each, min((task + 1) * each, len(o))
        samples = (last - first) * bins
        positions = np.empty((3, blocks * BLOCK), np.float32)
        lengths, log = np.empty(blocks * BLOCK, np.float32), np.empty(blocks * BLOCK, np.float32)
        features = np.zeros((blocks, w1.shape[1], BLOCK), np.float32)
        hidden, room = np.empty((len(w1), BLOCK), np.float32), block_room(rows)
        geometry = np.empty((len(w2), BLOCK), np.float32)
        for r in range(first, last):
            _place(o, d, r, edges, contracted, positions, lengths, (r - first) * bins)
        encode_blocks(rows, positions, 0, samples, layout, room, features)
        for block in range((samples + BLOCK - 1) // BLOCK):
            density_mlp(features[block], w1, w2, start, hidden, geometry)
            log[block * BLOCK : (block + 1) * BLOCK] = geometry[0]
        for r in range(first, last):
            passed = _F(0)
            for i in range(bins):
                at = (r - first) * bins + i
                s = log[at]
                x = math.exp(largest if s > largest else s) * lengths[at]
                out[r, i] = math.exp(-passed) * -math.expm1(-x)
                passed += x


def proposal_weights(origins, directions, edges, net, contracted, largest):
    out = torch.empty(len(edges), edges.shape[1] - 1)
    given = (v.detach().contiguous().float().numpy() for v in (origins, directions, edges))
    network = net._replace(out=net.out[:1])
    _proposal_weights(
        *given, contracted, as_rows(net.table), arrays(net.layout), *layers(network),
        np.float32(largest), out.numpy(),
    )  # fmt: skip
    return out
