"""Numba twin of drawing from histograms: steps and bins both ascend, so one walk finds all."""

import numpy as np
import torch
from numba import njit, prange

from orefield.system.kernel_cache import kernel

_F = np.float32
_RAYS = 64
"""Of a task."""


@njit(error_model="numpy")
def _draw(edges, weights, padding, shift, drawn):
    total = _F(0)
    for weight in weights:
        total += weight + padding
    step, at, below = total / _F(len(drawn)), 0, _F(0)
    for i in range(len(drawn)):
        u, here = (_F(i) + shift) * step, weights[at] + padding
        while at < len(weights) - 1 and below + here <= u:
            below += here
            at += 1
            here = weights[at] + padding
        share = (u - below) / here
        share = _F(0) if share < 0 else _F(1) if share > 1 else share  # a NaN stays one
        drawn[i] = edges[at] + share * (edges[at + 1] - edges[at])


@kernel(parallel=True, error_model="numpy")
def _sample_pdf(edges, weights, padding, jitter, drawn):
    rays = len(edges)
    for task in prange((rays + _RAYS - 1) // _RAYS):
        for r in range(task * _RAYS, min((task + 1) * _RAYS, rays)):
            _draw(edges[r], weights[r], padding, jitter[r], drawn[r])


def sample_pdf(edges, weights, number, jitter, padding):
    out = torch.empty(len(edges), number + 1)
    given = (v.detach().contiguous().float().numpy() for v in (edges, weights, jitter))
    held, weight, shift = given
    _sample_pdf(held, weight, np.float32(padding), shift, out.numpy())
    return out
