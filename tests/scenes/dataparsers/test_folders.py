"""Folders of photographs and masks."""

import os

import pytest

from orefield.errors import LONGEST
from orefield.scenes.dataparsers.folders import (
    choose_images,
    find_images,
    is_leftover,
    match_masks,
    spelled,
)
from orefield.scenes.dataparsers.names import match_names, natural_key, slashes, stem
from orefield.scenes.dataparsers.parsed_scene import Folder
from orefield.types import SceneError


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_images_are_listed_in_order_with_their_subfolders(tmp_path):
    touch(
        tmp_path, "b/2.PNG", "b/10.png", "a.Jpg", "c.webp", "d.TIFF", "e.bmp", "f.txt", "g", "h.gif"
    )
    (tmp_path / "i.png").mkdir()
    touch(tmp_path, "i.png/j.tif")
    names = ["a.Jpg", "b/10.png", "b/2.PNG", "c.webp", "d.TIFF", "e.bmp", "i.png/j.tif"]
    assert list(find_images(Folder(tmp_path), tmp_path)) == names
    flat = ["a.Jpg", "c.webp", "d.TIFF", "e.bmp"]
    assert list(find_images(Folder(tmp_path), tmp_path, nested=False)) == flat


def test_a_hidden_scene_folder_may_be_read(tmp_path):
    touch(tmp_path / ".cache/__MACOSX", "a.png", ".b.png")
    assert list(find_images(Folder(tmp_path), tmp_path / ".cache/__MACOSX")) == ["a.png"]


@pytest.mark.parametrize("name", ["Thumbs.db", "$Recycle.Bin", "@EADIR", ".", "._a", "LOST+FOUND"])
def test_leftovers(name):
    assert is_leftover(name)
    assert not is_leftover(f"a{name}")


def test_special_files_links_in_circles_and_dead_links_are_no_images(tmp_path):
    touch(tmp_path, "a.png")
    os.mkfifo(tmp_path / "fifo.png")
    (tmp_path / "self.png").symlink_to("self.png")
    (tmp_path / "dead.png").symlink_to("nothing.png")
    (tmp_path / "loop").symlink_to(".")
    (tmp_path / "one.png").symlink_to("two.png")
    (tmp_path / "two.png").symlink_to("one.png")
    assert list(find_images(Folder(tmp_path), tmp_path)) == ["a.png"]
    touch(tmp_path.parent, "outside.png")
    (tmp_path / "out.png").symlink_to("../outside.png")
    with pytest.raises(SceneError, match="leads out of the scene folder"):
        find_images(Folder(tmp_path), tmp_path)
    assert list(find_images(Folder(tmp_path, outside=True), tmp_path)) == ["a.png", "out.png"]


def test_folders_within_folders_without_end(tmp_path):
    inner = tmp_path
    for _ in range(1500):
        inner = inner / "a"
        try:
            inner.mkdir()
        except OSError:  # no longer name is allowed
            break
    assert find_images(Folder(tmp_path), tmp_path) == {}
    for folder in [inner, *inner.parents]:
        if folder == tmp_path:
            break
        if folder.exists():
            folder.rmdir()


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    (tmp_path / "bad\x1b[2J").mkdir()
    listed = type(tmp_path).iterdir

    def refuse(path):
        if path.name.startswith("bad"):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(type(tmp_path), "iterdir", refuse)
    with pytest.raises(SceneError, match=r"cannot be listed \(Permission denied\)") as caught:
        find_images(Folder(tmp_path), tmp_path)
    assert str(caught.value).isprintable()


def test_the_exact_name_wins_over_other_capitals(tmp_path):
    touch(tmp_path, "Points3D.txt", "points3d.txt")
    assert spelled(tmp_path, "Points3D.txt") == tmp_path / "Points3D.txt"
    assert spelled(tmp_path, "points3D.txt") == tmp_path / "Points3D.txt"
    assert spelled(tmp_path, "points.txt") is None
    for name in ("Images", "images", "images_1"):
        touch(tmp_path, f"{name}/a.png")
    assert choose_images(Folder(tmp_path), 1).images == tmp_path / "images"


MASKS = {
    "its name": ("x.png", "x.png"),
    "capitals": ("X.PNG", "x.png"),
    "another ending": ("x.JPG", "x.png"),
    "ending after ending": ("x.JPG", "x.jpg.png"),
    "ending after ending in capitals": ("x.jpg", "x.JPG.PNG"),
    "mask": ("x.webp", "x_mask.PNG"),
    "mask after ending": ("x.jpg", "x.jpg_mask.png"),
    "folders": ("left/x.tif", "left/x.png"),
}


@pytest.mark.parametrize("case", MASKS)
def test_masks_are_found(tmp_path, case):
    photograph, mask = MASKS[case]
    touch(tmp_path, mask, "y.png", "y_mask.png", "y.jpg.png")
    names = [photograph, "y.jpg"]
    found = match_masks(Folder(tmp_path), names, tmp_path, required=True)
    assert found == [tmp_path / mask, tmp_path / "y.jpg.png"]


@pytest.mark.parametrize(
    ("photographs", "masks"),
    [(["x.jpg"], ["x.png", "x.bmp"]), (["x.jpg", "x.tif"], ["x.png"]), (["x"], ["X.png", "X.PNG"])],
)
def test_masks_that_may_be_anothers_are_refused(tmp_path, photographs, masks):
    touch(tmp_path, *masks)
    for required in (True, False):
        with pytest.raises(SceneError, match="not clear which mask belongs to 'x"):
            match_masks(Folder(tmp_path), photographs, tmp_path, required)


def test_a_mask_that_is_missing_is_named_where_all_are_needed(tmp_path):
    touch(tmp_path, "a.png", "._b.png")
    names = ["a.jpg", "b" * 300 + ".jpg"]
    assert match_masks(Folder(tmp_path), names, tmp_path, required=False)[1] is None
    with pytest.raises(SceneError, match="no mask for bbb") as caught:
        match_masks(Folder(tmp_path), names, tmp_path, required=True)
    assert len(str(caught.value)) <= LONGEST


def test_names_are_matched_one_by_one():
    names, files = ["a", "b", "c", "d"], ["A", "b", "B", "c", "e"]
    matches = match_names(names, files, [(str, str)])
    assert matches.found == {"a": "A", "b": "b", "c": "c"}
    assert matches.unclear == {}
    doubled = match_names(["x", "X"], ["x.1", "x.2"], [(str, str), (stem, stem)])
    assert doubled.found == {}
    assert doubled.unclear == {"x": ["x.1", "x.2"], "X": ["x.1", "x.2"]}


@pytest.mark.parametrize("name", [".", "/", "", "..", "a.", ".png", "a/.b", "\\", "a" * 5000, "\0"])
def test_every_text_has_a_stem(name):
    assert isinstance(stem(name), str)
    assert slashes(slashes(name)) == slashes(name)


def test_numbers_of_any_length_have_a_natural_order():
    names = ["a" + "9" * 5000, "a10", "a2", "a02", "b1", "a"]
    assert sorted(names, key=natural_key)[:5] == ["a", "a02", "a2", "a10", "a" + "9" * 5000]
