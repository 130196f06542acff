"""Sparse Adam: rows of a table whose gradient is exactly zero are left alone.

Most rows of a hash table get no gradient in a step, and fewer still under mining. Plain Adam would
keep moving them by momentum and decay their second moment; skipping them is faster and keeps their
step size (tiny-cuda-nn does the same). Otherwise Kingma and Ba 2015, algorithm 1, with the step
count of the whole table.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from orefield.ops.backend import pick

BETAS = (0.9, 0.99)
EPSILON = 1e-15
FP16_MAX = 65504.0
"""The largest number of fp16, which stands in a working copy for all beyond it."""


def half_copy(table: Float[Tensor, "rows width"]) -> Float[Tensor, "rows width"]:
    """The table in fp16: a working copy with half the bytes to fetch."""
    return table.detach().clamp(-FP16_MAX, FP16_MAX).half()


def definition(
    table: Float[Tensor, "rows width"],
    grad: Float[Tensor, "rows width"],
    mean: Float[Tensor, "rows width"],
    square: Float[Tensor, "rows width"],
    half: Float[Tensor, "rows width"] | None,
    numbers: Float[Tensor, "2"],
) -> None:
    """The update in plain torch, in place; clears the gradient.

    `numbers` are lr / (1 - beta1^step) and 1 / (1 - beta2^step), as the moments start at 0.
    """
    scale, bias = numbers
    touched = (grad != 0).any(1)
    g = grad[touched]
    mean[touched] += (1 - BETAS[0]) * (g - mean[touched])
    square[touched] += (1 - BETAS[1]) * (g * g - square[touched])
    table[touched] -= scale * mean[touched] / ((square[touched] * bias).sqrt() + EPSILON)
    if half is not None:
        half[touched] = half_copy(table[touched])
    grad.zero_()


def adam_scalars(lr: Tensor, step: Tensor) -> Float[Tensor, "2"]:
    """What a step, counted from 1, needs of the learning rate and its count."""
    return torch.stack([lr / (1 - BETAS[0] ** step), 1 / (1 - BETAS[1] ** step)])


@torch.no_grad()
def sparse_adam(
    table: Float[Tensor, "rows width"],
    grad: Float[Tensor, "rows width"],
    mean: Float[Tensor, "rows width"],
    square: Float[Tensor, "rows width"],
    numbers: Float[Tensor, "2"],
    half: Float[Tensor, "rows width"] | None = None,
) -> None:
    """One step on the rows with a gradient; in place, and clears `grad`.

    `numbers` are those of `adam_scalars`, on the table's device, so that a replayed step may change
    them. `half` is a working copy of the table in half precision: rows that change are written
    there too. In the first step, with lr = 0.1:

        grad = [[3, -1], [0, 0]]    changes the table by [[-0.1, 0.1], [0, 0]]

    Raises ValueError when the tables differ in shape or do not lie row by row in memory.
    """
    tables = [v for v in (table, grad, mean, square, half) if v is not None]
    shapes = {tuple(v.shape) for v in tables}
    if len(shapes) != 1 or table.ndim != 2:
        raise ValueError(f"tables of one shape expected, got {shapes}")
    if not all(v.is_contiguous() for v in tables):
        raise ValueError(f"contiguous tables expected, got strides {[v.stride() for v in tables]}")
    twin = pick("sparse_adam", table)
    if twin is None:
        definition(table, grad, mean, square, half, numbers)
    else:
        twin.sparse_adam(table, grad, mean, square, half, numbers, *BETAS, EPSILON)
