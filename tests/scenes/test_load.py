"""Every format gives back the cameras and pixels that were written."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from orefield.cameras import project
from orefield.config import SceneConfig
from orefield.scenes import PixelSampler, SceneWarning, describe, open_scene
from orefield.scenes.dataparsers.blender import write_blender
from orefield.types import SceneError
from reading import PLAIN, assert_same


def test_a_blender_scene_reads_back(blender, capture):
    scene = open_scene(blender)
    assert_same(scene, scene.train, capture, list(range(6)))
    assert_same(scene, scene.test, capture, [6, 7, 8])
    assert (scene.name, scene.split) == ("toy", "official")


@pytest.mark.parametrize("form", ["transforms", "llff"])
def test_a_scene_without_a_split_reads_back_and_holds_out_every_third(form, capture, request):
    folder = request.getfixturevalue(form)
    scene = open_scene(str(folder), PLAIN)
    assert_same(scene, scene.train, capture, [1, 2, 4, 5, 7, 8])
    assert_same(scene, scene.test, capture, [0, 3, 6])
    assert scene.split == "every 3rd image"


def test_a_json_file_opens_as_its_folder_does(blender, transforms):
    for file in (blender / "transforms_train.json", transforms / "transforms.json"):
        assert len(open_scene(file, PLAIN).train) == 6
        assert open_scene(file, PLAIN).name == "toy"
    assert open_scene(blender, PLAIN).split == "official"
    assert open_scene(transforms / "transforms.json", PLAIN).split == "every 3rd image"


def test_the_format_can_be_chosen_and_llff_comes_before_colmap(llff, sparse, capture):
    sparse.camera = (1, "PINHOLE", (20.0, 20.0, 6.0, 5.0))
    sparse.write(llff / "sparse/0", binary=True)
    assert open_scene(llff, PLAIN).train[0].camera.fx == pytest.approx(capture.focal)
    chosen = open_scene(llff, replace(PLAIN, format="colmap"))
    assert [view.camera.fx for view in chosen.train] == [20.0] * 6
    with pytest.raises(SceneError, match=r"no scene in format dtu .* looked for cameras_sphere"):
        open_scene(llff, replace(PLAIN, format="dtu"))


def test_without_test_views_validation_views_or_held_out_ones_stand_in(blender):
    (blender / "transforms_test.json").rename(blender / "transforms_val.json")
    scene = open_scene(blender, PLAIN)
    assert (len(scene.train), len(scene.test)) == (6, 3)
    assert scene.split == "official, val as test"
    (blender / "transforms_val.json").unlink()
    scene = open_scene(blender, PLAIN)
    assert (len(scene.train), len(scene.test), scene.split) == (4, 2, "every 3rd image")


def test_axes_follow_the_opengl_formula(blender, capture):
    """A world point lands where the textbook OpenGL camera puts it."""
    scene = open_scene(blender)
    point = torch.tensor([1.3, 1.8, 3.4, 1.0], dtype=torch.float64)
    inverse = torch.linalg.inv(scene.to_world)
    for view, pose in zip(scene.train, capture.poses, strict=False):
        x, y, z = (torch.linalg.inv(pose) @ point)[:3].tolist()
        expected = [6 + capture.focal * x / -z, 5 - capture.focal * y / -z]
        rotation, center = view.pose[:, :3].double(), view.pose[:, 3].double()
        local = rotation.T @ ((inverse @ point)[:3] - center)
        got = project(view.camera, local[None])[0].tolist()
        assert got == pytest.approx(expected, abs=1e-4)


def test_intrinsics_of_a_frame_win_and_an_angle_stands_for_a_focal_length(transforms, edit):
    def change(values):
        for name in ("fl_x", "fl_y", "cx", "cy", "w", "h"):
            del values[name]
        values["camera_angle_x"] = 0.7
        values["frames"][1] |= {"fl_x": 20.0, "fl_y": 21.0, "cx": 5.5, "k1": 0.01, "p2": 0.002}

    edit(transforms / "transforms.json", change)
    own, shared = (view.camera for view in open_scene(transforms, PLAIN).train[:2])
    assert (own.fx, own.fy, own.cx, own.cy) == (20.0, 21.0, 5.5, 5.0)
    assert own.distortion == (0.01, 0.0, 0.0, 0.002)
    assert shared.fx == shared.fy == pytest.approx(6 / math.tan(0.35))
    assert not shared.distorted


def test_frames_are_taken_in_the_order_of_their_paths(transforms, edit, capture):
    edit(transforms / "transforms.json", lambda values: values["frames"].reverse())
    scene = open_scene(transforms, PLAIN)
    assert_same(scene, scene.test, capture, [0, 3, 6])


def test_photographs_of_different_sizes_are_read_with_intrinsics_of_their_own(transforms, edit):
    Image.new("RGB", (6, 8), (10, 20, 30)).save(transforms / "images/1.png")
    own = {"w": 6, "h": 8, "fl_x": 9.0, "fl_y": 9.0, "cx": 3.0, "cy": 4.0}
    edit(transforms / "transforms.json", lambda values: values["frames"][1].update(own))
    scene = open_scene(transforms, PLAIN)
    assert scene.train[0].image.shape == (8, 6, 4)
    assert "1 other size" in describe(scene)
    assert len(PixelSampler(scene.train)) == 6 * 8 + 5 * 12 * 10


def test_missing_images_are_named_once_and_the_rest_is_read(transforms):
    for i in (2, 5):
        (transforms / f"images/{i}.png").unlink()
    with pytest.warns(SceneWarning) as caught:
        scene = open_scene(transforms, PLAIN)
    assert len(caught) == 1
    assert "2 of 9 images are missing: images/2.png, images/5.png" in str(caught[0].message)
    assert [view.name for view in scene.test] == ["images/0.png", "images/4.png", "images/8.png"]


@pytest.mark.parametrize("form", ["transforms", "llff"])
def test_masks_become_alpha(form, capture, request, edit):
    folder = request.getfixturevalue(form)
    masks = folder / "masks_8"
    masks.mkdir()
    mask = np.zeros((10, 12), np.uint8)
    mask[2:5, 3:9] = 255
    for i in range(9):
        Image.fromarray(mask).save(masks / f"{i}{'_mask' * (i % 2)}.png")
    if form == "transforms":

        def name_masks(values):
            for i, frame in enumerate(values["frames"]):
                frame["mask_path"] = f"masks_8/{i}{'_mask' * (i % 2)}.png"

        edit(folder / "transforms.json", name_masks)
    view = open_scene(folder, PLAIN).train[0]
    inside = torch.from_numpy(mask) == 255
    assert torch.equal(view.image[:, :, :3], capture.images[1][:, :, :3])
    assert torch.equal(view.image[:, :, 3], capture.images[1][:, :, 3] * inside)


def test_the_size_of_llff_images_decides_the_scale(llff, capture):
    for path in (llff / "images_8").iterdir():
        with Image.open(path) as image:
            image.resize((24, 20)).save(path)
    camera = open_scene(llff, PLAIN).train[0].camera
    assert (camera.width, camera.height, camera.cx, camera.cy) == (24, 20, 12.0, 10.0)
    assert camera.fx == camera.fy == pytest.approx(2 * capture.focal)


def test_downscaling_keeps_every_pixel_where_it_was(blender):
    large = open_scene(blender)
    small = open_scene(blender, SceneConfig(downscale=2))
    assert torch.equal(small.to_world, large.to_world)
    assert torch.equal(small.train[2].pose, large.train[2].pose)
    assert small.train[2].camera == large.train[2].camera.rescaled(0.5)
    assert small.train[2].image.shape == (5, 6, 4)


def test_at_most_some_test_views_are_used_evenly_spaced(tmp_path, capture):
    images, poses = [*capture.images], [*capture.poses]
    write_blender(tmp_path / "toy", "train", images, poses, 0.7)
    write_blender(tmp_path / "toy", "test", 2 * images, 2 * poses, 0.7)
    scene = open_scene(tmp_path / "toy", SceneConfig(max_test_views=6))
    assert [view.name for view in scene.test] == [f"./test/r_{i}" for i in (0, 3, 6, 9, 12, 15)]
    assert scene.split == "official, 6 of 18 test views"
    assert len(open_scene(tmp_path / "toy", SceneConfig(max_test_views=18)).test) == 18


def test_the_box_can_be_enlarged_about_its_center(blender):
    once = open_scene(blender)
    twice = open_scene(blender, SceneConfig(box_scale=2.0))
    middle = torch.tensor([0.5, 0.5, 0.5, 1.0], dtype=torch.float64)
    torch.testing.assert_close(twice.to_world @ middle, once.to_world @ middle)
    torch.testing.assert_close(twice.to_world[0, 0], 2 * once.to_world[0, 0])
    assert twice.near * float(twice.to_world[0, 0]) == pytest.approx(
        once.near * float(once.to_world[0, 0])
    )


def test_a_scene_describes_itself_in_units_of_its_files(blender):
    scene = open_scene(blender)
    first, second = describe(scene).splitlines()
    assert first == "toy: 6 training and 3 test views (official), 12 x 10 pixels"
    assert "center (1, 2, 3)" in second
    assert f"half size {1.05 * 4 * math.tan(0.35):.3g}" in second
    assert "0.8 to a camera" in second
    moved = replace(scene, near=0.0)
    assert "nearer than 0 to" in describe(moved)
