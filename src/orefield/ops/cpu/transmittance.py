"""Numba twin of transmittance: one forward scan per ray, rays in parallel."""

import math

import torch
from numba import prange

from orefield.system.kernel_cache import kernel


@kernel(parallel=True)
def _transmittance(log_density, dt, spans, initial, largest, before, weights, after):
    for r in prange(len(spans)):
        first, count = spans[r, 0], spans[r, 1]
        remaining, passed = initial[r], dt.dtype.type(0)
        for i in range(first, first + count):
            x = math.exp(min(log_density[i], largest)) * dt[i]
            passed += x
            before[i] = remaining
            weights[i] = remaining * -math.expm1(-x)
            remaining = initial[r] * math.exp(-passed)
        after[r] = remaining


def transmittance(log_density, dt, spans, initial, largest):
    inputs = (v.contiguous().numpy() for v in (log_density.detach(), dt, spans, initial))
    out = torch.empty_like(dt), torch.empty_like(dt), torch.empty_like(initial)
    _transmittance(*inputs, largest, *(v.numpy() for v in out))
    return out
