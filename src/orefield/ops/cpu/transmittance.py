"""Numba twin of transmittance: one forward scan per ray, rays in parallel."""

import math

import torch
from numba import njit, prange


@njit(parallel=True, cache=True)
def _transmittance(log_density, dt, spans, before, largest, reaching, weights, left):
    for r in prange(len(spans)):
        first, count = spans[r, 0], spans[r, 1]
        light, thick = before[r], dt.dtype.type(0)
        for i in range(first, first + count):
            x = math.exp(min(log_density[i], largest)) * dt[i]
            thick += x
            reaching[i] = light
            weights[i] = light * -math.expm1(-x)
            light = before[r] * math.exp(-thick)
        left[r] = light


def transmittance(log_density, dt, spans, before, largest):
    inputs = (v.contiguous().numpy() for v in (log_density.detach(), dt, spans, before))
    out = torch.empty_like(dt), torch.empty_like(dt), torch.empty_like(before)
    _transmittance(*inputs, largest, *(v.numpy() for v in out))
    return out
