"""Numba twin of a density network: a task has a few thousand samples, level by level."""

import numpy as np
import torch
from numba import njit, prange

from orefield.ops.cpu.hash_grid import BLOCK, arrays, block_room, encode
from orefield.ops.cpu.product import ROWS, multiply, rectify
from orefield.ops.cpu.vectors import as_rows
from orefield.system.kernel_cache import kernel

_BLOCKS = 32
"""Blocks of a task: their features and one level's table fit the cache of a core."""


@njit(fastmath=True)
def encode_blocks(rows, positions, begin, end, layout, room, features):
    """Features of samples from `begin` to `end`, block by block from the first on."""
    for level in range(len(layout[0])):
        for at in range(begin, end, BLOCK):
            n = min(BLOCK, end - at)
            encode(rows, positions, at, n, level, layout, room, features[(at - begin) // BLOCK], 0)


@njit
def density_mlp(features, w1, w2, start, hidden, geometry):
    """Both layers for a block of samples."""
    multiply(w1, features, hidden)
    rectify(hidden)
    multiply(w2, hidden, geometry)
    for q in range(BLOCK):
        geometry[0, q] += start


def layers(net):
    """The weights in fp32, with rows of zeros for outputs that come in fours."""
    hidden, out = net.hidden.detach().float(), net.out.detach().float()
    hidden = torch.nn.functional.pad(hidden, (0, 0, 0, -len(hidden) % ROWS))
    out = torch.nn.functional.pad(out, (0, len(hidden) - out.shape[1], 0, -len(out) % ROWS))
    return hidden.contiguous().numpy(), out.contiguous().numpy(), np.float32(net.start)


@kernel(parallel=True, error_model="numpy")
def _density_network(positions, rows, layout, w1, w2, start, out):
    samples, share = positions.shape[1], _BLOCKS * BLOCK
    for task in prange((samples + share - 1) // share):
        begin, end = task * share, min((task + 1) * share, samples)
        features = np.zeros((_BLOCKS, w1.shape[1], BLOCK), np.float32)
        hidden, room = np.empty((len(w1), BLOCK), np.float32), block_room(rows)
        geometry = np.empty((len(w2), BLOCK), np.float32)
        encode_blocks(rows, positions, begin, end, layout, room, features)
        for at in range(begin, end, BLOCK):
            density_mlp(features[(at - begin) // BLOCK], w1, w2, start, hidden, geometry)
            for q in range(min(BLOCK, end - at)):
                for j in range(out.shape[1]):
                    out[at + q, j] = geometry[j, q]


def density_network(positions, net):
    out = torch.empty(positions.shape[1], len(net.out))
    points = positions.detach().contiguous().float().numpy()
    rows, layout = as_rows(net.table), arrays(net.layout)
    _density_network(points, rows, layout, *layers(net), out.numpy())
    return out
