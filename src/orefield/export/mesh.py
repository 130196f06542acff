"""Triangle meshes of a field's surface: marching cubes (Lorensen and Cline 1987) on its opacity.

A cell of the lattice of width h is as opaque as 1 - exp(-density h'), with h' such that the
surface, where that is one half, has the density asked for. Opacity saturates, so that vertices lie
where density rises and not where it is largest.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from orefield.errors import ExportError
from orefield.export.space import FieldInSpace
from orefield.export.visible import seen
from orefield.scenes.scene import View

SURFACE_DENSITY = 50.0
"""Density of the surface, per side of the scene's box: half of the light is gone after 1/72."""
FRUSTUM_FAR = 0.95
"""How deep a frustum's cube is meshed without a crop: 20 times as far as its near plane."""
_CLOSED = 8
"""Edges from vertices that are seen, on both sides, across which a hole is closed."""
_SLAB = 2**20
"""Points of the lattice evaluated at once."""

Region = tuple[tuple[float, float, float], tuple[float, float, float]]
"""Two opposite corners."""


@dataclass(frozen=True)
class Mesh:
    """Triangles in the coordinates of the scene's files."""

    vertices: Float[np.ndarray, "vertices 3"]
    faces: Int[np.ndarray, "faces 3"]
    """Counter-clockwise, seen from outside."""
    normals: Float[np.ndarray, "vertices 3"]
    colors: UInt8[np.ndarray, "vertices 3"]


def lattice_bytes(resolution: int) -> int:
    """Memory that a mesh of that resolution takes, about: its lattice, and marching cubes' own."""
    return 4 * (resolution + 1) ** 3 + 900 * 6 * resolution**2


def extract_mesh(
    space: FieldInSpace,
    views: Sequence[View],
    resolution: int = 256,
    surface_density: float = SURFACE_DENSITY,
    crop: Region | None = None,
    smallest_part: float = 0.01,
    faces: int = 0,
    report: Callable[[str, float], None] = lambda stage, share: None,
) -> Mesh:
    """The surface inside the scene's box, of a forward-facing scene inside its frustum.

    `views`: faces that none of them sees are left out; without a view all are kept. `resolution`:
    cells along the longest side. `crop`: two opposite corners, in the coordinates of the files, of
    what is meshed in place of the box. Parts with less than `smallest_part` of the largest part's
    faces are left out. `faces`: at most about so many; 0 keeps all. `report` is told the stage and
    the share of it that is done. Raises ExportError for a crop outside of what was trained, and
    where there is no surface.
    """
    low, high = _region(space, crop)
    cell = float((high - low).max()) / resolution
    shape = [max(round(float(side) / cell), 1) + 1 for side in high - low]
    opacity = _opacity(space, low, cell, shape, surface_density, partial(report, "densities"))
    points, triangles = _surface(space, opacity, low, cell)
    del opacity
    if points is None:
        raise ExportError(
            f"no surface of density {surface_density:g} in the region: nothing there is as dense, "
            "or everything; --surface-density, --crop, or longer training may help"
        )
    if space.frustum is not None and crop is not None:
        triangles = triangles[within(space, points, crop).numpy()[triangles].all(1)]
    if views:
        shown = seen(space, views, points, cell, partial(report, "what photographs show")).numpy()
        triangles = triangles[_closed(shown, triangles)[triangles].all(1)]
    if not len(triangles):
        raise ExportError("no surface in the region that any photograph shows")
    triangles = _large_parts(triangles, points.shape[1], smallest_part)
    corners, triangles = _used(points.T.numpy(), triangles)
    if faces and len(triangles) > faces:
        corners, triangles = _simplified(corners, triangles, faces)
    return _painted(space, torch.from_numpy(np.ascontiguousarray(corners.T)), triangles)


def _surface(
    space: FieldInSpace, opacity: Float[np.ndarray, "x y z"], low: Tensor, cell: float
) -> tuple[Float[Tensor, "3 vertices"] | None, Int[np.ndarray, "faces 3"]]:
    """Where opacity is one half, in scene units; None where it nowhere is."""
    from skimage.measure import marching_cubes

    if not float(opacity.min()) < 0.5 < float(opacity.max()):
        return None, np.zeros((0, 3), np.int64)
    corners, triangles, _, _ = marching_cubes(opacity, 0.5, gradient_direction="ascent")
    points = low[:, None] + cell * torch.from_numpy(np.ascontiguousarray(corners.T)).float()
    return points if space.frustum is None else space.frustum.to_scene(points), triangles


def _region(space: FieldInSpace, crop: Region | None) -> tuple[Tensor, Tensor]:
    """Corners of the lattice: in scene units, of a frustum in its cube."""
    if space.frustum is not None:
        return torch.zeros(3), torch.tensor([1.0, 1.0, FRUSTUM_FAR])
    if crop is None:
        return torch.zeros(3), torch.ones(3)
    first, second = (space.from_files(torch.tensor(corner)[:, None])[:, 0] for corner in crop)
    most = space.background_extent / 2
    low = torch.minimum(first, second).clamp(min=0.5 - most).float()
    high = torch.maximum(first, second).clamp(max=0.5 + most).float()
    if not bool((low < high).all()):
        corners = space.to_files(torch.tensor([[0.5 - most] * 3, [0.5 + most] * 3]).T)
        least, largest = (tuple(round(v, 4) for v in c.tolist()) for c in corners.unbind(1))
        raise ExportError(
            f"crop {crop} is empty or outside of the scene, which lies from {least} to {largest}"
        )
    return low, high


def _opacity(
    space: FieldInSpace,
    low: Tensor,
    cell: float,
    shape: list[int],
    surface_density: float,
    report: Callable[[float], None],
) -> Float[np.ndarray, "x y z"]:
    """Of the lattice's points, a slab at a time."""
    out = np.empty(shape, np.float32)
    length = math.log(2) / surface_density
    y, z = (low[axis] + cell * torch.arange(shape[axis]) for axis in (1, 2))
    layers = max(_SLAB // (shape[1] * shape[2]), 1)
    for start in range(0, shape[0], layers):
        x = low[0] + cell * torch.arange(start, min(start + layers, shape[0]))
        points = torch.stack(torch.meshgrid(x, y, z, indexing="ij")).flatten(1)
        if space.frustum is not None:
            points = space.frustum.to_scene(points)
        passed = torch.exp(-length * space.density(points))
        out[start : start + len(x)] = (1 - passed).view(len(x), *shape[1:]).numpy()
        report(min((start + layers) / shape[0], 1.0))
    return out


def _large_parts(
    triangles: Int[np.ndarray, "faces 3"], vertices: int, smallest: float
) -> Int[np.ndarray, "kept 3"]:
    """The faces of connected parts that have enough of them."""
    from scipy.sparse.csgraph import connected_components

    linked = _neighbors(triangles, vertices)
    part = connected_components(linked, directed=False)[1][triangles[:, 0]]
    sizes = np.bincount(part)
    kept: Int[np.ndarray, "kept 3"] = triangles[sizes[part] >= smallest * sizes.max()]
    return kept


def _closed(
    seen: Bool[np.ndarray, " vertices"], triangles: Int[np.ndarray, "faces 3"]
) -> Bool[np.ndarray, " vertices"]:
    """What is seen, and what lies in narrow gaps of it: morphological closing along the edges.

    Where density is soft, photographs show a surface in patches; a mesh should not be torn there.
    """
    linked = _neighbors(triangles, len(seen)) > 0
    linked = linked + linked.T

    def grown(some: Bool[np.ndarray, " vertices"]) -> Bool[np.ndarray, " vertices"]:
        for _ in range(_CLOSED):
            some = some | (linked @ some)
        return some

    closed: Bool[np.ndarray, " vertices"] = seen | ~grown(~grown(seen))
    return closed


def _neighbors(triangles: Int[np.ndarray, "faces 3"], vertices: int) -> Any:
    """A sparse matrix with an entry for each edge, in one of its two directions."""
    from scipy.sparse import csr_matrix

    edges = np.concatenate([triangles[:, :2], triangles[:, 1:], triangles[:, ::2]])
    return csr_matrix((np.ones(len(edges), np.int32), edges.T), (vertices, vertices))


def _used(
    vertices: Float[np.ndarray, "vertices 3"], triangles: Int[np.ndarray, "faces 3"]
) -> tuple[Float[np.ndarray, "used 3"], Int[np.ndarray, "faces 3"]]:
    """The vertices that faces have, and the faces by their new numbers."""
    numbers, faces = np.unique(triangles, return_inverse=True)
    return vertices[numbers], faces.reshape(-1, 3)


def _simplified(
    vertices: Float[np.ndarray, "vertices 3"], triangles: Int[np.ndarray, "faces 3"], most: int
) -> tuple[Float[np.ndarray, "left 3"], Int[np.ndarray, "kept 3"]]:
    """About `most` faces, by collapsing edges (Garland and Heckbert 1997)."""
    from fast_simplification import simplify

    left, faces = simplify(
        vertices.astype(np.float32), triangles.astype(np.int32), target_count=most
    )
    return _used(left, faces)


def within(
    space: FieldInSpace, points: Float[Tensor, "3 points"], crop: Region
) -> Bool[Tensor, " points"]:
    """Which points, in scene units, lie between two corners in the coordinates of the files."""
    corners = torch.tensor(crop, dtype=torch.float64).T
    low, high = corners.amin(1, keepdim=True), corners.amax(1, keepdim=True)
    there = space.to_files(points)
    inside: Tensor = ((there >= low) & (there <= high)).all(0)
    return inside


def _painted(
    space: FieldInSpace, points: Float[Tensor, "3 vertices"], triangles: Int[np.ndarray, "faces 3"]
) -> Mesh:
    """With normals, and with the colors that are seen from straight before the surface."""
    import trimesh

    vertices = space.to_files(points).T.contiguous().numpy()
    made = trimesh.Trimesh(vertices - vertices.mean(0), triangles, process=False)
    normals = np.array(made.vertex_normals)
    towards = -torch.from_numpy(normals.T.copy()).float()
    colors = (255 * space.color(points, towards)).round().to(torch.uint8)
    return Mesh(vertices, triangles, normals, colors.numpy())
