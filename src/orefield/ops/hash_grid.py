"""Multiresolution hash grid (Müller et al., "Instant Neural Graphics Primitives", 2022, section 3).

Level l is a lattice of `resolution[l]` cells per axis over the unit cube, whose vertices hold F
features each, two or four. A position's features at a level are the trilinear mix of its cell's
eight vertices.
A vertex (x, y, z) lives in row
    x + y (r+1) + z (r+1)^2                       where the level fits the table (dense),
    (x xor y 2654435761 xor z 805459861) mod size otherwise, in 32-bit arithmetic (equation 4).
Features are feature-major, `[F levels, samples]`: row F l + f is feature f of level l.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from orefield.ops.backend import pick

_PRIMES = (1, 2654435761, 805459861)


@dataclass(frozen=True)
class GridLayout:
    """Where each level lives in the table."""

    resolution: tuple[int, ...]
    """Cells per axis of each level."""
    first: tuple[int, ...]
    """First row of each level."""
    size: tuple[int, ...]
    """Rows of each level; a power of two where the level is hashed."""
    dense: tuple[bool, ...]
    """Whether every vertex has a row of its own."""
    features_per_level: int = 2
    """Length of a row: 2 or 4."""

    @property
    def rows(self) -> int:
        """Rows of the whole table."""
        return self.first[-1] + self.size[-1]

    @property
    def shape(self) -> tuple[int, int]:
        """Of the whole table."""
        return self.rows, self.features_per_level

    @property
    def features(self) -> int:
        """Features of a position, over all levels."""
        return self.features_per_level * len(self.resolution)


def grid_layout(
    levels: int,
    log2_hashmap_size: int,
    base_resolution: int,
    max_resolution: int,
    features_per_level: int = 2,
) -> GridLayout:
    """Levels from `base_resolution` to `max_resolution` cells per axis, in geometric progression.

    grid_layout(3, 9, 4, 36) has resolutions 4, 12 and 36. The first level's 125 vertices have a row
    each; the others' 2197 and 50653 vertices share 512 rows each (equations 2 and 3).
    Raises ValueError where features_per_level is neither 2 nor 4.
    """
    if features_per_level not in (2, 4):
        raise ValueError(f"features_per_level must be 2 or 4, got {features_per_level}")
    growth = (max_resolution / base_resolution) ** (1 / max(levels - 1, 1))
    resolution = [round(base_resolution * growth**level) for level in range(levels)]
    vertices = [(r + 1) ** 3 for r in resolution]
    size = [min(v, 2**log2_hashmap_size) for v in vertices]
    first = [sum(size[:level]) for level in range(levels)]
    dense = [v <= 2**log2_hashmap_size for v in vertices]
    return GridLayout(
        tuple(resolution), tuple(first), tuple(size), tuple(dense), features_per_level
    )


def corner_rows(
    positions: Float[Tensor, "3 samples"], layout: GridLayout, level: int
) -> tuple[Int[Tensor, "8 samples"], Float[Tensor, "8 samples"]]:
    """Table rows and trilinear weights of the eight vertices round each position."""
    r = layout.resolution[level]
    scaled = positions.clamp(0, 1) * r
    cell = scaled.long().clamp(0, r - 1)  # after the conversion: a NaN's is any integer
    inside = scaled - cell
    rows, weights = [], []
    for corner in range(8):
        step = torch.tensor([corner & 1, corner >> 1 & 1, corner >> 2 & 1], device=positions.device)
        vertex = cell + step[:, None]
        near = torch.where(step[:, None] == 1, inside, 1 - inside)
        if layout.dense[level]:
            row = vertex[0] + vertex[1] * (r + 1) + vertex[2] * (r + 1) ** 2
        else:
            hashed = [vertex[axis] * prime & 0xFFFFFFFF for axis, prime in enumerate(_PRIMES)]
            row = (hashed[0] ^ hashed[1] ^ hashed[2]) & (layout.size[level] - 1)
        rows.append(row + layout.first[level])
        weights.append(near[0] * near[1] * near[2])
    return torch.stack(rows), torch.stack(weights)


def definition(
    table: Float[Tensor, "rows width"], positions: Float[Tensor, "3 samples"], layout: GridLayout
) -> Float[Tensor, "features samples"]:
    """Features of each position, level by level, in plain torch."""
    features = []
    for level in range(len(layout.resolution)):
        rows, weights = corner_rows(positions, layout, level)
        features.append((table[rows] * weights[..., None]).sum(0).T)
    return torch.cat(features)


def hash_grid(
    table: Float[Tensor, "rows width"],
    positions: Float[Tensor, "3 samples"],
    layout: GridLayout,
    dtype: torch.dtype = torch.float32,
    half: Float[Tensor, "rows width"] | None = None,
) -> Float[Tensor, "features samples"]:
    """Features of positions in the unit cube (clamped to it), with a gradient for the table.

    `half` is a copy of the table in half precision, which is read instead (GPUs: half the bytes to
    fetch); the gradient is the table's all the same. Raises ValueError when the table does not have
    the layout's rows.
    """
    if table.shape != layout.shape or table.dtype != torch.float32:
        raise ValueError(
            f"table must be float32 {list(layout.shape)} for this layout, "
            f"got {table.dtype} {list(table.shape)}"
        )
    if positions.ndim != 2 or positions.shape[0] != 3:
        raise ValueError(f"positions must be [3, samples], got {list(positions.shape)}")
    features: Tensor = _HashGrid.apply(table, positions, layout, dtype, half)
    return features


def hash_grid_backward(
    grad: Float[Tensor, "features samples"],
    positions: Float[Tensor, "3 samples"],
    layout: GridLayout,
    sink: Float[Tensor, "rows width"],
) -> None:
    """Add dL/dtable to `sink`, given dL/dfeatures: scatter each weight times its gradient."""
    twin = pick("hash_grid", sink)
    # A GPU's atomic additions come in any order; index_add_ has one in torch's deterministic mode.
    ordered = sink.device.type == "cuda" and torch.are_deterministic_algorithms_enabled()
    if twin is not None and not ordered:
        twin.backward(grad, positions, layout, sink)
        return
    width = layout.features_per_level
    for level in range(len(layout.resolution)):
        rows, weights = corner_rows(positions, layout, level)
        at_level = grad[width * level : width * (level + 1)].T.float()
        into = weights[..., None] * at_level
        sink.index_add_(0, rows.flatten(), into.flatten(0, 1).to(sink.dtype))


class _HashGrid(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        table: Tensor,
        positions: Tensor,
        layout: GridLayout,
        dtype: torch.dtype,
        half: Tensor | None,
    ) -> Tensor:
        ctx.save_for_backward(positions)
        ctx.layout = layout
        twin = pick("hash_grid", table)
        read = table if half is None else half
        if twin is None:
            return definition(read.float(), positions, layout).to(dtype)
        features: Tensor = twin.forward(read, positions, layout, dtype)
        return features

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None, None]:
        (positions,) = ctx.saved_tensors
        table = torch.zeros(ctx.layout.shape, device=positions.device)
        hash_grid_backward(grads[0], positions, ctx.layout, table)
        return table, None, None, None, None
