"""LLFF's poses and bounds, and the photographs they belong to."""

import shutil

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from orefield.config import SceneConfig
from orefield.scenes import open_scene
from orefield.scenes.dataparsers.llff import parse_llff
from orefield.scenes.dataparsers.parsed_scene import Folder
from orefield.types import SceneError
from reading import PLAIN, assert_same

PICKED = [1, 2, 4, 5, 7, 8]


def test_cameras_come_back(llff, capture):
    scene = open_scene(llff, PLAIN)
    assert_same(scene, scene.train, capture, PICKED)
    assert_same(scene, scene.test, capture, [0, 3, 6])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("square", [False, True])
def test_poses_are_for_the_pixels_as_stored(llff, orientation, square):
    """Whatever the EXIF tag says, if the stated size fits the stored picture."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = llff / "images_8/1.png"
    with Image.open(path) as image:
        stored = image.crop((0, 0, 10, 10)) if square else image.copy()
        stored.save(path, exif=exif)
    if square:
        for other in (llff / "images_8").iterdir():
            with Image.open(other) as image:
                image.crop((0, 0, 10, 10)).save(other, exif=exif)
        rows = np.load(llff / "poses_bounds.npy")
        rows[:, [4, 9]] = 80
        np.save(llff / "poses_bounds.npy", rows)
    view = open_scene(llff, PLAIN).train[0]
    assert torch.equal(view.image, torch.from_numpy(np.array(stored)))


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_stated_size_that_fits_only_the_turned_picture_decides(llff, capture, orientation):
    turns = Image.Transpose
    back = {5: turns.TRANSPOSE, 6: turns.ROTATE_90, 7: turns.TRANSVERSE, 8: turns.ROTATE_270}
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    for path in (llff / "images_8").iterdir():
        with Image.open(path) as image:
            image.transpose(back[orientation]).save(path, exif=exif)
    scene = open_scene(llff, PLAIN)
    assert_same(scene, scene.train, capture, PICKED)
    assert all(frame.upright for frame in parse_llff(Folder(llff), PLAIN).train)


def test_a_size_that_fits_neither_way_is_refused(llff):
    rows = np.load(llff / "poses_bounds.npy")
    rows[4, 4] *= 2
    np.save(llff / "poses_bounds.npy", rows)
    with pytest.raises(SceneError, match=r"4\.png: is 12 x 10 pixels, .* 96 x 160 as in .*row 4"):
        open_scene(llff, PLAIN)


LEFT = [
    *("._1.png", ".hidden.jpg", ".ipynb_checkpoints/1-checkpoint.png", "@eaDir/1.png/T_M.jpg"),
    *(
        "__MACOSX/images_8/._1.png",
        "Thumbs.db",
        "desktop.ini",
        "#recycle/1.png",
        "$RECYCLE.BIN/1.png",
    ),
    *("lost+found/1.png", "a/b/.c/1.png"),
]


@pytest.mark.parametrize("left", LEFT)
def test_what_systems_leave_is_no_photograph_and_no_mask(llff, capture, left):
    shutil.copytree(llff / "images_8", llff / "masks_8")
    for path in (llff / "masks_8").iterdir():
        Image.new("L", (12, 10), 255).save(path)
    for place in ("images_8", "masks_8"):
        path = llff / place / left
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\0\5\x16\7")
    scene = open_scene(llff, PLAIN)
    assert_same(scene, scene.train, capture, PICKED)


@pytest.mark.parametrize("ending", ["JPG", "jpeg", "TIF", "tiff", "WebP", "Bmp", "PNG"])
def test_endings_are_read_in_any_capitals(llff, capture, ending):
    for path in (llff / "images_8").iterdir():
        path.rename(path.with_suffix(f".{ending}"))
    scene = open_scene(llff, PLAIN)
    assert_same(scene, scene.train, capture, PICKED)


def test_rows_are_in_the_order_of_texts(llff, capture):
    """As LLFF writes them: 10.png before 9.png."""
    (llff / "images_8/8.png").rename(llff / "images_8/10.png")
    order = [0, 1, 8, *range(2, 8)]
    rows = np.load(llff / "poses_bounds.npy")
    np.save(llff / "poses_bounds.npy", rows[order])
    frames = parse_llff(Folder(llff), SceneConfig(holdout=0)).train
    assert [frame.name for frame in frames][:4] == ["0.png", "1.png", "10.png", "2.png"]
    for frame, i in zip(frames, order, strict=True):
        torch.testing.assert_close(frame.pose[:, 3], capture.poses[i, :3, 3])


@pytest.mark.parametrize("kind", [">f8", np.longdouble, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_numbers_of_any_kind_and_order(llff, capture, kind, order):
    rows = np.load(llff / "poses_bounds.npy")
    np.save(llff / "poses_bounds.npy", np.asarray(rows, kind, order=order))
    scene = open_scene(llff, PLAIN)
    assert_same(scene, scene.train, capture, PICKED)


@pytest.mark.parametrize(
    ("column", "value", "complaint"),
    [
        *((3, value, "expected finite numbers only") for value in (np.nan, np.inf, -1e200)),
        *((15, value, "row 2: expected depths 0 < near < far") for value in (-1, 0, 9)),
        (15, np.nan, "expected finite numbers only"),
        (16, np.inf, "expected finite numbers only"),
        *((14, value, "row 2: height, width and focal length") for value in (0, -1)),
        (4, 1e-320, r"2\.png: is 12 x 10 pixels, expected the proportions"),
    ],
)
def test_numbers_that_make_no_camera(llff, column, value, complaint):
    rows = np.load(llff / "poses_bounds.npy")
    rows[2, column] = value
    np.save(llff / "poses_bounds.npy", rows)
    with pytest.raises(SceneError, match=complaint):
        open_scene(llff, PLAIN)


def test_the_smallest_integer_is_no_finite_number(llff):
    rows = np.zeros((9, 17), np.int64)
    rows[0, 0] = -(2**63)  # its own absolute value, as an integer
    np.save(llff / "poses_bounds.npy", rows)
    with pytest.raises(SceneError, match="expected finite numbers only"):
        open_scene(llff, PLAIN)
