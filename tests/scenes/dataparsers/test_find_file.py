"""Names in a scene's files and names on disk: spellings, endings, capitals, and what is refused."""

import json
from pathlib import Path

import pytest
from PIL import Image

from orefield.config import SceneConfig
from orefield.scenes import SceneWarning, open_scene
from orefield.scenes.dataparsers.find_file import converted, find_named_files, find_named_images
from orefield.scenes.dataparsers.folders import IMAGE_ENDINGS
from orefield.scenes.dataparsers.parsed_scene import Folder, few, hold_out
from orefield.types import SceneError
from reading import PLAIN, assert_same

SIX = [1, 2, 4, 5, 7, 8]


def touch(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()


def found(folder, *names):
    """The file names that names stand for; None where there is none."""
    images = find_named_images([folder / name for name in names])
    return [file and file.name for file in (images.get(folder / name) for name in names)]


@pytest.mark.parametrize("ending", IMAGE_ENDINGS)
@pytest.mark.parametrize("change", [str.lower, str.upper, str.title])
def test_every_ending_may_be_left_out_and_be_in_capitals(tmp_path, ending, change):
    file = f"a.v2{change(ending)}"
    touch(tmp_path, file)
    assert found(tmp_path, "a.v2") == [file]
    assert found(tmp_path, f"A.V2{ending}") == [file]
    assert found(tmp_path, "a", "a.v3") == [None, None]


def test_an_exact_name_wins_and_no_file_is_found_for_two_names(tmp_path):
    touch(tmp_path, "a.png", "a.jpg", "A.PNG", "b.png", "c.webp", "d.jpg", "d.tif", "e", "f.bmp")
    assert found(tmp_path, "a.png", "A.PNG", "a.jpg", "a") == ["a.png", "A.PNG", "a.jpg", None]
    assert found(tmp_path, "A.png", "a") == ["A.PNG", "a.png"]
    assert found(tmp_path, "e", "E") == ["e", None]
    assert found(tmp_path, "b.png", "b.jpg") == ["b.png", None]
    assert found(tmp_path, "b.jpg", "c.png", "d.png") == ["b.png", "c.webp", None]
    assert found(tmp_path, "c.png", "c.jpg") == [None, None]
    assert found(tmp_path, "d", "f.txt") == ["d.jpg", None]
    (tmp_path / "g.png").mkdir()
    assert found(tmp_path, "g", "g.png", "g.jpg") == [None] * 3


def test_other_files_have_no_other_endings(tmp_path):
    touch(tmp_path, "a.NPY", "b.png")
    paths = [tmp_path / name for name in ("a.npy", "b.jpg", "b")]
    assert find_named_files(paths) == {paths[0]: tmp_path / "a.NPY"}


def test_the_endings_that_differ_are_told_apart_from_capitals():
    names = {"a.png": "a.PNG", "b": "b.png", "c.jpg": "c.png", "d.v1": "d.v1.png"}
    paths = {Path(name): Path(file) for name, file in names.items()}
    assert converted(paths) == {Path("c.jpg"): Path("c.png")}


def test_a_directory_is_listed_once(tmp_path, monkeypatch):
    touch(tmp_path, *(f"{i}.PNG" for i in range(50)))
    listed = []
    listing = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda path: listed.append(path) or listing(path))
    assert len(find_named_images(tmp_path / str(i) for i in range(50))) == 50
    assert listed == [tmp_path]


@pytest.mark.parametrize("name", ["a" * 300, "a" * 5000, "no/such/folder", "\ud800"])
def test_impossible_names_stand_for_nothing(tmp_path, name):
    assert found(tmp_path, name, f"{name}.png") == [None, None]


def rename(folder, edit, spell, fields=("file_path",)):
    """Spell every photograph's path anew."""

    def change(values):
        for frame in values["frames"]:
            for field in fields:
                frame[field] = spell(frame[field])

    edit(folder / "transforms.json", change)


SPELLINGS = {
    "plain": lambda folder, name: name,
    "dots": lambda folder, name: f"./images/../{name}",
    "slashes": lambda folder, name: name.replace("/", "//"),
    "backslashes": lambda folder, name: f".\\{name}".replace("/", "\\"),
    "absolute": lambda folder, name: str(folder / name),
    "absolute, two slashes": lambda folder, name: f"/{folder / name}",
    "by a link": lambda folder, name: str(folder.with_name("link") / name),
    "no ending": lambda folder, name: name.removesuffix(".png"),
    "capitals": lambda folder, name: name.replace("png", "Png"),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_of_a_path_inside_is_read(transforms, edit, capture, spelling):
    transforms.with_name("link").symlink_to(transforms)
    rename(transforms, edit, lambda name: SPELLINGS[spelling](transforms, name))
    scene = open_scene(transforms, PLAIN)
    assert_same(scene, scene.train, capture, SIX)
    assert not any(Path(view.name).is_absolute() or "\\" in view.name for view in scene.train)
    lists = {
        "train_filenames": [f"images/{i}.png" for i in SIX],
        "test_filenames": [str(transforms / "images/0.png"), ".\\images//3.png", "images/./6.png"],
    }
    if spelling in ("no ending", "capitals"):
        return
    edit(transforms / "transforms.json", lambda values: values.update(lists))
    scene = open_scene(transforms, PLAIN)
    assert_same(scene, scene.train, capture, SIX)
    assert_same(scene, scene.test, capture, [0, 3, 6])


def test_photographs_with_another_ending_are_read_with_one_warning(transforms, edit, capture):
    rename(transforms, edit, lambda name: name.replace("png", "jpg"))
    with pytest.warns(SceneWarning, match=r"9 files have another ending.*0\.png for 0\.jpg") as w:
        scene = open_scene(transforms, PLAIN)
    assert len(w) == 1
    assert_same(scene, scene.train, capture, SIX)


def test_masks_are_found_as_photographs_are(transforms, edit):
    (transforms / "masks").mkdir()
    for i in range(9):
        Image.new("L", (12, 10), 255).save(transforms / f"masks/{i}.PNG")
    (transforms / "masks/8.PNG").rename(transforms / "masks/8.webp")

    def add(values):
        for i, frame in enumerate(values["frames"]):
            frame["mask_path"] = f"masks\\{i}.png"

    edit(transforms / "transforms.json", add)
    with pytest.warns(SceneWarning, match=r"1 files have another ending .* 8\.webp for 8\.png"):
        assert len(open_scene(transforms, PLAIN).train) == 6


def refusal(folder):
    with pytest.raises(SceneError) as caught:
        open_scene(folder, PLAIN)
    return str(caught.value)


@pytest.mark.parametrize("name", ["/", ".", "//", "", "images/..", "\0", "a\x1b[31m.png", "a\n"])
@pytest.mark.parametrize("outside", [False, True])
def test_a_path_that_is_none_is_refused(transforms, edit, name, outside):
    edit(transforms / "transforms.json", lambda v: v["frames"][1].update(file_path=name))
    config = SceneConfig(holdout=3, allow_outside=outside)
    if outside and name in ("/", "//"):
        with pytest.warns(SceneWarning, match="1 of 9 images are missing"):
            open_scene(transforms, config)
        return
    with pytest.raises(SceneError, match=r"frames\[1\]\.file_path must be a ") as caught:
        open_scene(transforms, config)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["C:\\x.png", "\\\\server\\share\\x.png", "/etc/../x.png", "D:x"])
def test_an_absolute_path_outside_is_refused(transforms, edit, name):
    edit(transforms / "transforms.json", lambda v: v["frames"][1].update(file_path=name))
    assert "frames[1].file_path must be a path inside the scene folder" in refusal(transforms)
    edit(transforms / "transforms.json", lambda v: v["frames"][1].update(file_path="images/1.png"))
    edit(transforms / "transforms.json", lambda v: v.update(test_filenames=[name]))
    assert "test_filenames must be a path inside the scene folder" in refusal(transforms)


@pytest.mark.parametrize("root", ["../toy/", "..\\toy\\", "images/../../toy/", "../../{}/toy/"])
def test_a_path_that_leads_out_and_back_in_is_inside(transforms, edit, capture, root):
    root = root.format(transforms.parent.name)
    rename(transforms, edit, lambda name: root + name)
    scene = open_scene(transforms, PLAIN)
    assert_same(scene, scene.test, capture, [0, 3, 6])


def test_the_folder_beside_is_not_inside(tmp_path):
    folder = Folder(tmp_path / "toy")
    with pytest.raises(SceneError, match="must be a path inside"):
        folder.named(f"{tmp_path}/toy2/x.png", "x")
    with pytest.raises(SceneError, match="must be a path inside"):
        folder.named(f"{tmp_path}/toy", "x")
    assert folder.named(f"{tmp_path}/toy/a/../b.png", "x") == tmp_path / "toy/b.png"
    assert Folder(tmp_path / "toy", True).named("..\\x.png", "x") == tmp_path / "toy/../x.png"


def test_a_link_out_of_the_folder_stays_refused_by_its_absolute_path(tmp_path, transforms, edit):
    (transforms / "images/1.png").rename(tmp_path / "1.png")
    (transforms / "images/1.png").symlink_to(tmp_path / "1.png")
    rename(transforms, edit, lambda name: str(transforms / name))
    assert "leads out of the scene folder" in refusal(transforms)


def test_a_photograph_named_twice(transforms, edit, capture):
    file = transforms / "transforms.json"
    again = json.loads(file.read_text())["frames"][4] | {"file_path": "./images/4"}
    edit(file, lambda values: values["frames"].append(again))
    with pytest.warns(SceneWarning, match=r"1 of 10 images are missing: \./images/4"):
        open_scene(transforms, PLAIN)
    edit(file, lambda values: values["frames"][-1].update(file_path="./images//4.png"))
    with pytest.warns(SceneWarning, match=r"1 entries are repeated and read once: images/4\.png"):
        scene = open_scene(transforms, PLAIN)
    assert len(scene.train) + len(scene.test) == 9
    for other in ({"fl_x": 30}, {"transform_matrix": capture.poses[3].tolist()}):
        edit(file, lambda values, other=other: values["frames"][-1].update(other))
        assert "file_path must be named once: an entry before has another pose" in refusal(file)


def test_long_lists_of_missing_photographs_are_cut(transforms, edit):
    def add(values):
        pose = values["frames"][0]["transform_matrix"]
        for i in range(500):
            frame = {"file_path": f"images/not_there_{i:04d}.png", "transform_matrix": pose}
            values["frames"].append(frame)

    edit(transforms / "transforms.json", add)
    with pytest.warns(SceneWarning, match=r"500 of 509 images are missing: .* and 49\d more") as w:
        open_scene(transforms, PLAIN)
    assert len(str(w[0].message)) <= 500
    assert few([str(i) for i in range(13)]) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 1 more"
    assert few(["a" * 300, "b" * 300]) == "a" * 80 + " and 1 more"


@pytest.mark.parametrize(
    ("every", "split"),
    [
        *((2, "every 2nd image"), (3, "every 3rd image"), (4, "every 4th image")),
        *((11, "every 11th image"), (12, "every 12th image"), (13, "every 13th image")),
        *((21, "every 21st image"), (22, "every 22nd image"), (23, "every 23rd image")),
        *((111, "every 111th image"), (0, "all images, no test views")),
    ],
)
def test_how_images_are_held_out(every, split):
    parsed = hold_out([], every)
    assert (parsed.split, list(parsed.train), list(parsed.test)) == (split, [], [])
