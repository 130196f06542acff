"""Whatever is wrong with a scene, the error is one line that names the file and the field."""

import math
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from orefield.config import SceneConfig
from orefield.scenes import embedded, open_scene
from orefield.types import SceneError

PLAIN = SceneConfig(holdout=3)


def refusal(source, config=PLAIN):
    with pytest.raises(SceneError) as caught:
        open_scene(source, config)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_no_such_scene(tmp_path):
    message = refusal(tmp_path / "nowhere")
    assert "nowhere: no such file or folder" in message
    assert all(name in message for name in embedded.names())


def test_no_known_format(tmp_path):
    message = refusal(tmp_path)
    assert str(tmp_path) in message
    for name in (
        "transforms_train.json",
        "transforms.json",
        "poses_bounds.npy",
        "images.bin or images.txt in sparse/0, sparse, colmap/sparse/0",
        "cameras_sphere.npz or cameras.npz",
    ):
        assert name in message
    (tmp_path / "notes.txt").touch()
    assert "notes.txt: expected a scene folder or a .json file" in refusal(tmp_path / "notes.txt")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"{", "not readable as JSON"),
        (b"\xff\xfe\x00", "not readable as JSON"),
        (b"[" * 100_000, "not readable as JSON"),
        (b"[1, 2]", "expected a JSON object, got list"),
        (b"{}", "frames is missing; expected a list"),
        (b'{"frames": []}', "frames must be a list with one entry per image, got []"),
        (b'{"frames": [1]}', "frames must be a list of objects"),
        (b'{"frames": [{}]}', "frames[0].file_path is missing; expected a text"),
    ],
)
def test_malformed_json(tmp_path, text, complaint):
    for name in ("transforms.json", "transforms_train.json"):
        (tmp_path / name).write_bytes(text)
        message = refusal(tmp_path)
        assert f"{name}: " in message
        assert complaint in message


def set_pose(change):
    def apply(values):
        matrix = np.array(values["frames"][4]["transform_matrix"], dtype=object)
        values["frames"][4]["transform_matrix"] = change(matrix).tolist()

    return apply


def put(row, column, value):
    def change(matrix):
        matrix[row, column] = value
        return matrix

    return set_pose(change)


def stretch(factors):
    return set_pose(lambda matrix: matrix * np.array([*factors, 1.0]))


BAD_POSES = {
    "missing": (lambda values: values["frames"][4].pop("transform_matrix"), "is missing; expected"),
    "too small": (set_pose(lambda matrix: matrix[:2]), "must be a 4 x 4 matrix"),
    "ragged": (lambda values: values["frames"][4]["transform_matrix"][1].pop(), "4 x 4 matrix"),
    "no matrix": (set_pose(lambda matrix: np.array("I")), "must be a 4 x 4 matrix"),
    "no number": (put(1, 1, "1"), "must be a matrix of finite numbers"),
    "NaN": (put(0, 3, math.nan), "must be a matrix of finite numbers"),
    "infinity": (put(0, 3, math.inf), "must be a matrix of finite numbers"),
    "huge": (put(0, 3, 10**400), "must be a matrix of finite numbers"),
    "zero": (stretch([0, 0, 0]), "must be rigid"),
    "stretched": (stretch([1, 1, 1.01]), "must be rigid"),
    "mirrored": (stretch([1, 1, -1]), "must be rigid: its 3 x 3 part mirrors"),
}


@pytest.mark.parametrize("case", BAD_POSES)
def test_bad_poses(transforms, blender, edit, case):
    change, complaint = BAD_POSES[case]
    for name in ("transforms.json", "transforms_train.json"):
        edit(transforms / name, change)
        message = refusal(transforms / name)
        assert f"{name}: frames[4].transform_matrix " in message
        assert complaint in message


def test_rounding_and_a_uniform_scale_are_no_fault(transforms, edit):
    before = open_scene(transforms, PLAIN)
    edit(transforms / "transforms.json", stretch([3.0002, 3.0, 2.9998]))
    after = open_scene(transforms, PLAIN)
    for one, other in zip(before.train, after.train, strict=True):
        torch.testing.assert_close(other.pose, one.pose, atol=1e-3, rtol=0)
        rotation = other.pose[:, :3]
        torch.testing.assert_close(rotation @ rotation.T, torch.eye(3), atol=1e-6, rtol=0)


BAD_LENSES = [
    ({"fl_x": 0}, "fl_x must be positive, got 0"),
    ({"fl_y": -3}, "fl_y must be positive"),
    ({"fl_x": "wide"}, "fl_x must be a finite number, got 'wide'"),
    ({"cx": math.nan}, "cx must be a finite number"),
    ({"w": 11}, "w must be 12, the size of 1.png, got 11"),
    ({"h": 10.5}, "h must be a whole number of pixels"),
    ({"fl_x": None, "camera_angle_x": 3.2}, "camera_angle_x must be an angle in radians"),
    ({"fl_x": None, "camera_angle_x": 0}, "camera_angle_x must be an angle in radians"),
    (
        {"k1": -20},
        "k1, k2, p1, p2: perspective lens with distortion (-20.0, 0.0, 0.0, 0.0) folds",
    ),
    ({"camera_model": "FOV"}, "camera_model must be one of OPENCV"),
    ({"k4": 0.1}, "k4 must be absent or zero: the perspective lens has k1, k2, p1, p2, k3"),
    (
        {"camera_model": "OPENCV_FISHEYE", "p1": 0.1},
        "p1 must be absent or zero: the fisheye lens has k1, k2, k3, k4",
    ),
    ({"is_fisheye": True, "k1": -3}, "k1, k2, k3, k4: fisheye lens with distortion"),
    ({"camera_model": "EQUIRECTANGULAR", "k1": 1}, "the equirectangular lens has none"),
    ({"mask_path": "masks/1.png"}, "mask_path must be the path of a file that is there"),
    ({"depth_file_path": "1.npy"}, "depth_file_path must be the path of a file that is there"),
]


@pytest.mark.parametrize(("fields", "complaint"), BAD_LENSES)
def test_bad_intrinsics(transforms, edit, fields, complaint):
    def change(values):
        for name, value in fields.items():
            if value is None:
                del values[name]
            else:
                values["frames"][1][name] = value

    edit(transforms / "transforms.json", change)
    message = refusal(transforms)
    assert "transforms.json: frames[" in message
    assert complaint in message


@pytest.mark.parametrize("name", ["transform_matrix", "applied_transform"])
@pytest.mark.parametrize("form", ["by columns", "scaled", "all zero"])
def test_a_last_row_that_is_not_that_of_a_pose(transforms, edit, name, form):
    def change(values):
        record = values["frames"][1] if name == "transform_matrix" else values
        pose = values["frames"][1]["transform_matrix"]
        if form == "by columns":
            record[name] = [list(column) for column in zip(*pose, strict=True)]
        else:
            record[name] = [*pose[:3], [0, 0, 0, 2 if form == "scaled" else 0]]

    edit(transforms / "transforms.json", change)
    message = refusal(transforms)
    assert f"{name} must be a matrix by rows, the last one 0, 0, 0, 1" in message
    assert "its last row is [" in message


def test_no_focal_length_at_all(transforms, blender, edit):
    edit(transforms / "transforms.json", lambda v: (v.pop("fl_x"), v.pop("fl_y")))
    edit(blender / "transforms_train.json", lambda v: v.update(camera_angle_x=None))
    for file in (transforms / "transforms.json", blender / "transforms_train.json"):
        assert "fl_x is missing; expected a focal length in pixels" in refusal(file)


@pytest.mark.parametrize("angle", [0, -1, math.pi, math.nan, "0.7"])
def test_bad_field_of_view(blender, edit, angle):
    edit(blender / "transforms_train.json", lambda v: v.update(camera_angle_x=angle))
    assert "transforms_train.json: camera_angle_x must be" in refusal(blender)


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../toy2/images/1.png", "images/../../x.png", "..", ".", "C:\\x.png", "..\\x"],
)
def test_paths_out_of_the_folder(transforms, edit, path):
    for name in ("file_path", "mask_path"):
        file = transforms / "transforms.json"
        original = file.read_text()
        edit(file, lambda v, name=name: v["frames"][1].update({name: path}))
        message = refusal(transforms)
        assert (
            f"transforms.json: frames[1].{name} must be a path inside the scene folder" in message
        )
        file.write_text(original)


def test_all_images_missing(blender, transforms):
    shutil.rmtree(transforms / "images")
    assert "none of the 9 images is there" in refusal(transforms / "transforms.json")
    shutil.rmtree(blender / "train")
    assert "transforms_train.json: none of the 6 images" in refusal(blender)


def test_a_truncated_image(blender):
    image = blender / "train/r_3.png"
    image.write_bytes(image.read_bytes()[:-100])
    assert "r_3.png: cannot be read as an image" in refusal(blender)
    image.write_bytes(b"not an image")
    assert "r_3.png: cannot be read as an image" in refusal(blender)


def test_sizes_that_differ_without_intrinsics_of_their_own(blender, transforms, edit):
    Image.new("RGB", (8, 8)).save(blender / "train/r_3.png")
    message = refusal(blender)
    assert "r_3.png: is 8 x 8 pixels, expected 12 x 10 as r_0.png" in message
    edit(transforms / "transforms.json", lambda v: (v.pop("w"), v.pop("h")))
    Image.new("RGB", (8, 8)).save(transforms / "images/3.png")
    assert "3.png: is 8 x 8 pixels, expected 12 x 10" in refusal(transforms / "transforms.json")


def test_nothing_to_train_on(transforms, edit):
    edit(transforms / "transforms.json", lambda v: v.update(frames=v["frames"][:1]))
    message = refusal(transforms)
    assert message.endswith("no training views; split: every 3rd image; test views: 1")
    edit(transforms / "transforms.json", lambda v: v.update(train_filenames=[]))
    message = refusal(transforms)
    assert message.endswith("split: named in the file, no test views; test views: 0")


def test_a_downscale_that_leaves_no_pixel(blender):
    assert "12 x 10 pixels cannot be downscaled by 11" in refusal(
        blender, SceneConfig(downscale=11)
    )


def test_cameras_that_all_stand_at_one_place(transforms, edit):
    def panned(values):
        for i, frame in enumerate(values["frames"]):
            c, s = math.cos(i), math.sin(i)
            frame["transform_matrix"] = [[c, 0, s, 5], [0, 1, 0, 6], [-s, 0, c, 7], [0, 0, 0, 1]]

    edit(transforms / "transforms.json", panned)
    assert "no scene box: all 6 training cameras stand at one place" in refusal(transforms)
    scene = open_scene(transforms, SceneConfig(box=(5.0, 6.0, 7.0, 4.0)))
    assert (scene.to_world[:3, 3] + 2).tolist() == [5.0, 6.0, 7.0]


BAD_LLFF = [
    (lambda rows: rows[:, :16], "expected one row of 17 numbers per image, got (9, 16)"),
    (lambda rows: rows[:0], "expected one row of 17 numbers"),
    (lambda rows: rows.astype(str), "expected an array of numbers, got <U"),
    (lambda rows: rows * np.where(np.arange(17) == 3, np.nan, 1), "expected finite numbers only"),
    (lambda rows: rows[:8], "has 8 rows, expected 9, one per image"),
    (lambda rows: rows * np.where(np.arange(17) == 14, -1, 1), "row 0: height, width and focal"),
    (lambda rows: rows * np.where(np.arange(17) == 4, 2, 1), "expected the proportions of"),
    (lambda rows: rows * np.where(np.arange(17) == 16, 0, 1), "row 0: expected depths 0 < near"),
    (lambda rows: rows * np.where(np.arange(17) == 0, 2, 1), "row 0 must be rigid"),
]


@pytest.mark.parametrize(("change", "complaint"), BAD_LLFF)
def test_bad_poses_bounds(llff, change, complaint):
    file = llff / "poses_bounds.npy"
    np.save(file, change(np.load(file)))
    message = refusal(llff)
    assert "poses_bounds.npy: " in message
    assert complaint in message


def test_bad_llff_files(llff):
    (llff / "masks_8").mkdir()
    assert "masks_8: no mask for 0.png; expected 0_mask.png" in refusal(llff)
    (llff / "images_8").rename(llff / "pictures")
    assert "looked for images, images_2, images_4" in refusal(llff)
    (llff / "poses_bounds.npy").write_bytes(b"\x93NUMPY")
    assert "poses_bounds.npy: cannot be read as a NumPy file" in refusal(llff)


def test_a_mask_of_another_size(llff):
    shutil.copytree(llff / "images_8", llff / "masks_8")
    Image.new("L", (4, 4)).save(llff / "masks_8/4.png")
    assert "4.png: is 4 x 4 pixels, expected 12 x 10 as its image 4.png" in refusal(llff)
