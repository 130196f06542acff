"""What nerfstudio writes into a `transforms.json`: lenses, splits, masks, depth."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from orefield.cameras import panorama, pixel_centers, pixel_directions
from orefield.config import SceneConfig
from orefield.scenes import PixelSampler, SceneWarning, open_scene
from orefield.types import SceneError
from reading import PLAIN, assert_same


def test_fisheyes_and_panoramas(transforms, edit):
    lens = {"k1": 0.05, "k2": -0.01, "k3": 0.002, "k4": -0.001}
    edit(
        transforms / "transforms.json",
        lambda values: (
            values.update(camera_model="OPENCV_FISHEYE", fl_x=6.0, fl_y=6.1, **lens),
            values["frames"][2].update(camera_model="EQUIRECTANGULAR"),
            values["frames"][4].update(camera_model="OPENCV", k1=0.02, k3=0.002),
            values["frames"][5].update(camera_model="OPENCV_FISHEYE", k1=0.04),
        ),
    )
    scene = open_scene(transforms, PLAIN)
    cameras = {view.name: view.camera for view in scene.train}
    assert cameras["images/1.png"].lens == "fisheye"
    assert cameras["images/1.png"].distortion == tuple(lens.values())
    assert cameras["images/2.png"] == panorama(12, 10)
    # Another lens than the file's has its own coefficients; the same lens shares the others.
    assert cameras["images/4.png"].distortion == (0.02, 0.0, 0.0, 0.0, 0.002)
    assert cameras["images/5.png"].distortion == (0.04, -0.01, 0.002, -0.001)
    assert len(PixelSampler(scene.train)) == 6 * 120


def test_instant_ngps_fisheye_flag(transforms, edit):
    edit(
        transforms / "transforms.json",
        lambda values: values.update(is_fisheye=True, k1=0.01, k3=0.02),
    )
    camera = open_scene(transforms, PLAIN).train[0].camera
    assert (camera.lens, camera.distortion) == ("fisheye", (0.01, 0.0, 0.02, 0.0))


def names(*numbers):
    return [f"images/{i}.png" for i in numbers]


def test_the_split_of_the_file_wins(transforms, edit, capture):
    file = transforms / "transforms.json"
    edit(file, lambda v: v.update(train_filenames=names(5, 1), val_filenames=names(3)))
    scene = open_scene(transforms, PLAIN)
    assert_same(scene, scene.train, capture, [1, 5])
    assert [view.name for view in scene.test] == names(3)
    assert scene.split == "named in the file, val as test"
    edit(file, lambda v: v.update(test_filenames=names(8, 7)))
    scene = open_scene(transforms, PLAIN)
    assert [view.name for view in scene.test] == names(7, 8)
    assert scene.split == "named in the file"
    edit(file, lambda v: v.pop("train_filenames"))
    assert len(open_scene(transforms, PLAIN).train) == 6
    edit(file, lambda v: v.update(train_filenames=names(2, 4), test_filenames=[], val_filenames=[]))
    scene = open_scene(transforms, PLAIN)
    assert (len(scene.train), len(scene.test)) == (2, 0)
    assert scene.split == "named in the file, no test views"


def test_lists_of_missing_photographs_are_replaced_and_it_is_said(transforms, edit, capture):
    file = transforms / "transforms.json"
    lists = {"train_filenames": names(2, 4, 7), "val_filenames": names(3), "test_filenames": []}
    edit(file, lambda v: v.update(lists | {"test_filenames": names(5, 6)}))
    for i in (5, 6):
        (transforms / f"images/{i}.png").unlink()
    scene = open_scene(transforms, PLAIN)  # of the frames that are used, none is missing
    assert [view.name for view in scene.test] == names(3)
    assert scene.split == "named in the file, val as test"
    (transforms / "images/3.png").unlink()
    with pytest.warns(SceneWarning, match="no image of val_filenames and test_filenames") as caught:
        scene = open_scene(transforms, PLAIN)
    assert len(caught) == 1
    assert "; test views: every 3rd image" in str(caught[0].message)
    assert [view.name for view in (*scene.test, *scene.train)] == names(2, 4, 7)
    edit(file, lambda v: v.update(train_filenames=names(5, 6)))
    with pytest.raises(SceneError, match="none of the 2 training images is there"):
        open_scene(transforms, PLAIN)


def test_the_bad_camera_of_a_frame_in_no_list_does_not_matter(transforms, edit):
    file = transforms / "transforms.json"
    bad = {"fl_x": -1, "transform_matrix": [[0]], "k9": 3}
    edit(file, lambda v: v.update(train_filenames=names(2, 4), test_filenames=names(3)))
    edit(file, lambda v: v["frames"][5].update(bad))
    assert len(open_scene(transforms, PLAIN).train) == 2
    edit(file, lambda v: v["test_filenames"].append("images/5.png"))
    with pytest.raises(SceneError, match=r"frames\[5\]\.k9 must be absent or zero"):
        open_scene(transforms, PLAIN)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"train_filenames": ["x"]}, "train_filenames must be names of frames; no frame has 'x'"),
        ({"test_filenames": "x"}, "test_filenames must be a list of texts"),
        (
            {"train_filenames": names(1, 2), "test_filenames": names(2)},
            "test_filenames must be names that train_filenames lacks; both have 'images/2.png'",
        ),
        ({"applied_transform": [1]}, "applied_transform must be a 4 x 4 matrix"),
        ({"depth_unit_scale_factor": 0}, "depth_unit_scale_factor must be positive"),
    ],
)
def test_bad_fields_at_the_top(transforms, edit, fields, complaint):
    edit(transforms / "transforms.json", lambda values: values.update(fields))
    with pytest.raises(SceneError, match=r"transforms\.json: ") as caught:
        open_scene(transforms, PLAIN)
    assert complaint in str(caught.value)


def test_poses_contain_the_applied_transform_already(transforms, edit, capture):
    moved = [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, -1, 0]]
    edit(transforms / "transforms.json", lambda v: v.update(applied_transform=moved))
    scene = open_scene(transforms, PLAIN)
    assert_same(scene, scene.train, capture, [1, 2, 4, 5, 7, 8])


def depth_maps(folder, edit, number, **top):
    """A map of depth 4 along the axis for every frame, written as `number` says."""
    (folder / "depth").mkdir(exist_ok=True)

    def change(values):
        values.update(top)
        for i, frame in enumerate(values["frames"]):
            frame["depth_file_path"] = number(folder / "depth", i).relative_to(folder).as_posix()

    edit(folder / "transforms.json", change)


def as_png(folder, i):
    values = np.full((10, 12), 4000, np.uint16)
    values[0, :3] = 0
    Image.fromarray(values).save(folder / f"{i}.png")
    return folder / f"{i}.png"


def as_npy(folder, i):
    values = np.full((20, 24), 4.0, np.float32)
    values[:2, :6] = [0, math.nan, -1, math.inf, 0, 0]
    np.save(folder / f"{i}.npy", values)
    return folder / f"{i}.npy"


@pytest.mark.parametrize("form", ["png", "npy"])
def test_depth_becomes_distance_along_the_ray_in_scene_units(transforms, edit, form):
    if form == "png":
        depth_maps(transforms, edit, as_png)
    else:
        depth_maps(transforms, edit, as_npy, depth_unit_scale_factor=1.0)
    scene = open_scene(transforms, PLAIN)
    side = float(scene.to_world[0, 0])
    for view in scene.train + scene.test:
        assert view.depth is not None
        forward = pixel_directions(view.camera, pixel_centers(view.camera))[:, 2].view(10, 12)
        along = view.depth * side * forward
        assert (along[0, :3] == 0).all()
        assert (along[0, 3:] > 0).all()
        torch.testing.assert_close(along[1:], torch.full((9, 12), 4.0))
    small = open_scene(transforms, SceneConfig(holdout=3, downscale=2)).train[0]
    assert small.depth is not None
    assert small.depth.shape == (5, 6)


def test_depth_that_is_no_map_is_refused(transforms, edit):
    depth_maps(transforms, edit, as_npy)
    for wrong in (np.zeros((2, 2, 3)), np.zeros(4), np.array("x")):
        np.save(transforms / "depth/4.npy", wrong)
        with pytest.raises(SceneError, match=r"4\.npy: .*expected (one|an array of) number"):
            open_scene(transforms, PLAIN)
    (transforms / "depth/4.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(SceneError, match=r"4\.npy: cannot be read as a NumPy file"):
        open_scene(transforms, PLAIN)
    depth_maps(transforms, edit, as_png)
    Image.new("RGB", (12, 10)).save(transforms / "depth/4.png")
    with pytest.raises(SceneError, match=r"4\.png: expected a depth map with one channel, got RGB"):
        open_scene(transforms, PLAIN)


def test_masks_that_ignore_leave_alpha_alone_and_shrink_conservatively(transforms, edit, capture):
    mask = np.full((10, 12), 255, np.uint8)
    mask[3, 5] = 0
    (transforms / "masks").mkdir()
    Image.fromarray(mask).save(transforms / "masks/4.png")
    Image.fromarray(np.zeros_like(mask)).save(transforms / "masks/5.png")
    edit(
        transforms / "transforms.json",
        lambda v: [v["frames"][i].update(mask_path=f"masks/{i}.png") for i in (4, 5)],
    )
    for downscale in (1, 2):
        config = SceneConfig(holdout=3, downscale=downscale, masks="ignore")
        with pytest.warns(SceneWarning, match=r"5\.png: .*ignores every pixel.* images/5\.png"):
            scene = open_scene(transforms, config)
        valid = {view.name: view.valid for view in scene.train}
        assert list(valid) == names(1, 2, 4, 7, 8)
        assert valid["images/1.png"] is None
        ignored = (~valid["images/4.png"]).nonzero().tolist()
        assert ignored == [[3 // downscale, 5 // downscale]]
    assert torch.equal(open_scene_quietly(transforms).train[2].image, capture.images[4])


def open_scene_quietly(folder):
    with pytest.warns(SceneWarning):
        return open_scene(folder, SceneConfig(holdout=3, masks="ignore"))


def test_a_link_or_path_out_of_the_folder_is_read_only_when_allowed(tmp_path, transforms, capture):
    outside = tmp_path / "elsewhere"
    (transforms / "images").rename(outside)
    (transforms / "images").symlink_to(outside)
    for change in (None, "../elsewhere/", f"{outside}/"):
        if change:
            values = json.loads((transforms / "transforms.json").read_text())
            for i, frame in enumerate(values["frames"]):
                frame["file_path"] = f"{change}{i}.png"
            (transforms / "transforms.json").write_text(json.dumps(values))
        with pytest.raises(SceneError, match=r"--scene\.allow-outside"):
            open_scene(transforms, PLAIN)
        scene = open_scene(transforms, SceneConfig(holdout=3, allow_outside=True))
        assert_same(scene, scene.train, capture, [1, 2, 4, 5, 7, 8])
