"""The real scenes, where they are present, read as their README says they should."""

import struct
import warnings
from functools import cache

import numpy as np
import pytest
import torch

from orefield.cameras import project, view_rays
from orefield.config import SceneConfig
from orefield.scenes import PixelSampler, SceneWarning, open_scene
from orefield.scenes.dataparsers.colmap_model import read_points
from orefield.sfm.similarity import compare_poses
from reading import quaternion


@cache
def opened_lego(folder):
    return open_scene(folder, SceneConfig(downscale=8, max_images=40, max_test_views=2))


@pytest.fixture
def lego(real_scenes):
    """Of the training views 40, which are enough to outline the model."""
    return opened_lego(real_scenes / "lego")


def on_object(view, points):
    """Which points, in scene units, fall on a pixel of this view that has alpha."""
    rotation, center = view.pose[:, :3], view.pose[:, 3]
    pixels = project(view.camera, (points - center) @ rotation).nan_to_num(-1).floor().long()
    width, height = view.camera.width, view.camera.height
    x, y = pixels[:, 0].clamp(0, width - 1), pixels[:, 1].clamp(0, height - 1)
    return (pixels[:, 0] == x) & (pixels[:, 1] == y) & (view.image[y, x, 3] > 0)


def test_lego_has_its_official_split_alpha_and_customary_box(lego):
    assert lego.split == "official, 40 of 100 training views, 2 of 200 test views"
    view = lego.train[0]
    assert view.image.shape == (50, 50, 4)
    assert (view.image[:, :, 3] == 0).any()
    assert (view.image[:, :, 3] == 255).any()
    assert float(lego.to_world[0, 0]) / 2 == pytest.approx(1.5, rel=0.05)
    center = lego.to_world @ torch.tensor([0.5, 0.5, 0.5, 1.0]).double()
    torch.testing.assert_close(center[:3], torch.zeros(3).double(), atol=1e-3, rtol=0)


def test_the_whole_lego_model_lies_inside_the_box(lego):
    """Its visual hull does: no point outside is on the object in every view."""
    points = 2 * torch.rand((25_000, 3), generator=torch.Generator().manual_seed(0)) - 0.5
    inside = ((points >= 0) & (points <= 1)).all(1)
    hull = torch.ones(len(points), dtype=torch.bool)
    for view in lego.train:
        hull &= on_object(view, points)
    assert hull.sum() > 50
    assert not (hull & ~inside).any()


def test_the_fox_names_its_missing_images_and_its_box_holds_the_cameras(real_scenes):
    config = SceneConfig(downscale=8, max_images=15, max_test_views=1)
    with pytest.warns(SceneWarning, match="17 of 67 images are missing: images/0005.jpg") as caught:
        scene = open_scene(real_scenes / "fox", config)
    assert len(caught) == 1
    assert scene.split == "every 8th image, 15 of 43 training views, 1 of 7 test views"
    camera = scene.train[0].camera
    assert (camera.width, camera.height, camera.distorted) == (135, 240, True)
    centers = torch.stack([view.pose[:, 3] for view in scene.train])
    assert (centers > 0).all()
    assert (centers < 1).all()
    focus = torch.full((1, 3), 0.5)
    for view in scene.train:  # all look at the middle of the box
        pixel = project(view.camera, (focus - view.pose[:, 3]) @ view.pose[:, :3])[0]
        assert (pixel > 0).all()
        assert pixel[0] < 135
        assert pixel[1] < 240
    # The cameras stand well outside what is cut off in front of each.
    assert 0.02 < scene.near < (centers - focus).norm(dim=1).min() / 2


def test_fern_is_boxed_between_its_bounds_where_no_frustum_is_wanted(real_scenes):
    scene = open_scene(real_scenes / "fern", SceneConfig(forward_facing="off"))
    assert (len(scene.train), len(scene.test)) == (17, 3)
    assert scene.frustum is None
    camera = scene.train[0].camera
    assert (camera.width, camera.height) == (504, 378)
    assert camera.fx == pytest.approx(3260.526 / 8, rel=1e-4)
    side = float(scene.to_world[0, 0])
    for view in scene.train:
        ahead = view.pose[:, 3] + view.pose[:, 2] * torch.tensor([[20.0], [80.0]]) / side
        assert (ahead > -0.01).all()
        assert (ahead < 1.01).all()
    # The closest of all bounds belongs to a training view or is only slightly below theirs.
    assert scene.near * side == pytest.approx(0.9 * 17, rel=0.02)


def test_fern_is_forward_facing_and_its_frustum_holds_what_its_cameras_see(real_scenes):
    scene = open_scene(real_scenes / "fern", SceneConfig())
    assert scene.frustum is not None
    side = float(scene.to_world[0, 0])
    assert scene.near * side == pytest.approx(0.9 * 17, rel=0.02)
    for view in scene.train:
        rays = view_rays(view.camera, view.pose)[::97]
        for depth in (17, 25, 80, 1e5):
            seen = rays.origins + depth / side / (rays.directions @ view.pose[:, 2:3]) * (
                rays.directions
            )
            cube = scene.frustum.to_cube(seen.T)
            assert ((cube > -1e-4) & (cube < 1 + 1e-4)).all()


def test_no_other_real_scene_is_forward_facing(real_scenes):
    few = {"max_images": 20, "max_test_views": 2, "downscale": 4}
    for name in ("fox", "bonsai", "mary_rose", "lego"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SceneWarning)
            scene = open_scene(real_scenes / name, SceneConfig(**few, masks="ignore"))
        assert scene.frustum is None, name


def test_mary_rose_has_its_masks_as_alpha(real_scenes):
    config = SceneConfig(downscale=4, max_images=12, max_test_views=3)
    scene = open_scene(real_scenes / "mary_rose", config)
    assert scene.split == "every 8th image, 12 of 60 training views, 3 of 9 test views"
    for view in scene.train + scene.test:
        assert view.image.shape == (108, 108, 4)
        assert 0.2 < (view.image[:, :, 3] > 127).float().mean() < 0.9
    assert len(PixelSampler(scene.train)) == 12 * 108 * 108


def test_bonsai_keeps_its_cameras_inside_the_box(real_scenes):
    config = SceneConfig(downscale=8, max_images=20, max_test_views=5)
    scene = open_scene(real_scenes / "bonsai", config)
    assert (len(scene.train), len(scene.test)) == (20, 5)
    assert scene.split == "every 8th image, 20 of 255 training views, 5 of 37 test views"
    centers = torch.stack([view.pose[:, 3] for view in scene.train])
    assert (centers > 0).all()
    assert (centers < 1).all()


def assert_equal_up_to_a_similarity(one, other, tolerance):
    """The same views in the same order, through the same lens, at the same poses."""
    for views, others in ((one.train, other.train), (one.test, other.test)):
        assert len(views) == len(others)
        poses, reference = (torch.stack([v.pose for v in vs]) for vs in (views, others))
        agreement = compare_poses(poses, reference)
        assert agreement.distances.max() < tolerance
        assert torch.deg2rad(agreement.degrees).max() < tolerance
        for view, another in zip(views, others, strict=True):
            assert torch.equal(view.image, another.image)
            assert view.camera.fx == pytest.approx(another.camera.fx, rel=1e-3)
            assert view.camera.coefficients == pytest.approx(another.camera.coefficients, abs=1e-6)


@cache
def opened_bonsai(folder, form):
    small = {"downscale": 8, "max_images": 20, "max_test_views": 3, "background_extent": 1}
    return open_scene(folder, SceneConfig(format=form, **small))


def test_bonsai_is_the_same_from_its_model_and_from_its_json(real_scenes):
    model, other = (opened_bonsai(real_scenes / "bonsai", f) for f in ("colmap", "transforms"))
    assert_equal_up_to_a_similarity(model, other, 1e-4)
    assert [f"images/{view.name}" for view in model.train] == [view.name for view in other.train]
    # The room's walls, about 10 from its middle, are in the box; the cameras are all within 6.
    assert 8 < float(model.to_world[0, 0]) / 2 < 12
    points = read_points(real_scenes / "bonsai/sparse/0/points3D.bin")
    assert len(points) > 15_000
    points = (points - model.to_world[:3, 3]) / model.to_world[0, 0]
    assert ((points > 0) & (points < 1)).all(1).float().mean() > 0.75
    assert 0.1 < model.near * float(model.to_world[0, 0]) < 2.7  # the nearest points in view


def test_our_reader_and_colmaps_agree_on_bonsai(real_scenes):
    pycolmap = pytest.importorskip("pycolmap")
    theirs = pycolmap.Reconstruction(real_scenes / "bonsai/sparse/0")
    scene = opened_bonsai(real_scenes / "bonsai", "colmap")
    side, corner = scene.to_world[0, 0], scene.to_world[:3, 3]
    poses = {i.name: i.cam_from_world().inverse().matrix() for i in theirs.images.values()}
    for view in scene.train + scene.test:
        expected = torch.from_numpy(poses[view.name])
        torch.testing.assert_close(view.pose[:, :3].double(), expected[:, :3], atol=1e-6, rtol=0)
        torch.testing.assert_close(
            view.pose[:, 3] * side + corner, expected[:, 3], atol=1e-5, rtol=0
        )


def test_fern_is_the_same_from_llff_and_from_its_model(real_scenes):
    if not (real_scenes / "fern/sparse/0/images.bin").is_file():
        pytest.skip("this copy of fern has no sparse/0/images.bin")
    other = open_scene(real_scenes / "fern", SceneConfig())
    with pytest.warns(SceneWarning, match=r"sorted order, image000\.png as IMG_"):
        model = open_scene(real_scenes / "fern", SceneConfig(format="colmap"))
    assert_equal_up_to_a_similarity(model, other, 1e-3)


def test_a_model_of_fern_under_its_full_size_names_reads_as_its_llff_file(real_scenes, tmp_path):
    """A model as COLMAP makes it of the 4032 x 3024 originals, beside `images_8`."""
    other = open_scene(real_scenes / "fern", SceneConfig())
    folder = tmp_path / "fern"
    (folder / "sparse/0").mkdir(parents=True)
    (folder / "images_8").symlink_to(real_scenes / "fern/images_8")
    views = sorted(other.train + other.test, key=lambda view: view.name)
    lens = (8 * views[0].camera.fx, 2016.0, 1512.0, 0.0)
    camera = struct.pack("<QIiQQ4d", 1, 1, 2, 4032, 3024, *lens)
    (folder / "sparse/0/cameras.bin").write_bytes(camera)
    images = struct.pack("<Q", len(views))
    for i, view in enumerate(views):
        rotation = view.pose[:, :3].double().numpy().T
        shift = -rotation @ view.pose[:, 3].double().numpy() * 7
        pose = np.concatenate((quaternion(rotation), shift))
        images += struct.pack("<I7dI", i + 1, *pose, 1) + f"IMG_{4026 + i}.JPG".encode()
        images += b"\0" + struct.pack("<Q", 0)
    (folder / "sparse/0/images.bin").write_bytes(images)
    depths = torch.linspace(20, 80, 40).double() / float(other.to_world[0, 0])
    cloud = struct.pack("<Q", 40 * len(views))
    for view in views:
        along = view.pose[:, 3].double() + depths[:, None] * view.pose[:, 2].double()
        for point in (7 * along).tolist():
            cloud += struct.pack("<Q3d3BdQ", 1, *point, 9, 9, 9, 0.5, 3) + bytes(24)
    (folder / "sparse/0/points3D.bin").write_bytes(cloud)
    with pytest.warns(SceneWarning, match=r"sorted order, image000\.png as IMG_4026\.JPG"):
        model = open_scene(folder, SceneConfig(allow_outside=True))
    assert_equal_up_to_a_similarity(model, other, 1e-5)
    # Without bounds in the files, the points in view give nearly the same box.
    assert float(model.to_world[0, 0]) / 7 == pytest.approx(1, rel=0.1)
