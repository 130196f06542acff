"""Every way in which JSON files state the camera of a photograph, and what is refused."""

import json
import math

import pytest
import torch
from PIL import ExifTags, Image

from orefield.cameras import panorama
from orefield.scenes import SceneWarning, open_scene
from orefield.types import SceneError
from reading import PLAIN

SIZE = {"w": 12, "h": 10}
FILES = ("transforms.json", "transforms_train.json")


@pytest.fixture(params=FILES)
def write(request, transforms):
    """Write the nine photographs' JSON file: `top`, and what the second frame states itself."""

    first, second, *others = json.loads((transforms / "transforms.json").read_text())["frames"]

    def change(top, **own):
        file = transforms / request.param
        values = {**top, "frames": [first, {**second, **own}, *others]}
        file.write_text(json.dumps(values))
        return file

    return change


def second(file):
    """The camera of the second frame, which is trained on."""
    views = open_scene(file, PLAIN).train
    return next(view.camera for view in views if view.name == "images/1.png")


def from_angle(size, angle):
    return size / 2 / math.tan(angle / 2)


FOCAL_LENGTHS = {
    "pixels": ({"fl_x": 20, "fl_y": 21}, {}, (20, 21)),
    "pixels along one axis": ({"fl_y": 21}, {}, (21, 21)),
    "an angle": ({"camera_angle_x": 0.7}, {}, (from_angle(12, 0.7),) * 2),
    "an angle up": ({"camera_angle_y": 0.7}, {}, (from_angle(10, 0.7),) * 2),
    "two angles": (
        {"camera_angle_x": 0.7, "camera_angle_y": 0.6},
        {},
        (from_angle(12, 0.7), from_angle(10, 0.6)),
    ),
    "degrees": ({"x_fov": 60.0}, {}, (from_angle(12, math.pi / 3),) * 2),
    "pixels and angles": ({"fl_x": 20, "camera_angle_x": 3, "camera_angle_y": 0.6}, {}, (20, 20)),
    "own pixels": ({"camera_angle_x": 0.7, "camera_angle_y": 0.6}, {"fl_x": 20}, (20, 20)),
    "own pixels up": ({"fl_x": 30, "fl_y": 31}, {"fl_y": 21}, (21, 21)),
    "own angle": ({"fl_x": 20, "fl_y": 21}, {"camera_angle_x": 0.7}, (from_angle(12, 0.7),) * 2),
    "own angle up": ({"fl_x": 20}, {"camera_angle_y": 0.7}, (from_angle(10, 0.7),) * 2),
    "own degrees": ({"fl_x": 20}, {"y_fov": 90}, (5, 5)),
    "null": ({"fl_x": 20}, {"camera_angle_x": None}, (20, 20)),
}


@pytest.mark.parametrize("case", FOCAL_LENGTHS)
def test_the_nearest_statement_of_the_focal_length_counts(write, case):
    top, own, expected = FOCAL_LENGTHS[case]
    camera = second(write(top, **own))
    assert (camera.fx, camera.fy) == pytest.approx(expected)


def test_every_format_reads_all_intrinsics(write):
    lens = {"fl_x": 20.0, "fl_y": 21.0, "cx": 5.5, "cy": 4.5, **SIZE, "k1": 0.01, "p2": 0.002}
    camera = second(write({"camera_angle_x": 0.7, "aabb_scale": 4, "k2": 0, **lens}))
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (20, 21, 5.5, 4.5)
    assert camera.distortion == (0.01, 0, 0, 0.002)
    assert second(write({"fl_x": 20, "k1": 0.01}, k1=0.0, cx=7)).distortion == (0, 0, 0, 0)
    assert second(write({"fl_x": 9, "is_fisheye": True, "k4": 0.001})).distortion[3] == 0.001


def test_a_lens_of_its_own(write):
    fisheye = {"fl_x": 9, "is_fisheye": True, "k1": 0.01}
    assert second(write(fisheye, is_fisheye=False)).lens == "perspective"
    assert second(write(fisheye, camera_model="OPENCV")).distortion == (0, 0, 0, 0)
    assert second(write(fisheye, k2=0.02)).distortion == (0.01, 0.02, 0, 0)
    assert second(write({"fl_x": 9}, latlong=True)) == panorama(12, 10)
    assert second(write({"latlong": True})) == panorama(12, 10)
    assert second(write({"camera_model": "EQUIRECTANGULAR", "cx": 5.5}, is_fisheye=False)) == (
        panorama(12, 10)
    )


REFUSED = [
    ({"equirectangular": True}, "equirectangular must be absent: instant-ngp's has rows of equal"),
    ({"ftheta_p0": 0, "ftheta_p1": 0.1}, "ftheta_p1 must be absent: the f-theta lens"),
    ({"orthographic": True}, "orthographic must be absent"),
    ({"distortion_params": [0, 0.1]}, "distortion_params must be absent: coefficients are read"),
    ({"k5": 0.1}, "k5 must be absent or zero: the perspective lens has k1, k2, p1, p2, k3"),
    ({"p3": 0.1}, "p3 must be absent or zero"),
    ({"b1": 3}, "b1 must be absent or zero"),
    ({"skew": 0.5}, "skew must be absent or zero: pixels must be rectangles"),
    ({"from_na": True}, "from_na must be absent or false: camera axes must be OpenGL's"),
    ({"normal_mts_args": "x"}, "normal_mts_args must be absent"),
    ({"camera_type": "fisheye"}, "camera_type must be absent or 'perspective'"),
    ({"is_fisheye": "yes"}, "is_fisheye must be true or false, got 'yes'"),
    ({"latlong": 2}, "latlong must be true or false, got 2"),
    ({"camera_model": "OPENCV", "is_fisheye": True}, "is_fisheye must be absent or false beside"),
    ({"latlong": True, "cx": 3}, "cx must be 6: the image shows all directions, got 3"),
    ({"latlong": True, "k1": 0.1}, "the equirectangular lens has none"),
    ({"x_fov": 200}, "x_fov must be an angle in degrees between 0 and 180, got 200"),
    ({"fl_x": 0.5}, "fl_x must be in pixels of "),
    ({"distortion": [0.1, 0]}, "distortion must be absent: coefficients are read from k1"),
    ({"lens_model": "fisheye"}, "lens_model must be absent: the lens is read from camera_model"),
    ({"camera_angle_y": 4}, "camera_angle_y must be an angle in radians between 0 and pi"),
]


@pytest.mark.parametrize(("keys", "complaint"), REFUSED)
def test_what_would_change_the_camera_is_refused_by_name(write, keys, complaint):
    angle = any(name in keys for name in ("x_fov", "camera_angle_y"))
    for top, own in ((keys if angle else {"fl_x": 9, **keys}, {}), ({"fl_x": 9}, keys)):
        with pytest.raises(SceneError, match=r"frames\[1\]" if own else r"\.json: ") as caught:
            open_scene(write(top, **own), PLAIN)
        assert complaint in str(caught.value)


@pytest.mark.parametrize("name", ["fx", "intrinsics", "K", "camera_intrinsics", "fov"])
def test_intrinsics_by_another_name_are_refused_where_the_usual_ones_lack(write, name):
    with pytest.raises(SceneError, match=rf"{name} must be absent, or stated as fl_x"):
        open_scene(write({"camera_angle_x": 0.7}, **{name: 9}), PLAIN)
    assert second(write({"camera_angle_x": 0.7}, **{name: 8, "fl_x": 9})).fx == 9


def test_a_moving_camera_is_refused(write):
    file = write({"fl_x": 9})
    values = json.loads(file.read_text())
    pose = values["frames"][1]["transform_matrix"]
    assert second(write({"fl_x": 9}, transform_matrix_start=pose, transform_matrix_end=pose))
    moved = [[*row[:3], row[3] + 1] for row in pose[:3]] + pose[3:]
    with pytest.raises(SceneError, match="transform_matrix_end must be absent: a camera must not"):
        open_scene(write({"fl_x": 9}, transform_matrix_end=moved), PLAIN)


def test_keys_that_are_not_read_are_named_once(write):
    file = write({"fl_x": 9, "rolling_shutter": [0, 0.5, 0, 0], "envmap": "x"}, time=0.5, K=[])
    with pytest.warns(SceneWarning, match="not read: rolling_shutter, envmap, time") as caught:
        open_scene(file, PLAIN)
    assert len(caught) == 1


def test_metadata_and_zeros_are_no_reason_to_warn(write):
    harmless = {"scale": 2, "offset": [1, 2, 3], "ply_file_path": "x", "n2w": [[1]], "skew": 0}
    zeros = {"rolling_shutter": [0, 0, 0, 0], "white_transparent": False, "k6": 0, "latlong": False}
    own = {"sharpness": 3.2, "rotation": 0.1, "colmap_im_id": 4, "equirectangular": False}
    assert second(write({"fl_x": 9, **harmless, **zeros}, **own)).fx == 9


def test_the_bad_camera_of_a_missing_photograph_does_not_matter(transforms, write):
    (transforms / "images/1.png").unlink()
    file = write({"fl_x": 9}, fl_x=-1, ftheta_p0=1, transform_matrix=0, mask_path="no.png")
    with pytest.warns(SceneWarning, match=r"1 of 9 images are missing: images/1\.png"):
        assert len(open_scene(file, PLAIN).train) > 4


def tag(folder, orientation, numbers=range(9)):
    """Give photographs an EXIF orientation; their pixels stay as they are stored."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    for i in numbers:
        with Image.open(folder / f"images/{i}.png") as image:
            image.load()
        image.save(folder / f"images/{i}.png", exif=exif)


@pytest.mark.parametrize("orientation", [2, 3, 6, 8])
@pytest.mark.parametrize("size", [{}, SIZE, {"w": 12}])
def test_poses_belong_to_the_pixels_as_stored(transforms, capture, write, orientation, size):
    tag(transforms, orientation)
    scene = open_scene(write({"fl_x": 9, **size}), PLAIN)
    for view in (*scene.train, *scene.test):
        assert torch.equal(view.image, capture.images[int(view.name[7])])
        assert (view.camera.width, view.camera.height) == (12, 10)


def test_a_size_that_fits_only_the_turned_photograph_turns_it(transforms, capture, write):
    tag(transforms, 6)
    scene = open_scene(write({"fl_x": 9, "w": 10, "h": 12}), PLAIN)
    for view in (*scene.train, *scene.test):
        clockwise = capture.images[int(view.name[7])].rot90(-1)
        assert torch.equal(view.image, clockwise)
        assert (view.camera.width, view.camera.height) == (10, 12)
    tag(transforms, 1, [4])
    with pytest.raises(SceneError, match=r"json: w must be 12, the size of 4\.png, got 10"):
        open_scene(write({"fl_x": 9, "w": 10, "h": 12}), PLAIN)


def test_one_photograph_that_lies_is_turned_by_its_own_size(transforms, capture, write):
    tag(transforms, 8, [1])
    scene = open_scene(write({"fl_x": 9, **SIZE}, fl_x=9, w=10, h=12, cx=5, cy=6), PLAIN)
    shapes = {view.name: view.image.shape[:2] for view in scene.train}
    assert shapes["images/1.png"] == (12, 10)
    assert shapes["images/2.png"] == (10, 12)


def test_a_principal_point_of_the_file_is_for_photographs_of_one_size(transforms, write):
    Image.new("RGB", (6, 8)).save(transforms / "images/1.png")
    own = {"w": 6, "h": 8, "fl_x": 9}
    with pytest.raises(SceneError, match=r"png: is .* pixels, expected .* the same intrinsics"):
        open_scene(write({"fl_x": 9, "cx": 6, "cy": 5, **SIZE}, **own), PLAIN)
    assert second(write({"fl_x": 9, "cx": 6, "cy": 5, **SIZE}, **own, cx=3, cy=4)).cx == 3
    assert second(write({"fl_x": 9, **SIZE}, **own)).cx == 3
