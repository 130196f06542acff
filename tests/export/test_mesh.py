"""Laws of meshes: they lie on the surface, face outward, and leave out what they should."""

import numpy as np
import pytest
import torch
import trimesh

from orefield.errors import ExportError
from orefield.export.mesh import Mesh, _closed, extract_mesh, lattice_bytes
from solid_field import TO_WORLD, ball, space_of, views_round

MIDDLE = (0.5, 0.5, 0.5)
CENTER = np.array([11.0, -4.0, 4.0])
"""Of the box, in the coordinates of the files."""


def away(mesh: Mesh) -> np.ndarray:
    """Distances of the vertices from the box's middle, in scene units."""
    return np.linalg.norm(mesh.vertices - CENTER, axis=1) / 2


@pytest.mark.parametrize("views", [(), views_round()], ids=["all", "seen"])
def test_a_ball_is_met_within_a_fraction_of_a_cell(views):
    mesh = extract_mesh(space_of(ball(MIDDLE, 0.3)), views, 48)
    assert np.abs(away(mesh) - 0.3).max() < 0.5 / 48
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    # Positive: faces run counter-clockwise seen from outside. A ball of radius 0.6.
    assert solid.volume == pytest.approx(4 / 3 * np.pi * 0.6**3, rel=0.02)
    outward = (mesh.vertices - CENTER) / np.linalg.norm(mesh.vertices - CENTER, axis=1)[:, None]
    assert (outward * mesh.normals).sum(1).min() > 0.97


def test_a_vertex_has_the_color_seen_from_before_it():
    mesh = extract_mesh(space_of(ball(MIDDLE, 0.3)), (), 32)
    red = mesh.colors[:, 0] / 255
    want = 1 / (1 + np.exp(-3 * mesh.normals[:, 0]))  # seen along -normal
    assert np.abs(red - want).max() < 0.02


def test_what_no_view_sees_is_left_out_unless_asked_for():
    hollow = space_of(lambda p: (ball(MIDDLE, 0.35)(p)).maximum(-ball(MIDDLE, 0.2)(p)))
    whole = extract_mesh(hollow, (), 48, smallest_part=0.0)
    assert away(whole).min() == pytest.approx(0.2, abs=0.01)
    outside = extract_mesh(hollow, views_round(), 48, smallest_part=0.0)
    assert away(outside).min() > 0.34


def test_a_soft_surface_is_not_torn():
    """Seven eighths of the light are stopped before it: its median depth lies four cells away."""
    soft = space_of(ball(MIDDLE, 0.3), steep=25.0)
    mesh = extract_mesh(soft, views_round(12), 96)
    assert trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).is_watertight


def test_narrow_gaps_in_what_is_seen_are_closed_and_wide_ones_are_not():
    n = 60
    x, y = np.meshgrid(np.arange(n), np.arange(n), indexing="ij")
    corner = (x * n + y)[:-1, :-1].ravel()
    faces = np.concatenate(
        [
            np.stack([corner, corner + 1, corner + n], 1),
            np.stack([corner + 1, corner + n + 1, corner + n], 1),
        ]
    )
    seen = np.ones((n, n), bool)
    seen[10:20, 10:20] = False  # ten edges wide: closed
    seen[25:55, 20:55] = False  # thirty: stays, but for its corners
    closed = _closed(seen.ravel(), faces).reshape(n, n)
    assert closed[10:20, 10:20].all()
    assert closed[seen].all()
    assert not closed[34:46, 30:45].any()


def test_small_parts_are_left_out():
    two = space_of(
        lambda p: ball((0.4, 0.5, 0.5), 0.25)(p).minimum(ball((0.85, 0.5, 0.5), 0.04)(p))
    )
    both = extract_mesh(two, (), 48, smallest_part=0.0)
    large = extract_mesh(two, (), 48, smallest_part=0.1)
    assert both.vertices[:, 0].max() > 11.7
    assert large.vertices[:, 0].max() == pytest.approx(10 + 2 * 0.65, abs=0.02)


def test_a_simplified_mesh_has_fewer_faces_on_the_same_surface():
    mesh = extract_mesh(space_of(ball(MIDDLE, 0.3)), (), 48, faces=800)
    assert 400 < len(mesh.faces) <= 800
    assert np.abs(away(mesh) - 0.3).max() < 0.02
    assert len(mesh.colors) == len(mesh.normals) == len(mesh.vertices) == mesh.faces.max() + 1


def test_a_crop_in_the_files_coordinates_bounds_the_mesh():
    crop = (11.0, -9.0, -9.0), (30.0, 9.0, 9.0)
    mesh = extract_mesh(space_of(ball(MIDDLE, 0.3)), (), 32, crop=crop)
    assert mesh.vertices[:, 0].min() >= 11.0 - 1e-6
    assert mesh.vertices[:, 0].max() == pytest.approx(11.6, abs=0.01)


@pytest.mark.parametrize("outside", [ball(MIDDLE, -1.0), ball(MIDDLE, 5.0)], ids=["empty", "full"])
def test_without_a_surface_there_is_an_error(outside):
    with pytest.raises(ExportError, match="no surface of density 50"):
        extract_mesh(space_of(outside), (), 16)


def test_a_crop_outside_of_the_scene_names_where_that_lies():
    crop = (100.0, 0.0, 0.0), (101.0, 1.0, 1.0)
    with pytest.raises(ExportError, match=r"outside of the scene, which lies from \(10\.0, -5\.0"):
        extract_mesh(space_of(ball(MIDDLE, 0.3)), (), 16, crop=crop)


def test_points_in_cells_that_are_never_sampled_are_empty():
    space = space_of(ball(MIDDLE, 0.3))
    occupied = torch.zeros(1, 16, 16, 16, dtype=torch.bool)
    occupied[0, :8] = True  # x < 1/2
    space.sampler.occupy(occupied)
    left, right = torch.tensor([[0.45], [0.5], [0.5]]), torch.tensor([[0.55], [0.5], [0.5]])
    assert float(space.density(left)) > 1000
    assert float(space.density(right)) == 0
    assert float(space.density(torch.tensor([[-0.2], [0.5], [0.5]]))) == 0


def test_there_and_back_to_the_files_coordinates():
    space, points = space_of(ball(MIDDLE, 0.3)), torch.rand(3, 20)
    torch.testing.assert_close(space.from_files(space.to_files(points)).float(), points)
    corner = space.to_files(torch.zeros(3, 1))[:, 0]
    assert corner.tolist() == TO_WORLD[:3, 3].tolist()


def test_resolution_512_is_said_to_fit_four_gibibytes():
    assert 4 * 512**3 < lattice_bytes(512) < 4 * 2**30
