"""COLMAP's model files: where they lie, how they are written, and what is wrong with some."""

import codecs
import os
import struct
import warnings

import pytest
import torch

from orefield.scenes import SceneWarning, open_scene
from orefield.scenes.dataparsers.colmap import has_model, parse_colmap
from orefield.scenes.dataparsers.parsed_scene import Folder
from orefield.types import SceneError
from reading import PLAIN, assert_same, world_poses

PICKED = [1, 2, 4, 5, 7, 8]


@pytest.fixture
def text(colmap, sparse):
    """The same scene with its model as text; the folder of the model."""
    for file in (colmap / "sparse/0").iterdir():
        file.unlink()
    sparse.write(colmap / "sparse/0", binary=False)
    return colmap / "sparse/0"


def rewrite(folder, change):
    for file in folder.glob("*.txt"):
        file.write_bytes(change(file.read_text()))


FORMS = {
    "byte order mark": lambda text: codecs.BOM_UTF8 + text.encode(),
    "UTF-16": lambda text: text.encode("utf-16"),
    "CRLF": lambda text: text.replace("\n", "\r\n").encode(),
    "all three": lambda text: codecs.BOM_UTF8 + text.replace("\n", "\r\n").encode(),
    "blanks before #": lambda text: b" \t # a note\n" + text.replace("#", "  #").encode(),
    "blank lines first": lambda text: b"\n \n\t\n" + text.encode(),
    "tabs": lambda text: text.replace(" ", "\t").encode(),
    "blanks round lines": lambda text: text.replace("\n", "  \n ").encode(),
    "no line at the end": lambda text: text.rstrip("\n").encode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_text_is_read_as_editors_and_programs_write_it(colmap, text, capture, form):
    rewrite(text, FORMS[form])
    scene = open_scene(colmap, PLAIN)
    assert_same(scene, scene.train, capture, PICKED)
    assert parse_colmap(Folder(colmap), PLAIN).points.shape == (40, 3)


@pytest.mark.parametrize("kept", ["none", "some"])
def test_lines_of_observations_may_be_left_out(colmap, text, capture, kept):
    lines = (text / "images.txt").read_text().splitlines()
    kept_lines = [
        x for i, x in enumerate(lines) if len(x.split()) > 3 or (kept == "some" and i % 4)
    ]
    assert len(kept_lines) < len(lines)
    (text / "images.txt").write_text("\n".join(kept_lines))
    scene = open_scene(colmap, PLAIN)
    assert_same(scene, scene.train, capture, PICKED)


def test_observations_without_an_image_are_refused(colmap, text):
    lines = (text / "images.txt").read_text().splitlines()
    (text / "images.txt").write_text("\n".join((*lines[:3], "1 2 -1 " * 4, *lines[3:])))
    with pytest.raises(SceneError, match=r"images\.txt: .*\(expected ID, 7 numbers of a pose"):
        open_scene(colmap, PLAIN)


def test_names_with_blanks_are_whole(colmap, text, capture):
    for i in range(9):
        (colmap / f"images/{i}.png").rename(colmap / f"images/my  photo {i}.png")
    rewrite(text, lambda text: text.replace(".png", " .png").encode())
    lines = (text / "images.txt").read_text().splitlines()
    lines = [
        x.replace(f" {x.split()[-2]} .png", f" my  photo {x.split()[-2]}.png") if ".png" in x else x
        for x in lines
    ]
    (text / "images.txt").write_text("\n".join(lines))
    scene = open_scene(colmap, PLAIN)
    assert_same(scene, scene.train, capture, PICKED)


@pytest.mark.parametrize("change", [str.lower, str.upper, str.capitalize])
@pytest.mark.parametrize("binary", [True, False])
def test_files_may_be_named_in_any_capitals(colmap, sparse, capture, change, binary):
    for file in (colmap / "sparse/0").iterdir():
        file.unlink()
    sparse.write(colmap / "sparse/0", binary)
    for file in (colmap / "sparse/0").iterdir():
        file.rename(file.with_name(change(file.name)))
    (colmap / "sparse").rename(colmap / change("sparse"))
    (colmap / "images").rename(colmap / change("images"))
    scene = open_scene(colmap, PLAIN)
    assert_same(scene, scene.train, capture, PICKED)
    assert parse_colmap(Folder(colmap), PLAIN).points.shape == (40, 3)


@pytest.mark.parametrize("place", ["sparse/1", "sparse/12", "colmap/sparse/3"])
def test_a_model_of_any_number_is_found(colmap, capture, place):
    (colmap / place).parent.mkdir(parents=True, exist_ok=True)
    (colmap / "sparse/0").rename(colmap / place)
    (colmap / "sparse/0").mkdir(parents=True, exist_ok=True)  # empty
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scene = open_scene(colmap, PLAIN)
    assert_same(scene, scene.train, capture, PICKED)


DAMAGES = {
    "no image": (lambda file: file.write_bytes(bytes(8)), "images.bin: holds no registered image"),
    "cut": (lambda file: file.write_bytes(file.read_bytes()[:99]), "images.bin: not one of COLMAP"),
    "no cameras": (lambda file: file.with_name("cameras.bin").unlink(), "expected cameras.bin or"),
    "cameras cut": (
        lambda file: file.with_name("cameras.bin").write_bytes(b"\1"),
        "cameras.bin: not one of COLMAP's files",
    ),
    "leads out": (
        lambda file: (file.unlink(), file.symlink_to("/etc/passwd")),
        "images.bin: leads out of the scene folder",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_model_beside_a_good_one_is_passed_over_and_said(colmap, sparse, capture, damage):
    change, complaint = DAMAGES[damage]
    change(colmap / "sparse/0/images.bin")
    with pytest.raises(SceneError, match=complaint):
        open_scene(colmap, PLAIN)
    for place in ("colmap/sparse/0", "sparse/1"):
        sparse.write(colmap / place, binary=False)
        with pytest.warns(SceneWarning, match=complaint) as caught:
            scene = open_scene(colmap, PLAIN)
        assert str(caught[0].message).endswith(f"; {place} is read instead")
        assert_same(scene, scene.train, capture, PICKED)


def bad_camera(model: int, parameters: tuple[float, ...], width: int = 12) -> bytes:
    return struct.pack(f"<IiQQ{len(parameters)}d", 3, model, width, 10, *parameters)


BAD_CAMERAS = {
    "unsupported": (bad_camera(7, (15, 15, 6, 5, 0.1)), "model FOV is not supported"),
    "NaN": (bad_camera(1, (15, float("nan"), 6, 5)), "expected finite parameters"),
    "no size": (bad_camera(1, (15, 15, 6, 5), 0), "expected a size in pixels, got 0 x 10"),
    "huge": (bad_camera(1, (15, 15, 6, 5), 2**63), "expected a size in pixels, got 92233"),
    "no focal length": (bad_camera(1, (0, 0, 6, 5)), "focal length must be positive"),
    "folds": (bad_camera(2, (15, 6, 5, -9)), "folds"),
}


@pytest.mark.parametrize("case", BAD_CAMERAS)
def test_a_bad_camera_matters_only_where_it_is_used(colmap, capture, case):
    entry, complaint = BAD_CAMERAS[case]
    model = colmap / "sparse/0"
    sound = (model / "cameras.bin").read_bytes()
    (model / "cameras.bin").write_bytes(struct.pack("<Q", 2) + entry + sound[8:])
    scene = open_scene(colmap, PLAIN)
    assert_same(scene, scene.train, capture, PICKED)
    # The first image of the file is that of 8.png.
    images = bytearray((model / "images.bin").read_bytes())
    images[8 + 60 : 8 + 64] = struct.pack("<I", 3)
    (model / "images.bin").write_bytes(images)
    with pytest.raises(SceneError, match=rf"cameras\.bin: camera 3: .*{complaint}"):
        open_scene(colmap, PLAIN)
    (colmap / "images/8.png").unlink()  # then nobody uses it
    with pytest.warns(SceneWarning, match="1 of 9 images are missing"):
        open_scene(colmap, PLAIN)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("3 FOV 12 10 15 15 6 5 0.1", "model FOV is not supported"),
        ("3 LENS_OF_TOMORROW 12 10 1 2", "model LENS_OF_TOMORROW is not supported"),
        ("3 PINHOLE 12 10 15 15 6", "model PINHOLE has 4 parameters, got 3"),
        ("3 PINHOLE 12 10 wide 15 6 5", "expected a model, a size in pixels and parameters"),
        ("3", "expected a model, a size in pixels and parameters"),
        (f"3 PINHOLE {'9' * 400} 10 15 15 6 5", "expected a size in pixels"),
        ("3 PINHOLE 12 10 15 15 6 5\n3 PINHOLE 12 10 16 16 6 5", "is listed twice"),
    ],
)
def test_bad_cameras_in_text(colmap, text, capture, line, complaint):
    file = text / "cameras.txt"
    file.write_text(f"{line}\n{file.read_text()}")
    scene = open_scene(colmap, PLAIN)
    assert_same(scene, scene.train, capture, PICKED)
    rewrite(text, lambda words: words.replace(" 7 8.png", " 3 8.png").encode())
    with pytest.raises(SceneError, match=rf"cameras\.txt: camera 3: .*{complaint}"):
        open_scene(colmap, PLAIN)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 1e300, 0.0])
def test_a_bad_pose_matters_only_where_its_photograph_exists(colmap, number):
    file = colmap / "sparse/0/images.bin"
    data = bytearray(file.read_bytes())
    data[12 : 12 + 32] = struct.pack("<4d", *[number] * 4)
    file.write_bytes(data)
    with pytest.raises(SceneError, match=r"image 1 \('8.png'\): expected a quaternion"):
        open_scene(colmap, PLAIN)
    (colmap / "images/8.png").unlink()
    with pytest.warns(SceneWarning, match="1 of 9 images are missing"):
        assert len(open_scene(colmap, PLAIN).train) == 5


def test_an_equirectangular_camera_has_the_size_of_its_whole_sphere(colmap, sparse):
    sparse.camera = (17, "EQUIRECTANGULAR", (24.0, 20.0))
    sparse.write(colmap / "sparse/0", binary=True)
    camera = parse_colmap(Folder(colmap), PLAIN).train[0].camera
    assert (camera.width, camera.height, camera.cx, camera.cy) == (12, 10, 12, 10)
    sparse.camera = (17, "EQUIRECTANGULAR", (6.0, 5.0))  # more pixels than the sphere has
    sparse.write(colmap / "sparse/0", binary=True)
    with pytest.raises(SceneError, match=r"cameras\.bin: camera 7: .* folds"):
        parse_colmap(Folder(colmap), PLAIN)


def test_special_files_are_no_model(colmap, capture, sparse):
    model = colmap / "sparse/0"
    for part, make in (("images", os.mkfifo), ("cameras", os.mkdir), ("points3D", os.mkfifo)):
        (model / f"{part}.bin").unlink()
        make(model / f"{part}.bin")
    assert not has_model(colmap)
    sparse.write(colmap / "text", binary=False)
    for file in (colmap / "text").iterdir():
        file.rename(model / file.name)
    scene = open_scene(colmap, PLAIN)
    assert_same(scene, scene.train, capture, PICKED)


def test_a_folder_that_cannot_be_listed_is_named(colmap, monkeypatch):
    listed = type(colmap).iterdir

    def refuse(path):
        if path.name == "sparse":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(type(colmap), "iterdir", refuse)
    assert has_model(colmap)  # there may be one
    with pytest.raises(SceneError, match=r"sparse: cannot be listed \(Permission denied\)"):
        open_scene(colmap, PLAIN)


def test_binary_and_text_hold_the_same_numbers(colmap, sparse, text):
    whole = open_scene(colmap, PLAIN)
    sparse.write(text, binary=True)
    scene = open_scene(colmap, PLAIN)
    torch.testing.assert_close(world_poses(scene, scene.train), world_poses(whole, whole.train))
