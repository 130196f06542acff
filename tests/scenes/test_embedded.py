"""The scenes that come with the package: whole, small, licensed, and found by name."""

import filecmp
import json
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from orefield.scenes import embedded, open_scene, shapes
from orefield.types import SceneError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def small_shapes(tmp_path, monkeypatch):
    """An empty cache, and a scene of few pixels to fill it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = []

    def write(folder, resolution=8, train_views=2, test_views=1):
        made.append(folder)
        shapes.write_shapes(folder, resolution, train_views, test_views)

    monkeypatch.setattr(
        embedded, "shapes", type("Small", (), {"write_shapes": staticmethod(write), "VERSION": 0})
    )
    return made


def test_the_tankard_fits_in_the_package_with_its_license():
    folder = embedded.folder("tankard")
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) <= 3_000_000
    text = (folder / "LICENSE.md").read_text()
    for needed in (
        "Creative Commons Attribution 4.0",
        "creativecommons.org/licenses/by/4.0",
        "Rob Kaleta",
        "Mark Boss",
        "github.com/vork/maryRose",
        "What was changed",
    ):
        assert needed in text


def test_the_tankard_opens_with_alpha_and_true_sizes():
    scene = open_scene("tankard")
    assert scene.name == "tankard"
    assert len(scene.train) + len(scene.test) == 34
    assert len(scene.test) == 5
    for view in scene.train + scene.test:
        assert view.image.shape == (216, 216, 4)
        share = view.image[..., 3].float().mean().item() / 255
        assert 0.3 < share < 0.6, view.name
        assert ((view.image[..., 3] > 0) & (view.image[..., 3] < 255)).any()


def test_the_tankard_has_no_white_paper_along_its_edge():
    for path in (embedded.folder("tankard") / "images").iterdir():
        rgba = np.asarray(Image.open(path)).astype(int)
        edge = (rgba[..., 3] > 0) & (rgba[..., 3] < 255)
        assert np.mean(rgba[edge][:, :3].min(axis=1) > 200) < 0.02, path.name


def test_every_mask_of_the_tankard_covers_the_middle_of_its_picture_from_any_side():
    """Poses and pictures belong together: the point all cameras look at is wood in every view."""
    scene = open_scene("tankard")
    for view in scene.train + scene.test:
        middle = torch.full((3,), 0.5)
        local = view.pose[:, :3].T @ (middle - view.pose[:, 3])
        x = view.camera.fx * local[0] / local[2] + view.camera.cx
        y = view.camera.fy * local[1] / local[2] + view.camera.cy
        assert view.image[int(y), int(x), 3] == 255, view.name


@pytest.mark.slow
def test_the_tool_makes_the_tankard_again(real_scenes, tmp_path, monkeypatch):
    if not (real_scenes / "mary_rose").is_dir():
        pytest.skip(f"{real_scenes}/mary_rose not found")
    spec = spec_from_file_location("make_tankard", ROOT / "tools" / "make_tankard.py")
    tool = module_from_spec(spec)
    spec.loader.exec_module(tool)
    monkeypatch.setattr(
        sys, "argv", ["make_tankard", str(real_scenes / "mary_rose"), str(tmp_path)]
    )
    tool.main()
    packaged = embedded.folder("tankard")
    assert (tmp_path / "transforms.json").read_text() == (packaged / "transforms.json").read_text()
    frames = json.loads((packaged / "transforms.json").read_text())["frames"]
    names = {path.name for path in (packaged / "images").iterdir()}
    assert names == {Path(frame["file_path"]).name for frame in frames}
    for name in names:  # pixels, not bytes: encoders differ between versions of libwebp
        made, kept = (np.asarray(Image.open(at / "images" / name)) for at in (tmp_path, packaged))
        np.testing.assert_array_equal(made, kept)


def test_shapes_are_made_once_and_found_again(small_shapes):
    first = embedded.folder("shapes")
    assert embedded.folder("shapes") == first
    assert len(small_shapes) == 1
    assert first.name == "shapes"
    scene = open_scene("shapes")
    assert (len(scene.train), len(scene.test), scene.split) == (2, 1, "official")
    leftovers = [path for path in first.parent.parent.iterdir() if path != first.parent]
    assert leftovers == []


def test_an_interrupted_making_leaves_no_scene_behind(small_shapes, monkeypatch):
    def interrupted(folder):
        folder.mkdir(parents=True)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(embedded.shapes, "write_shapes", staticmethod(interrupted))
        with pytest.raises(KeyboardInterrupt):
            embedded.folder("shapes")
    assert (embedded.folder("shapes") / "transforms_train.json").is_file()


def test_a_scene_made_meanwhile_by_another_process_is_taken(small_shapes, monkeypatch):
    make = embedded.shapes.write_shapes

    def slow(folder):
        make(folder)
        target = folder.parent.parent.parent / f"shapes-{embedded.shapes.VERSION}"
        make(target / "shapes")

    monkeypatch.setattr(embedded.shapes, "write_shapes", staticmethod(slow))
    assert (embedded.folder("shapes") / "transforms_train.json").is_file()


def test_writing_copies_the_tankard_and_makes_shapes_of_any_size(tmp_path):
    embedded.write("tankard", tmp_path / "t")
    compared = filecmp.dircmp(embedded.folder("tankard"), tmp_path / "t")
    assert not compared.left_only + compared.right_only + compared.diff_files
    (tmp_path / "s").mkdir()
    embedded.write("shapes", tmp_path / "s", resolution=20, train_views=3, test_views=2)
    scene = open_scene(tmp_path / "s")
    assert (len(scene.train), len(scene.test)) == (3, 2)
    assert scene.train[0].image.shape == (20, 20, 4)


def test_writing_refuses_what_it_cannot_do(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(SceneError, match="new or empty folder"):
        embedded.write("tankard", tmp_path)
    with pytest.raises(SceneError, match="photographs"):
        embedded.write("tankard", tmp_path / "t", resolution=100)
    with pytest.raises(SceneError, match="shapes, tankard"):
        embedded.write("lego", tmp_path / "l")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_unknown_name_lists_the_known_ones():
    assert set(embedded.names()) == {"shapes", "tankard"}
    with pytest.raises(SceneError, match="shapes, tankard"):
        embedded.folder("lego")
