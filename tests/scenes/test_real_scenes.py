"""The real scenes, where they are present, read as their README says they should."""

import pytest
import torch

from orefield.cameras import project
from orefield.config import SceneConfig
from orefield.scenes import PixelBank, SceneWarning, open_scene


@pytest.fixture
def lego(real_scenes):
    return open_scene(real_scenes / "lego", SceneConfig(downscale=8))


def on_object(view, points):
    """Which points, in scene units, lie in this view's picture on a pixel with alpha."""
    rotation, centre = view.pose[:, :3], view.pose[:, 3]
    pixels = project(view.camera, (points - centre) @ rotation).nan_to_num(-1).floor().long()
    width, height = view.camera.width, view.camera.height
    x, y = pixels[:, 0].clamp(0, width - 1), pixels[:, 1].clamp(0, height - 1)
    return (pixels[:, 0] == x) & (pixels[:, 1] == y) & (view.image[y, x, 3] > 0)


def test_lego_has_its_official_split_alpha_and_customary_box(lego):
    assert (len(lego.train), len(lego.test), lego.split) == (100, 200, "official")
    view = lego.train[0]
    assert view.image.shape == (50, 50, 4)
    assert (view.image[:, :, 3] == 0).any()
    assert (view.image[:, :, 3] == 255).any()
    assert float(lego.to_world[0, 0]) / 2 == pytest.approx(1.5, rel=0.05)
    centre = lego.to_world @ torch.tensor([0.5, 0.5, 0.5, 1.0])
    torch.testing.assert_close(centre[:3], torch.zeros(3), atol=1e-3, rtol=0)


def test_the_whole_lego_model_lies_inside_the_box(lego):
    """Its visual hull does: no point outside is on the object in every view."""
    points = 2 * torch.rand((50_000, 3), generator=torch.Generator().manual_seed(0)) - 0.5
    inside = ((points >= 0) & (points <= 1)).all(1)
    hull = torch.ones(len(points), dtype=torch.bool)
    for view in lego.train:
        hull &= on_object(view, points)
    assert hull.sum() > 100
    assert not (hull & ~inside).any()


def test_the_fox_names_its_missing_images_and_its_box_holds_the_cameras(
    real_scenes,
):
    with pytest.warns(SceneWarning, match="17 of 67 images are missing: images/0005.jpg") as caught:
        scene = open_scene(real_scenes / "fox", SceneConfig(downscale=8))
    assert len(caught) == 1
    assert (len(scene.train), len(scene.test)) == (43, 7)
    camera = scene.train[0].camera
    assert (camera.width, camera.height, camera.distorted) == (135, 240, True)
    centres = torch.stack([view.pose[:, 3] for view in scene.train])
    assert (centres > 0).all()
    assert (centres < 1).all()
    focus = torch.full((1, 3), 0.5)
    for view in scene.train:  # all look at the middle of the box
        pixel = project(view.camera, (focus - view.pose[:, 3]) @ view.pose[:, :3])[0]
        assert (pixel > 0).all()
        assert pixel[0] < 135
        assert pixel[1] < 240
    # The cameras stand well outside what is cut off in front of each.
    assert 0.02 < scene.near < (centres - focus).norm(dim=1).min() / 2


def test_fern_is_boxed_between_its_bounds(real_scenes):
    scene = open_scene(real_scenes / "fern", SceneConfig())
    assert (len(scene.train), len(scene.test)) == (17, 3)
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


def test_mary_rose_has_its_masks_as_alpha(real_scenes):
    scene = open_scene(real_scenes / "mary_rose", SceneConfig(downscale=4))
    assert (len(scene.train), len(scene.test)) == (60, 9)
    for view in scene.train + scene.test:
        assert view.image.shape == (108, 108, 4)
        assert 0.2 < (view.image[:, :, 3] > 127).float().mean() < 0.9
    assert len(PixelBank(scene.train)) == 60 * 108 * 108


def test_bonsai_keeps_its_cameras_inside_the_box(real_scenes):
    scene = open_scene(real_scenes / "bonsai", SceneConfig(downscale=8, max_test_views=5))
    assert (len(scene.train), len(scene.test)) == (255, 5)
    assert scene.split == "every 8th image, 5 of 37 test views"
    centres = torch.stack([view.pose[:, 3] for view in scene.train])
    assert (centres > 0).all()
    assert (centres < 1).all()
