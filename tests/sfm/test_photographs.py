import numpy as np
import pytest
from PIL import ExifTags, Image

from orefield.errors import SceneError
from orefield.sfm.pairs import all_pairs, sequential_pairs
from orefield.sfm.photographs import (
    focal_in_diagonals,
    import_photographs,
    list_photographs,
)


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def half_red():
    """24 x 16 pixels, the left half red."""
    red = np.zeros((16, 24, 3), np.uint8)
    red[:, :12, 0] = 255
    return Image.fromarray(red)


# Where the red half lies once the stored image is turned as the tag says.
@pytest.mark.parametrize(
    ("orientation", "size", "red"),
    [
        (1, (24, 16), np.s_[:, 1:11]),
        (3, (24, 16), np.s_[:, 13:23]),
        (6, (16, 24), np.s_[1:11, :]),
        (8, (16, 24), np.s_[13:23, :]),
    ],
)
@pytest.mark.parametrize("ending", [".jpg", ".png", ".webp"])
def test_pixels_are_turned_upright_and_no_exif_is_written(
    tmp_path, out, half_red, exif, finish, orientation, size, red, ending
):
    source = tmp_path / f"photo{ending}"
    half_red.save(source, exif=exif(orientation), quality=95)
    with Image.open(source) as photograph:
        assert photograph.getexif().get_ifd(ExifTags.IFD.GPSInfo)  # it knows where it was taken
    (photo,) = finish(import_photographs([source], out, 0, 1))
    with Image.open(out / photo.name) as written:
        assert written.size == (photo.width, photo.height) == size
        assert (np.asarray(written)[red][..., 0] > 200).all()
        assert not written.getexif()
    assert b"Exif" not in (out / photo.name).read_bytes()


def test_tiff_and_bmp_become_jpeg(tmp_path, out, half_red, finish):
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    half_red.save(tmp_path / "a.TIF", exif=turned)
    half_red.save(tmp_path / "b.bmp")
    first, second = finish(import_photographs([tmp_path / "a.TIF", tmp_path / "b.bmp"], out, 0, 1))
    assert (first.name, first.width, first.height) == ("a.jpg", 16, 24)
    assert (second.name, second.width, second.height) == ("b.jpg", 24, 16)
    assert (pixels(out / "a.jpg")[1:11, :, 0] > 200).all()


def test_large_photographs_are_made_smaller_and_small_ones_left_alone(
    tmp_path, out, half_red, finish
):
    paths = [tmp_path / "large.png", tmp_path / "small.png"]
    half_red.resize((480, 320)).save(paths[0])
    half_red.save(paths[1])
    large, small = finish(import_photographs(paths, out, 240, 2))
    assert (large.width, large.height) == (240, 160)
    assert (small.width, small.height) == (24, 16)
    np.testing.assert_array_equal(pixels(out / "small.png"), half_red)


def test_transparency_is_kept(tmp_path, out, half_red, finish):
    half_red.putalpha(Image.linear_gradient("L").resize((24, 16)))
    half_red.save(tmp_path / "cut.webp", lossless=True, exact=True)
    (photo,) = finish(import_photographs([tmp_path / "cut.webp"], out, 0, 1))
    assert photo.name == "cut.png"
    np.testing.assert_array_equal(pixels(out / "cut.png"), half_red)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"FocalLengthIn35mmFilm": 28}, 28 / np.hypot(36, 24)),
        # A sensor of 6000 x 4000 pixels, 36 x 24 mm: 6000 / 36 pixels a millimeter.
        (
            {
                "FocalLength": 50.0,
                "FocalPlaneXResolution": 6000 / 3.6,
                "FocalPlaneResolutionUnit": 3,
                "ExifImageWidth": 6000,
                "ExifImageHeight": 4000,
            },
            50 / np.hypot(36, 24),
        ),
        ({}, None),
        ({"FocalLengthIn35mmFilm": 0}, None),
        ({"FocalLengthIn35mmFilm": 2}, None),
        ({"FocalLengthIn35mmFilm": 60_000}, None),
        ({"FocalLength": 50.0}, None),
        (
            {"FocalLength": 50.0, "FocalPlaneXResolution": 1e3, "FocalPlaneResolutionUnit": "cm"},
            None,
        ),
    ],
)
@pytest.mark.parametrize("ending", [".jpg", ".webp"])
def test_focal_length_comes_from_exif_in_diagonals(
    tmp_path, half_red, exif, fields, expected, ending
):
    file = tmp_path / f"photo{ending}"
    half_red.save(file, exif=exif(**fields))
    focal = focal_in_diagonals(file)
    assert focal == (expected if expected is None else pytest.approx(expected, rel=1e-3))


def test_a_photograph_without_exif_has_no_focal_length(tmp_path, half_red):
    for ending in (".jpg", ".png", ".webp"):
        half_red.save(tmp_path / f"photo{ending}")
        assert focal_in_diagonals(tmp_path / f"photo{ending}") is None


def test_a_file_that_is_no_image_is_named(tmp_path, out, finish):
    (tmp_path / "b.jpg").write_text("not an image")
    with pytest.raises(SceneError, match=r"b\.jpg: cannot be read as an image"):
        finish(import_photographs([tmp_path / "b.jpg"], out, 0, 1))


def test_photographs_are_listed_in_natural_order_without_leftovers(tmp_path):
    names = ["img1.png", "img2.TIF", "img3.bmp", "img4.WebP", "img9.jpg", "img10.JPG"]
    left = ["._img9.jpg", ".hidden.png", "Thumbs.db", "desktop.ini", "notes.txt"]
    for name in (*names, *left):
        (tmp_path / name).touch()
    for folder in ("@eaDir", "__MACOSX", "more"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "img5.png").touch()
    (tmp_path / "img6.png").symlink_to("img6.png")
    assert [path.name for path in list_photographs(tmp_path)] == names


def test_photographs_may_be_links(tmp_path):
    (tmp_path / "all").mkdir()
    (tmp_path / "some").mkdir()
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (tmp_path / "all" / name).touch()
        (tmp_path / "some" / name).symlink_to(tmp_path / "all" / name)
    assert len(list_photographs(tmp_path / "some")) == 3


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a.jpg", "b.jpg"], "2 photographs .*, expected at least 3$"),
        (["a.HEIC", "b.heic", ".c.raw", "Thumbs.db"], r"0 photographs .* them: \.heic$"),
        (["a.jpg", "b.jpg", "a.png"], "has the same name as a"),
        (["a.jpg", "b.jpg", "A.TIFF"], "has the same name as "),
    ],
)
def test_a_folder_of_too_few_photographs_is_refused(tmp_path, names, message):
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(SceneError, match=message):
        list_photographs(tmp_path)


def test_pairs_are_all_or_neighbors_and_powers_of_two():
    assert all_pairs(4) == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    near = sequential_pairs(40, overlap=3)
    assert len(near) == len(set(near))
    assert all(0 <= first < second < 40 for first, second in near)
    assert {second - first for first, second in near} == {1, 2, 3, 4, 8, 16, 32}
    assert sequential_pairs(3) == all_pairs(3)
