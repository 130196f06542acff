"""Laws of exported points, and of the model that splatting starts from."""

from functools import partial

import numpy as np
import pycolmap
import pytest
import torch
import trimesh

from limits import small_files
from orefield.config import SceneConfig
from orefield.errors import ExportError
from orefield.export.colmap import write_colmap
from orefield.export.files import write_mesh, write_points
from orefield.export.mesh import extract_mesh
from orefield.export.points import extract_points
from orefield.scenes import open_scene
from solid_field import ball, space_of, views_round

CENTER = np.array([11.0, -4.0, 4.0])
SPACE = space_of(ball((0.5, 0.5, 0.5), 0.3))


def test_points_lie_on_the_surface_and_their_normals_face_outward():
    points = extract_points(SPACE, views_round(), 3000)
    offset = points.positions - CENTER
    away = np.linalg.norm(offset, axis=1)
    assert 2000 < len(away) <= 3000
    assert np.abs(away - 0.6).max() < 0.01 * 2  # one per cent of the box's side
    outward = (offset / away[:, None] * points.normals).sum(1)
    assert np.median(outward) > 0.95
    np.testing.assert_allclose(np.linalg.norm(points.normals, axis=1), 1, atol=1e-5)
    assert np.unique(points.positions, axis=0).shape == points.positions.shape


def test_equal_seeds_give_equal_points_and_a_crop_bounds_them():
    one, same = (extract_points(SPACE, views_round(3), 500, seed=5) for _ in range(2))
    assert np.array_equal(one.positions, same.positions)
    crop = (0.0, -9.0, -9.0), (11.0, 9.0, 9.0)
    assert extract_points(SPACE, views_round(3), 500, crop).positions[:, 0].max() <= 11.0


def test_nothing_opaque_is_an_error():
    with pytest.raises(ExportError, match="no view of 5 sees a surface"):
        extract_points(space_of(ball((0.5, 0.5, 0.5), -1.0)), views_round(3), 100)


@pytest.mark.parametrize("ending", ["ply", "obj", "glb"])
def test_a_mesh_comes_back_from_its_file(ending, tmp_path):
    mesh = extract_mesh(SPACE, (), 24)
    file = tmp_path / f"mesh.{ending}"
    write_mesh(mesh, file)
    read = trimesh.load_mesh(file, process=False)
    assert len(read.faces) == len(mesh.faces)
    np.testing.assert_allclose(read.bounds, [mesh.vertices.min(0), mesh.vertices.max(0)], atol=1e-5)
    assert read.volume == pytest.approx(4 / 3 * np.pi * 0.6**3, rel=0.05)
    np.testing.assert_array_equal(
        read.visual.vertex_colors[:, :3].mean(0).round(), mesh.colors.mean(0).round()
    )


def test_points_come_back_from_their_file_with_normals(tmp_path):
    points = extract_points(SPACE, views_round(3), 500)
    write_points(points, tmp_path / "points.ply")
    read = trimesh.load(tmp_path / "points.ply", process=False)
    np.testing.assert_allclose(read.vertices, points.positions, atol=1e-5)
    colors = getattr(read, "colors", None)
    colors = read.visual.vertex_colors if colors is None else colors
    np.testing.assert_array_equal(colors[:, :3], points.colors)
    head = (tmp_path / "points.ply").read_bytes()[:600]
    assert b"property float nx" in head


def test_a_splat_start_opens_in_colmap_and_as_a_scene_with_the_same_poses(tmp_path):
    views, out = views_round(6), tmp_path / "splat"
    points = extract_points(SPACE, views, 800)
    write_colmap(points, views, SPACE, out)
    model = pycolmap.Reconstruction(out / "sparse" / "0")
    assert len(model.points3D) == len(points.positions)
    assert model.num_images() == len(views)
    first = min(model.points3D)
    np.testing.assert_allclose(model.points3D[first].xyz, points.positions[0], atol=1e-6)
    np.testing.assert_array_equal(model.points3D[first].color, points.colors[0])
    for image in model.images.values():
        view = views[int(image.name[:4])]
        pose = image.cam_from_world().inverse().matrix()
        np.testing.assert_allclose(pose[:, :3], view.pose[:, :3].numpy(), atol=1e-6)
        np.testing.assert_allclose(
            pose[:, 3], SPACE.to_files(view.pose[:, 3:])[:, 0].numpy(), atol=1e-5
        )
    scene = open_scene(out, SceneConfig(format="colmap", holdout=0))
    back = torch.stack([v.pose[:, 3] for v in scene.train]).double() @ scene.to_world[:3, :3].T
    want = torch.stack([SPACE.to_files(v.pose[:, 3:])[:, 0] for v in views])
    torch.testing.assert_close(back + scene.to_world[:3, 3], want, atol=1e-4, rtol=0)
    assert scene.train[0].camera == views[0].camera


@pytest.mark.parametrize("what", ["mesh.ply", "mesh.obj", "mesh.glb", "points.ply", "splat"])
def test_a_full_disk_names_the_file_and_leaves_nothing(what, tmp_path):
    views, out = views_round(3), tmp_path / what
    points, mesh = extract_points(SPACE, views, 800), extract_mesh(SPACE, (), 24)
    write = partial(write_mesh, mesh)
    if what == "points.ply":
        write = partial(write_points, points)
    elif what == "splat":
        write = partial(write_colmap, points, views, SPACE)
    with small_files(), pytest.raises(OSError, match=rf"too large.*{what}"):
        write(out)
    assert list(tmp_path.iterdir()) == []
