"""Numba twin of the hash-grid field's networks.

Samples go through all layers in blocks, a sample a row, whose activations stay in the cache. Every
layer is padded with zeros to whole vectors; w are the layers of the density, v those of the color.
In a field whose products are in bf16 they are, where the processor can (pairs.py), but for the
density's last layer and the sums over samples; else all are in fp32.
"""

import numba
import numpy as np
import torch
from numba import njit, prange

from orefield.ops.cpu.pairs import MULTIPLIES_PAIRS, apply, pairs
from orefield.ops.cpu.product import multiply, padded, rectify, rectify_backward
from orefield.ops.cpu.vectors import LANES
from orefield.system.kernel_cache import kernel

BLOCK = 64
"""Samples that go through the layers together."""
_PARTS = 16
"""Sums over samples made at a time, at most; the same for any number of threads, so that these give
the same bits."""


@njit
def _room(columns):
    """For numbers of a block: whole vectors."""
    return np.zeros((BLOCK, -(-columns // LANES) * LANES), np.float32)


@njit
def _room_for_bits(*rooms):
    """For those of the widest room, in bf16."""
    widest = 0
    for room in rooms:
        widest = max(widest, room.shape[1])
    return np.zeros((BLOCK, widest), np.uint16)


@njit
def _layer(x, weights, out, bits):
    apply(x, weights, out, bits)
    rectify(out)


@njit
def _geometry(features, at, n, w1, w2, start, f, hidden, geometry, bits):
    """The density's network at n samples from `at` on."""
    for k in range(len(features)):
        for q in range(n):
            f[q, k] = features[k, at + q]
    _layer(f, w1, hidden, bits)
    apply(hidden, w2, geometry, bits)
    for q in range(n):
        geometry[q, 0] += start


@njit
def _hidden_color(geometry, encoded, ray, n, v1, v2, x, first, second, bits):
    """Both hidden layers of the color's network at n samples."""
    code = geometry.shape[1]
    for q in range(n):
        r = ray[q]
        for k in range(code):
            x[q, k] = geometry[q, k]
        for k in range(encoded.shape[1]):
            x[q, code + k] = encoded[r, k]
    _layer(x, v1, first, bits)
    _layer(first, v2, second, bits)


@njit
def _back(back, g, activations, gradients, bits):
    """From the gradient at the outputs to those at every layer's outputs, and at the features."""
    w1, w2, v1, v2, v3 = back
    _, hidden, _, first, second = activations
    g_hidden, g_geometry, g_first, g_second, g_features = gradients
    apply(g, v3, g_second, bits)
    rectify_backward(g_second, second)
    apply(g_second, v2, g_first, bits)
    rectify_backward(g_first, first)
    apply(g_first, v1, g_geometry, bits)
    for q in range(BLOCK):
        g_geometry[q, 0] += g[q, 0]
    apply(g_geometry, w2, g_hidden, bits)
    rectify_backward(g_hidden, hidden)
    apply(g_hidden, w1, g_features, bits)


@njit
def _add_products(g, activations, gradients, sums, part):
    """Add the block's gradients of the weights."""
    w1, w2, v1, v2, v3 = sums
    f, hidden, x, first, second = activations
    g_hidden, g_geometry, g_first, g_second, _ = gradients
    multiply(g_hidden.T, f, w1[part], True)
    multiply(g_geometry.T, hidden, w2[part], True)
    multiply(g_first.T, x, v1[part], True)
    multiply(g_second.T, first, v2[part], True)
    multiply(g.T, second, v3[part], True)


@njit
def _write(block, n, out, at):
    """The first n rows, as far as `out` is wide."""
    for q in range(n):
        for k in range(out.shape[1]):
            out[at + q, k] = block[q, k]


@kernel(parallel=True)
def _density(features, w1, w2, start, tasks, out):
    samples = len(out)
    blocks = (samples + BLOCK - 1) // BLOCK
    for task in prange(tasks):
        f, hidden, geometry = _room(len(features)), _room(w1.shape[1]), _room(w2.shape[1])
        bits = _room_for_bits(f, hidden)
        for block in range(task * blocks // tasks, (task + 1) * blocks // tasks):
            at = block * BLOCK
            n = min(BLOCK, samples - at)
            _geometry(features, at, n, w1, w2, start, f, hidden, geometry, bits)
            _write(geometry, n, out, at)


@kernel(parallel=True)
def _color(geometry, encoded, ray, v1, v2, v3, tasks, out):
    samples = len(ray)
    blocks = (samples + BLOCK - 1) // BLOCK
    for task in prange(tasks):
        x, logits = _room(geometry.shape[1] + encoded.shape[1]), _room(v3.shape[1])
        first, second = _room(v1.shape[1]), _room(v2.shape[1])
        bits = _room_for_bits(x, first, second)
        for block in range(task * blocks // tasks, (task + 1) * blocks // tasks):
            at = block * BLOCK
            n = min(BLOCK, samples - at)
            here = slice(at, at + n)
            _hidden_color(geometry[here], encoded, ray[here], n, v1, v2, x, first, second, bits)
            apply(second, v3, logits, bits)
            _write(logits, n, out, at)


@kernel(parallel=True)
def _backward(features, encoded, ray, grad, forward, back, start, tasks, sums, at_features):
    w1, w2, v1, v2 = forward
    samples, parts = len(ray), len(sums[0])
    blocks = (samples + BLOCK - 1) // BLOCK
    wide, code = w1.shape[1], w2.shape[1]
    for task in prange(tasks):
        g, f, geometry, x = (
            _room(4),
            _room(len(features)),
            _room(code),
            _room(code + encoded.shape[1]),
        )
        hidden, first, second = _room(wide), _room(wide), _room(wide)
        activations = f, hidden, x, first, second
        gradients = _room(wide), _room(code), _room(wide), _room(wide), _room(len(features))
        bits = _room_for_bits(f, x, hidden)
        for part in range(task * parts // tasks, (task + 1) * parts // tasks):
            for block in range(part * blocks // parts, (part + 1) * blocks // parts):
                at = block * BLOCK
                n = min(BLOCK, samples - at)
                here = slice(at, at + n)
                _geometry(features, at, n, w1, w2, start, f, hidden, geometry, bits)
                _hidden_color(geometry, encoded, ray[here], n, v1, v2, x, first, second, bits)
                g[n:] = 0  # rows of the block before are added to no sum
                g[:n, : grad.shape[1]] = grad[here]
                _back(back, g, activations, gradients, bits)
                _add_products(g, activations, gradients, sums, part)
                _write(gradients[-1], n, at_features, at)


def density(features, layers, start, dtype):
    out = torch.empty(features.shape[1], len(layers.density2))
    w1, w2 = (padded(_array(w).T) for w in layers[:2])
    threads = numba.get_num_threads()
    _density(_array(features), _held(w1, dtype), w2, np.float32(start), threads, out.numpy())
    return out


def color(geometry, encoded, ray, layers, dtype):
    out = torch.empty(len(ray), len(layers.color3))
    inputs = _array(geometry), _array(encoded), _array(ray)
    weights = (_held(padded(_array(w).T), dtype) for w in layers[2:])
    _color(*inputs, *weights, numba.get_num_threads(), out.numpy())
    return out


def backward(features, encoded, ray, grad, layers, start, dtype):
    w1, w2, v1, v2, v3 = (_array(w) for w in layers)
    # A sample's gradient is that at its log density and then those at its logits.
    last = np.concatenate([np.zeros_like(v3[:1]), v3])
    forward = [padded(w.T) for w in (w1, w2, v1, v2)]
    back = [padded(w) for w in (w1, w2, v1[:, : len(w2)], v2, last)]
    shapes = (*(w.T.shape for w in forward), back[-1].shape)
    sums = tuple(np.zeros((_PARTS, *shape), np.float32) for shape in shapes)
    at_features = torch.empty(len(ray), len(features))
    _backward(
        *(_array(x) for x in (features, encoded, ray, grad)),
        *(_networks(weights, dtype) for weights in (forward, back)),
        np.float32(start), numba.get_num_threads(), sums, at_features.numpy(),
    )  # fmt: skip
    totals = [torch.from_numpy(total.sum(0)) for total in sums]
    totals[-1] = totals[-1][1:]
    found = [total[: len(w), : w.shape[1]] for total, w in zip(totals, layers, strict=True)]
    return (*found, at_features.T)


def _networks(weights, dtype):
    """Padded weights as they are multiplied; the density's last layer, the second, in fp32."""
    return tuple(w if k == 1 else _held(w, dtype) for k, w in enumerate(weights))


def _held(weights, dtype):
    return pairs(weights) if dtype == torch.bfloat16 and MULTIPLIES_PAIRS else weights


def _array(x):
    """In fp32, but for whole numbers, and row by row."""
    x = x.detach().contiguous()
    return (x.float() if x.is_floating_point() else x).numpy()
