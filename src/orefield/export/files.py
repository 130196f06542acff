"""Meshes and points as files, through trimesh; written whole or not at all."""

from pathlib import Path

import numpy as np
import trimesh
from trimesh.exchange.ply import export_ply

from orefield.export.mesh import Mesh
from orefield.export.points import Points
from orefield.system.files import write_atomically


def write_mesh(mesh: Mesh, path: Path) -> None:
    """PLY, OBJ or GLB, by the path's ending; OSError names a file that cannot be written."""
    made = trimesh.Trimesh(
        mesh.vertices,
        mesh.faces,
        vertex_normals=mesh.normals,
        vertex_colors=_opaque(mesh.colors),
        process=False,
    )
    _write(made, path)


def write_points(points: Points, path: Path) -> None:
    """A PLY of points with normals and colors."""
    # trimesh writes no normals of its point clouds, but those of a mesh without faces.
    cloud = trimesh.Trimesh(
        points.positions,
        np.zeros((0, 3), np.int64),
        vertex_normals=points.normals,
        vertex_colors=_opaque(points.colors),
        process=False,
    )
    write_atomically(path, export_ply(cloud, vertex_normal=True))


def _opaque(colors: np.ndarray) -> np.ndarray:
    return np.concatenate([colors, np.full_like(colors[:, :1], 255)], 1)


def _write(made: trimesh.Trimesh, path: Path) -> None:
    data = made.export(file_type=path.suffix[1:].lower())
    write_atomically(path, data.encode() if isinstance(data, str) else data)
