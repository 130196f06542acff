"""Which photograph belongs to which image of a COLMAP model: none ever gets another's pose."""

import unicodedata
import warnings
from pathlib import Path

import pytest
import torch
from PIL import ExifTags, Image

from orefield.config import SceneConfig
from orefield.scenes import SceneWarning
from orefield.scenes.dataparsers.colmap import parse_colmap
from orefield.scenes.dataparsers.parsed_scene import Folder
from orefield.types import SceneError

ALL = SceneConfig(holdout=0)


@pytest.fixture
def rename(colmap, sparse):
    """Photograph i gets a name on disk, image i of the model another; None: there is none."""

    def apply(on_disk, in_model) -> None:
        for i, name in enumerate(on_disk):
            path = colmap / f"images/{i}.png"
            if name is None:
                path.unlink()
                continue
            target = colmap / "images" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)  # what kind of image it is, its content says
        sparse.images = [(in_model[int(name[0])], *pose) for name, *pose in sparse.images]
        sparse.write(colmap / "sparse/0", binary=True)

    return apply


def read(colmap, capture, on_disk):
    """The numbers of the photographs that are read, each with the pose of its own number."""
    frames = parse_colmap(Folder(colmap), ALL).train
    numbers = [
        on_disk.index(frame.image.relative_to(colmap / "images").as_posix()) for frame in frames
    ]
    for frame, i in zip(frames, numbers, strict=True):
        expected = capture.poses[i, :3] * torch.tensor([1.0, -1.0, -1.0, 1.0])
        torch.testing.assert_close(frame.pose, expected.double(), atol=1e-9, rtol=0)
        assert frame.name == on_disk[i]
    return sorted(numbers)


# As text, `cam1/` sorts before `cam10/`, but `cam1\` after `cam10\`.
FOLDERS = [f"cam{(1, 10, 2, 21, 3, 1, 10, 2, 21)[i]}/{i}.png" for i in range(9)]
SPELLINGS = {
    "Windows": (FOLDERS, [name.replace("/", "\\") for name in FOLDERS]),
    "Windows on disk": ([name.replace("/", "\\") for name in FOLDERS], FOLDERS),
    "dots": (FOLDERS, [f".\\{name}" if i % 2 else f"./{name}" for i, name in enumerate(FOLDERS)]),
    "double slashes": (FOLDERS, [name.replace("/", "//") for name in FOLDERS]),
    "round about": (FOLDERS, [f"x/../{name}" for name in FOLDERS]),
    "capitals": (FOLDERS, [name.upper() for name in FOLDERS]),
    "some in capitals": (
        [f"{i}.{'JPG' if i % 2 else 'jpg'}" for i in range(9)],
        [f"{i}.jpg" for i in range(9)],
    ),
    "half converted": (
        [f"{i}.{'webp' if i % 2 else 'png'}" for i in range(9)],
        [f"{i}.png" for i in range(9)],
    ),
    "converted, capitals": ([f"a{i}.tif" for i in range(9)], [f"A{i}.JPEG" for i in range(9)]),
    "points in names": ([f"a.{i}.bmp" for i in range(9)], [f"a.{i}.jpg" for i in range(9)]),
    "no ending": ([f"{i}.png" for i in range(9)], [f"{i}" for i in range(9)]),
    "composed accents": (
        [unicodedata.normalize("NFD", f"é{i}.png") for i in range(9)],
        [unicodedata.normalize("NFC", f"é{i}.png") for i in range(9)],
    ),
    "capitals tell apart": (
        [*(f"a{i}.jpg" for i in range(5)), *(f"A{i}.jpg" for i in range(4))],
        [*(f"a{i}.png" for i in range(5)), *(f"A{i}.png" for i in range(4))],
    ),
    "endings tell apart": (
        [f"{i // 2}.{'png' if i % 2 else 'jpg'}" for i in range(9)],
        [f"{i // 2}.{'png' if i % 2 else 'jpg'}" for i in range(9)],
    ),
    "one exact, one left": (
        ["0.png", "0.tif", *(f"{i}.png" for i in range(2, 9))],
        ["0.png", "0.jpg", *(f"{i}.png" for i in range(2, 9))],
    ),
}


@pytest.mark.parametrize("case", SPELLINGS)
def test_names_that_are_spelled_in_other_ways_are_found(colmap, capture, rename, case):
    on_disk, in_model = SPELLINGS[case]
    rename(on_disk, in_model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read(colmap, capture, on_disk) == [*range(9)]


MOVED = {
    # In sorted order every second one would get another's pose.
    "put into one folder": lambda i: (f"{i}.png", f"cam{i % 2}/{i}.png"),
    "taken apart": lambda i: (f"cam{i % 2}/{i}.png", f"{i}.png"),
    "from the folder above": lambda i: (f"{i}.png", f"images/{i}.png"),
    "from another machine": lambda i: (f"cam{i % 2}/{i}.png", f"D:\\capture\\cam{i % 2}\\{i}.png"),
    "converted too": lambda i: (f"{i}.jpg", f"/home/me/capture/{i}.tif"),
    "one name in several folders": lambda i: (f"{i}/a.png", f"images/{i}/a.png"),
    "without endings": lambda i: (f"frame.{i}.png", f"left/frame.{i}"),
}


@pytest.mark.parametrize("case", MOVED)
@pytest.mark.parametrize("missing", [0, 2])
def test_photographs_in_other_folders_match_by_the_ends_of_names(
    colmap, capture, rename, case, missing
):
    on_disk, in_model = map(list, zip(*map(MOVED[case], range(9)), strict=True))
    on_disk[:missing] = [None] * missing
    rename(on_disk, in_model)
    with pytest.warns(SceneWarning) as caught:
        assert read(colmap, capture, on_disk) == [*range(missing, 9)]
    assert "in other folders than in the model; matched by the ends" in str(caught[0].message)
    assert len(caught) == 1 + (missing > 0)


@pytest.mark.parametrize("above", ["", "images/", "C:\\capture\\images\\"])
def test_a_folder_of_others_does_not_stand_in_for_a_missing_one(colmap, capture, rename, above):
    on_disk = [*(f"left/{i}.png" for i in range(8)), "middle/8.png"]
    rename(on_disk, [*(f"{above}left/{i}.png" for i in range(8)), f"{above}right/8.png"])
    with pytest.warns(SceneWarning) as caught:
        assert read(colmap, capture, on_disk) == [*range(8)]
    missing = f"1 of 9 images are missing: {above}right/8.png"
    assert str(caught[-1].message).endswith(missing)


def test_names_without_endings_may_have_dots(colmap, capture, rename):
    on_disk = [None, *(f"frame.{i}.png" for i in range(1, 9))]
    rename(on_disk, [f"frame.{i}" for i in range(9)])
    with pytest.warns(SceneWarning, match=r"1 of 9 images are missing: frame\.0$"):
        assert read(colmap, capture, on_disk) == [*range(1, 9)]


def test_a_folder_without_readable_images_is_said(colmap, rename):
    rename([f"{i}.heic" for i in range(9)], [f"{i}.heic" for i in range(9)])
    with pytest.raises(SceneError, match=r"images: no images here, expected \.png, \.jpg"):
        parse_colmap(Folder(colmap), ALL)


def test_a_missing_photograph_does_not_shift_the_others(colmap, capture, rename):
    on_disk = [None, *(f"{i}.jpg" for i in range(1, 9))]
    rename(on_disk, [f"{i}.png" for i in range(9)])
    (colmap / "images/extra.jpg").write_bytes((colmap / "images/1.jpg").read_bytes())
    with pytest.warns(SceneWarning, match=r"1 of 9 images are missing: 0\.png$"):
        assert read(colmap, capture, on_disk) == [*range(1, 9)]


@pytest.mark.parametrize(
    ("on_disk", "in_model"),
    [
        # Two photographs for the last image; two images for the last photograph but one.
        (["8.jpg", "8.webp"], ["7.png", "8.png"]),
        (["8.jpg", None], ["8.png", "8.tif"]),
        (["AB.png", "Ab.png"], ["ab.png", "7.png"]),
    ],
)
def test_a_photograph_that_may_be_anothers_is_left_out(colmap, capture, rename, on_disk, in_model):
    on_disk = [*(f"{i}.png" for i in range(7)), *on_disk]
    rename(on_disk, [*(f"{i}.png" for i in range(7)), *in_model])
    with pytest.warns(SceneWarning) as caught:
        assert read(colmap, capture, on_disk) == [*range(7)]
    assert "not clear; they are left out: '" in str(caught[0].message)


def test_names_that_are_all_unclear_are_not_taken_in_order(colmap, rename):
    for i in range(9):
        (colmap / f"images/{i}.jpg").write_bytes((colmap / f"images/{i}.png").read_bytes())
    rename([f"{i}.png" for i in range(9)], [f"{i}.tif" for i in range(9)])
    with pytest.raises(SceneError, match=r"is not clear: '0.tif' \(0.jpg, 0.png\), '1.tif'"):
        parse_colmap(Folder(colmap), ALL)


def test_by_order_only_where_texts_and_numbers_agree(colmap, capture, rename):
    on_disk = [f"frame{i}.png" for i in range(9)]
    rename(on_disk, [f"IMG_{20 + i}.JPG" for i in range(9)])
    with pytest.warns(SceneWarning, match=r"sorted order, frame0\.png as IMG_20\.JPG"):
        assert read(colmap, capture, on_disk) == [*range(9)]
    # As text, frame10 comes before frame8; as a number, after.
    (colmap / "images/frame7.png").rename(colmap / "images/frame10.png")
    with pytest.raises(SceneError, match=r"order is not certain: 'IMG_22.JPG' would be 'frame10"):
        parse_colmap(Folder(colmap), ALL)


def test_what_systems_leave_does_not_count(colmap, capture, rename):
    on_disk = [f"frame{i}.png" for i in range(9)]
    rename(on_disk, [f"IMG_{i}.JPG" for i in range(9)])
    for name in ("._frame0.png", "@eaDir/frame0.png/SYNOPHOTO_THUMB_XL.jpg", "__MACOSX/._x.jpg"):
        path = colmap / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\0\5\x16\7")
    with pytest.warns(SceneWarning, match="sorted order"):
        assert read(colmap, capture, on_disk) == [*range(9)]


@pytest.mark.parametrize(
    "name", ["../../secret.png", "/etc/passwd", "C:\\x.png", ".", "/", "..", "", "~", "x/../.."]
)
def test_no_name_in_a_model_leads_out_of_the_folder(colmap, rename, tmp_path, name):
    (tmp_path / "secret.png").write_bytes(b"secret")
    rename([f"{i}.png" for i in range(9)], [name, *(f"img{i}.png" for i in range(1, 9))])
    with pytest.warns(SceneWarning, match="sorted order"):
        frames = parse_colmap(Folder(colmap), ALL).train
    assert {frame.image.parent for frame in frames} == {colmap / "images"}
    assert sorted(frame.name for frame in frames) == [f"{i}.png" for i in range(9)]


@pytest.mark.parametrize("name", ["a\x1b[2Jb.png", "a\nb.png", "\x07", "\u202ex.png"])
def test_control_characters_in_names_are_refused_and_not_shown(colmap, rename, name):
    rename([f"{i}.png" for i in range(9)], [name, *(f"{i}.png" for i in range(1, 9))])
    with pytest.raises(SceneError, match="without control characters") as caught:
        parse_colmap(Folder(colmap), ALL)
    assert str(caught.value).isprintable()


def test_two_images_of_one_name_are_refused(colmap, rename):
    rename([f"{i}.png" for i in range(9)], ["1.png", *(f"{i}.png" for i in range(1, 9))])
    with pytest.raises(SceneError, match=r"\('1.png'\): an image before it has the same name"):
        parse_colmap(Folder(colmap), ALL)


@pytest.mark.parametrize("orientation", [3, 6])
def test_the_stated_size_decides_whether_a_photograph_is_turned(colmap, orientation):
    """12 x 10 is what the camera states: a file of 10 x 12 fits only when turned."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path: Path = colmap / "images/1.png"
    with Image.open(path) as image:
        stored = image.transpose(Image.Transpose.ROTATE_90) if orientation == 6 else image
        stored.save(path, exif=exif)
    frames = {frame.name: frame for frame in parse_colmap(Folder(colmap), ALL).train}
    assert frames["1.png"].upright == (orientation == 6)
    assert (frames["1.png"].camera.width, frames["1.png"].camera.height) == (12, 10)
