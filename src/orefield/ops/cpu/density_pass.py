"""Numba twin of the density pass with early termination.

A task has its share of the rays and goes along all of them in rounds: a few samples of each ray
that has not ended, their features, their densities, the transmittance that remains. So a level's
table and the network's weights are used for thousands of samples at a time, and a ray ends within a
round of its surface. Visible samples are logged as they are found, and put into ray order at the
end.
"""

import math

import numba
import numpy as np
import torch
from numba import njit, prange

from orefield.ops.cpu.density_network import density_mlp, encode_blocks, layers
from orefield.ops.cpu.hash_grid import BLOCK, arrays, block_room
from orefield.ops.cpu.march import distance, inverse, next_sample, place, walk_of
from orefield.ops.cpu.vectors import as_rows
from orefield.system.kernel_cache import kernel
from orefield.types import PackedSamples

_I, _F = np.int32, np.float32
_LEAST = 256
"""Room for samples found by a task, at least."""


@njit(error_model="numpy")
def _advance(r, k, o, d, begin, end, shift, walk, cells, res, positions, t, dt, at, most):
    """The next samples of a ray, at most `most`; how many, and where to go on."""
    ox, oy, oz = o[r, 0], o[r, 1], o[r, 2]
    dx, dy, dz = d[r, 0], d[r, 1], d[r, 2]
    ix, iy, iz = inverse(dx), inverse(dy), inverse(dz)
    count, (least, octave, per_octave, levels) = 0, walk
    while count < most:
        k = next_sample(k, shift, begin, end, walk, ox, oy, oz, dx, dy, dz, ix, iy, iz, cells, res)
        if k < 0:
            break
        away, step, _ = distance(begin + (_F(k) + shift), least, octave, per_octave)
        t[at + count], dt[at + count] = away, step
        x, y, z = place(o, d, r, away, levels)
        positions[0, at + count], positions[1, at + count], positions[2, at + count] = x, y, z
        count += 1
        k += _I(1)
    return count, k


@njit(error_model="numpy")
def _keep_visible(
    task, r, first, last, passed, limits, positions, t, dt, geometry, logged, log, counts
):  # fmt: skip
    """Log a ray's visible samples; returns optical depth, transmittance and entries so far."""
    min_transmittance, min_weight, largest = limits
    log_ray, log_t, log_dt, log_position, log_geometry = log
    remaining = math.exp(-passed)
    for i in range(first, last):
        if remaining < min_transmittance:
            break
        s = geometry[i // BLOCK, 0, i % BLOCK]
        passed += math.exp(largest if s > largest else s) * dt[i]
        before, remaining = remaining, math.exp(-passed)
        if not before - remaining < min_weight:
            if logged < log_ray.shape[1]:
                log_ray[task, logged], log_t[task, logged], log_dt[task, logged] = r, t[i], dt[i]
                for j in range(3):
                    log_position[task, logged, j] = positions[j, i]
                for j in range(geometry.shape[1]):
                    log_geometry[task, logged, j] = geometry[i // BLOCK, j, i % BLOCK]
                counts[r] += 1
            logged += 1
    return passed, remaining, logged


@kernel(parallel=True, error_model="numpy")
def _density_pass(
    rays, clear, walk, rows, layout, w1, w2, start, limits, stretch,
    tasks, evaluated, found, counts, log,
):  # fmt: skip
    o, d, begin, leave, jitter = rays
    min_transmittance, res, cells = limits[0], _I(clear.shape[1]), clear.reshape(-1)
    depth, code = w1.shape[1], len(w2)
    for task in prange(tasks):
        low, high = task * len(o) // tasks, (task + 1) * len(o) // tasks
        alive, ks = np.arange(low, high), np.zeros(high - low, np.int32)
        optical_depth, begins = np.zeros(high - low, np.float32), np.zeros(high - low + 1, np.int64)
        blocks = ((high - low) * stretch + BLOCK - 1) // BLOCK
        room = blocks * BLOCK
        positions = np.empty((3, room), np.float32)
        t, dt = np.empty(room, np.float32), np.empty(room, np.float32)
        features = np.zeros((blocks, depth, BLOCK), np.float32)
        geometry = np.empty((blocks, code, BLOCK), np.float32)
        hidden, corners = np.empty((len(w1), BLOCK), np.float32), block_room(rows)
        left, logged, total = high - low, 0, 0
        while left > 0:
            samples = 0
            for a in range(left):
                r = alive[a]
                begins[a] = samples
                taken, ks[r - low] = _advance(
                    r, ks[r - low], o, d, begin[r], leave[r], jitter[r], walk, cells, res,
                    positions, t, dt, samples, stretch,
                )  # fmt: skip
                samples += taken
            begins[left] = samples
            encode_blocks(rows, positions, 0, samples, layout, corners, features)
            for block in range((samples + BLOCK - 1) // BLOCK):
                density_mlp(features[block], w1, w2, start, hidden, geometry[block])
            going = 0
            for a in range(left):
                r = alive[a]
                optical_depth[r - low], remaining, logged = _keep_visible(
                    task, r, begins[a], begins[a + 1], optical_depth[r - low], limits,
                    positions, t, dt, geometry, logged, log, counts,
                )  # fmt: skip
                if ks[r - low] >= 0 and not remaining < min_transmittance:
                    alive[going] = r
                    going += 1
            left = going
            total += samples
        evaluated[task], found[task] = total, logged


@kernel(parallel=True)
def _write_in_ray_order(tasks, found, starts, log, positions, t, dt, ray, geometry):
    log_ray, log_t, log_dt, log_position, log_geometry = log
    for task in prange(tasks):
        for e in range(found[task]):
            r = log_ray[task, e]
            at = starts[r]
            starts[r] += 1  # a ray belongs to one task
            ray[at], t[at], dt[at] = r, log_t[task, e], log_dt[task, e]
            for j in range(3):
                positions[j, at] = log_position[task, e, j]
            for j in range(geometry.shape[1]):
                geometry[at, j] = log_geometry[task, e, j]


def density_pass(rays, begin, leave, grid, jitter, net, limits, expected, stretch):
    n, code = len(rays), len(net.out)
    values = rays.origins, rays.directions, begin, leave, jitter
    packed = tuple(v.contiguous().numpy() for v in values)
    w1, w2, start = layers(net)
    tasks = numba.get_num_threads()
    capacity = max(expected * 5 // (4 * tasks), _LEAST)
    while True:
        log = (
            torch.empty(tasks, capacity, dtype=torch.int32),
            *torch.empty(2, tasks, capacity),
            torch.empty(tasks, capacity, 3),
            torch.empty(tasks, capacity, len(w2)),
        )
        logs = tuple(part.numpy() for part in log)
        evaluated, found = np.zeros(tasks, np.int64), np.zeros(tasks, np.int64)
        counts = np.zeros(n, np.int64)
        _density_pass(
            packed, grid.clear.contiguous().numpy(), walk_of(grid), as_rows(net.table),
            arrays(net.layout), w1, w2, start,
            tuple(np.float32(v) for v in limits), stretch, tasks, evaluated, found, counts, logs,
        )  # fmt: skip
        if found.max() <= capacity:
            break
        capacity = int(found.max()) * 5 // 4  # rare: the guess was too low
    starts = counts.cumsum() - counts
    samples = int(counts.sum())
    spans = torch.from_numpy(np.stack([starts, counts], 1).astype(np.int32))
    positions, t, dt = torch.empty(3, samples), *torch.empty(2, samples)
    ray, geometry = torch.empty(samples, dtype=torch.int32), torch.empty(samples, code)
    _write_in_ray_order(
        tasks, found, starts, logs, *(v.numpy() for v in (positions, t, dt, ray, geometry))
    )
    chosen = PackedSamples(positions, t, dt, ray, spans)
    return chosen, geometry, int(evaluated.sum())
