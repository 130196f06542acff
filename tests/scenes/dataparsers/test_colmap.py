"""COLMAP's models: every way they are written and laid out gives the same cameras."""

import dataclasses
import math
import warnings

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from orefield.cameras import project
from orefield.config import SceneConfig
from orefield.scenes import SceneWarning, open_scene
from orefield.scenes.dataparsers.colmap import parse_colmap
from orefield.scenes.dataparsers.parsed_scene import Folder
from orefield.types import SceneError
from reading import PLAIN, assert_same, world_poses


@pytest.mark.parametrize(
    ("model", "binary"),
    [("sparse/0", True), ("sparse", False), ("colmap/sparse/0", True), (".", False)],
)
def test_a_model_reads_back_from_every_folder(colmap, sparse, capture, model, binary):
    for file in (colmap / "sparse/0").iterdir():
        file.unlink()
    (colmap / "sparse/0").rmdir()
    (colmap / "sparse").rmdir()
    sparse.write(colmap / model, binary)
    scene = open_scene(colmap, PLAIN)
    assert_same(scene, scene.train, capture, [1, 2, 4, 5, 7, 8])
    assert_same(scene, scene.test, capture, [0, 3, 6])
    assert scene.split == "every 3rd image"
    # Two thirds of the points are observed in three images or more.
    kept = sparse.points[np.arange(60) % 3 > 0]
    parsed = parse_colmap(Folder(colmap), PLAIN)
    torch.testing.assert_close(parsed.points, torch.from_numpy(kept), atol=1e-12, rtol=0)


MODELS = {
    "SIMPLE_PINHOLE": (0, "f cx cy"),
    "PINHOLE": (1, "fx fy cx cy"),
    "SIMPLE_RADIAL": (2, "f cx cy k1"),
    "RADIAL": (3, "f cx cy k1 k2"),
    "OPENCV": (4, "fx fy cx cy k1 k2 p1 p2"),
    "OPENCV_FISHEYE": (5, "fx fy cx cy k1 k2 k3 k4"),
    "FULL_OPENCV": (6, "fx fy cx cy k1 k2 p1 p2 k3 k4 k5 k6"),
    "SIMPLE_RADIAL_FISHEYE": (8, "f cx cy k1"),
    "RADIAL_FISHEYE": (9, "f cx cy k1 k2"),
    "SIMPLE_FISHEYE": (14, "f cx cy"),
    "FISHEYE": (15, "fx fy cx cy"),
}
VALUES = {"f": 15.0, "fx": 15.0, "fy": 16.0, "cx": 6.2, "cy": 4.9, "k1": 0.02, "k2": -0.01}
VALUES |= {"p1": 0.003, "p2": -0.002, "k3": 0.004, "k4": 0.005, "k5": -0.006, "k6": 0.007}


def parameters(model):
    return tuple(VALUES[name] for name in MODELS[model][1].split())


@pytest.mark.parametrize("model", MODELS)
def test_camera_models_are_told_apart(colmap, sparse, model):
    sparse.camera = (MODELS[model][0], model, parameters(model))
    sparse.write(colmap / "sparse/0", binary=True)
    camera = parse_colmap(Folder(colmap), PLAIN).train[0].camera
    assert camera.lens == ("fisheye" if "FISHEYE" in model else "perspective")
    names = MODELS[model][1].split()
    assert (camera.fx, camera.fy) == (15.0, 16.0 if "fy" in names else 15.0)
    assert (camera.cx, camera.cy) == (6.2, 4.9)
    order = "k1 k2 k3 k4" if camera.lens == "fisheye" else "k1 k2 p1 p2 k3 k4 k5 k6"
    expected = [VALUES[name] if name in names else 0.0 for name in order.split()]
    assert camera.coefficients == (*expected, *[0.0] * (8 - len(expected)))


@pytest.mark.parametrize("model", [*MODELS, "EQUIRECTANGULAR"])
def test_pixels_are_where_colmap_itself_puts_them(colmap, sparse, model):
    pycolmap = pytest.importorskip("pycolmap")
    number, numbers = 17, (12.0, 10.0)
    if model != "EQUIRECTANGULAR":
        number, numbers = MODELS[model][0], parameters(model)
    sparse.camera = (number, model, numbers)
    sparse.write(colmap / "sparse/0", binary=True)
    camera = parse_colmap(Folder(colmap), PLAIN).train[0].camera
    theirs = pycolmap.Camera(model=model, width=12, height=10, params=numbers)
    points = torch.tensor([[0.3, -0.2, 1.0], [-0.35, 0.1, 0.9], [0.0, 0.3, 1.2]]).double()
    expected = torch.from_numpy(np.stack([theirs.img_from_cam(p) for p in points.numpy()]))
    torch.testing.assert_close(project(camera, points), expected.reshape(-1, 2))


@pytest.mark.parametrize("model", [(7, "FOV", (15.0, 15.0, 6.0, 5.0, 0.1))])
def test_other_camera_models_are_refused_by_name(colmap, sparse, model):
    sparse.camera = model
    for binary, ending in ((False, "txt"), (True, "bin")):
        for file in (colmap / "sparse/0").iterdir():
            file.unlink()
        sparse.write(colmap / "sparse/0", binary)
        with pytest.raises(SceneError, match=rf"cameras\.{ending}: camera 7: camera model FOV is"):
            open_scene(colmap, PLAIN)


def test_the_largest_of_several_models_is_read_and_said(colmap, sparse):
    sparse.images = sparse.images[2:]
    sparse.write(colmap / "sparse/1", binary=False)
    sparse.images = sparse.images[3:]
    sparse.write(colmap / "sparse/0", binary=True)
    with pytest.warns(SceneWarning) as caught:
        scene = open_scene(colmap, PLAIN)
    assert [str(warning.message) for warning in caught] == [
        f"{colmap}: 2 models (sparse/0: 4, sparse/1: 7 images); sparse/1 is read"
    ]
    assert len(scene.train) + len(scene.test) == 7


def test_images_match_by_stem_then_by_order(colmap, sparse, capture):
    for i in range(9):
        path = colmap / f"images/{i}.png"
        with Image.open(path) as image:
            image.save(path.with_suffix(".tiff"))
        path.unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scene = open_scene(colmap, PLAIN)
    assert_same(scene, scene.train, capture, [1, 2, 4, 5, 7, 8])
    for i in range(9):
        (colmap / f"images/{i}.tiff").rename(colmap / f"images/frame{i}.tiff")
    with pytest.warns(SceneWarning, match="sorted order, frame0.tiff as 0.png"):
        scene = open_scene(colmap, PLAIN)
    assert_same(scene, scene.train, capture, [1, 2, 4, 5, 7, 8])
    (colmap / "images/frame3.tiff").unlink()
    with pytest.raises(SceneError, match="none of its 8 images is named as one of the model's 9"):
        open_scene(colmap, PLAIN)


def test_missing_images_are_named_once(colmap):
    (colmap / "images/4.png").unlink()
    with pytest.warns(SceneWarning, match=r"1 of 9 images are missing: 4\.png"):
        scene = open_scene(colmap, PLAIN)
    assert len(scene.train) + len(scene.test) == 8


def resized(folder, name, width, height):
    (folder / name).mkdir()
    for path in (folder / "images").iterdir():
        with Image.open(path) as image:
            image.resize((width, height)).save(folder / name / path.name)


def test_downscaling_counts_from_the_largest_folder_and_takes_the_nearest(colmap):
    resized(colmap, "images_2", 6, 5)
    resized(colmap, "images_3", 4, 3)
    whole = open_scene(colmap, PLAIN).train[0]
    half = open_scene(colmap, SceneConfig(holdout=3, downscale=2)).train[0]
    with Image.open(colmap / "images_2/1.png") as image:
        assert torch.equal(half.image, torch.from_numpy(np.array(image)))
    assert half.camera == whole.camera.rescaled(0.5)
    fourth = open_scene(colmap, SceneConfig(holdout=3, downscale=4)).train[0]  # images_2, averaged
    assert (fourth.camera.width, fourth.camera.height) == (3, 2)
    third = open_scene(colmap, SceneConfig(holdout=3, downscale=3)).train[0]
    with Image.open(colmap / "images_3/1.png") as image:
        assert torch.equal(third.image, torch.from_numpy(np.array(image)))
    assert third.camera.cy == pytest.approx(1.5)  # 10 / 3, rounded down to 3 rows
    for path in (colmap / "images").iterdir():
        path.unlink()
    (colmap / "images").rmdir()
    assert open_scene(colmap, PLAIN).train[0].camera == half.camera  # now images_2 is the largest


def test_masks_are_found_by_name_or_stem(colmap, capture):
    (colmap / "masks").mkdir()
    mask = np.zeros((10, 12), np.uint8)
    mask[2:5, 3:9] = 255
    for i in range(9):
        name = (f"{i}.png", f"{i}.png.png", f"{i}_mask.png")[i % 3]
        Image.fromarray(mask).save(colmap / "masks" / name)
    inside = torch.from_numpy(mask) == 255
    for view in open_scene(colmap, PLAIN).train:
        assert (view.image[:, :, 3][~inside] == 0).all()
        assert view.valid is None
    (colmap / "masks/4.png.png").unlink()
    with pytest.raises(SceneError, match=r"masks: no mask for 4\.png"):
        open_scene(colmap, PLAIN)
    scene = open_scene(colmap, SceneConfig(holdout=3, masks="ignore", mask_keeps="black"))
    for view, image in zip(scene.train, capture.images[[1, 2, 4, 5, 7, 8]], strict=True):
        assert torch.equal(view.image, image)
        if view.name == "4.png":
            assert view.valid is None
        else:
            assert torch.equal(view.valid, ~inside)


def test_points_of_a_room_set_its_box_and_near_distance(colmap, sparse):
    """Opaque photographs from within a room: the box holds its walls, not the wrong points."""
    for path in (colmap / "images").iterdir():
        with Image.open(path) as image:
            image.convert("RGB").save(path)
    generator = np.random.default_rng(0)
    walls = generator.uniform(-9, 9, (3000, 3))
    walls[np.arange(3000), generator.integers(0, 3, 3000)] = 9 * generator.choice([-1, 1], 3000)
    wrong = 1e4 * generator.normal(size=(20, 3))
    sparse.points = np.concatenate((walls, wrong)) + np.array([1, 2, 3])
    sparse.write(colmap / "sparse/0", binary=True)
    around = open_scene(colmap, PLAIN)
    # With a background, the box goes as far as the cameras, and what is sampled holds the walls.
    assert float(around.to_world[0, 0]) / 2 == pytest.approx(4, rel=0.3)
    assert around.background_extent == 4
    scene = open_scene(colmap, dataclasses.replace(PLAIN, background_extent=1))
    half = float(scene.to_world[0, 0]) / 2
    assert half == pytest.approx(9, rel=0.02)
    center = scene.to_world[:3, 3] + half
    torch.testing.assert_close(center.float(), torch.tensor([1.0, 2.0, 3.0]), atol=0.3, rtol=0)
    # From the cameras, 4 from the middle, it is 13 to the opposite walls, more to oblique ones.
    assert 0.5 * 11 < scene.near * 2 * half < 0.5 * 15
    for file in (colmap / "sparse/0").glob("points3D.*"):
        file.unlink()
    without = open_scene(colmap, PLAIN)
    assert float(without.to_world[0, 0]) / 2 == pytest.approx(4)


def test_a_photograph_lies_as_it_is_stored(colmap):
    """COLMAP does not turn photographs as their EXIF data say."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 3  # upside down
    with Image.open(colmap / "images/1.png") as image:
        stored = np.array(image)
        image.save(colmap / "images/1.png", exif=exif)
    view = open_scene(colmap, PLAIN).train[0]
    assert torch.equal(view.image, torch.from_numpy(stored))


def test_poses_do_not_depend_on_the_length_of_quaternions(colmap, sparse):
    sparse.write(colmap / "sparse", binary=False)
    scene = open_scene(colmap, PLAIN)
    file = colmap / "sparse/0/images.bin"
    data = bytearray(file.read_bytes())
    at = 8 + 4
    stretched = 3 * np.frombuffer(bytes(data[at : at + 32]))
    data[at : at + 32] = stretched.tobytes()
    file.write_bytes(data)
    again = open_scene(colmap, PLAIN)
    torch.testing.assert_close(world_poses(again, again.train), world_poses(scene, scene.train))
    assert math.isclose(again.near, scene.near, rel_tol=1e-5)
