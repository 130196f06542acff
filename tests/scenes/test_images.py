import numpy as np
import pytest
import torch
from PIL import ExifTags, Image, ImageOps

from orefield.scenes.image_files import image_size
from orefield.scenes.images import read_image
from orefield.types import SceneError

COLORS = np.random.default_rng(0).integers(0, 256, (6, 8, 4), dtype=np.uint8)


def saved(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


def test_every_kind_of_png_becomes_rgba(tmp_path):
    gray = COLORS[:, :, 0]
    opaque = np.full_like(gray, 255)
    as_rgba = np.stack((gray, gray, gray, opaque), axis=2)
    fine = gray.astype(np.uint16) * 256 + 77  # 16 bits; the upper 8 are the picture
    palette = Image.fromarray(COLORS[:, :, :3]).quantize(16)
    palette.save(tmp_path / "palette.png")
    palette.save(tmp_path / "clear.png", transparency=3)
    cases = {
        "rgb": (COLORS[:, :, :3], np.dstack((COLORS[:, :, :3], opaque))),
        "rgba": (COLORS, COLORS),
        "gray": (gray, as_rgba),
        "gray alpha": (COLORS[:, :, :2], COLORS[:, :, [0, 0, 0, 1]]),
        "16 bits": (fine, as_rgba),
        "1 bit": (gray > 128, np.where((gray > 128)[:, :, None], 255, 0) | [0, 0, 0, 255]),
    }
    for name, (array, expected) in cases.items():
        read = read_image(saved(tmp_path / f"{name}.png", array))
        np.testing.assert_array_equal(read.numpy(), expected, err_msg=name)
    expected = np.dstack((np.asarray(palette.convert("RGB")), opaque))
    np.testing.assert_array_equal(read_image(tmp_path / "palette.png").numpy(), expected)
    clear = np.asarray(palette) == 3
    assert clear.any()
    alpha = read_image(tmp_path / "clear.png")[:, :, 3].numpy()
    np.testing.assert_array_equal(alpha, np.where(clear, 0, 255))


def test_pixels_of_32_bits_are_refused(tmp_path):
    for kind in (np.float32, np.int32):
        path = saved(tmp_path / "x.tiff", np.ones((2, 2), kind))
        with pytest.raises(SceneError, match=r"x\.tiff: pixels of 32 bits .* expected 8 or 16"):
            read_image(path)


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_read_as_stored_or_upright(tmp_path, ending, orientation):
    stored = np.zeros((8, 16, 3), np.uint8)
    stored[:4, :8] = (200, 100, 50)  # one corner, which each orientation puts elsewhere
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    options = {"jpg": {"quality": 100, "subsampling": 0}, "webp": {"lossless": True}}
    path = saved(tmp_path / f"x.{ending}", stored, exif=exif, **options.get(ending, {}))
    assert image_size(path) == (16, 8)
    np.testing.assert_allclose(read_image(path)[:, :, :3], stored, atol=2)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    assert image_size(path, upright=True) == expected.shape[1::-1]
    np.testing.assert_array_equal(read_image(path, upright=True)[:, :, :3], expected)


GARBAGE = [
    b"Exif\0\0",
    b"Exif\0\0MM\0*\xff\xff\xff\xff",
    b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(range(256)),
    b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x05\0\0\0\x01\0\0\0\x08\0\0\0\0",
    b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02\0\0\0\x02six\0\0\0\0\0",
    b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x09\0\0\0\0\0\0",
    b"\0" * 40,
]


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_damaged_exif_data_do_not_matter(tmp_path, ending, garbage):
    path = saved(tmp_path / f"x.{ending}", COLORS[:, :, :3], exif=garbage)
    assert image_size(path, upright=True) == (8, 6)
    assert read_image(path, upright=True).shape == (6, 8, 4)


@pytest.mark.parametrize("downscale", [2, 3, 4])
def test_downscaling_averages_what_one_would_see(tmp_path, downscale):
    """Over any background, a small pixel is the mean of the large pixels it replaces."""
    path = saved(tmp_path / "x.png", COLORS)

    def over(image, background):
        rgba = image.double() / 255
        return rgba[:, :, :3] * rgba[:, :, 3:] + background * (1 - rgba[:, :, 3:])

    large, small = read_image(path), read_image(path, downscale=downscale)
    height, width = 6 // downscale, 8 // downscale
    assert small.shape == (height, width, 4)
    for background in (0.0, 1.0):
        seen = over(large, background)[: height * downscale, : width * downscale]
        blocks = seen.reshape(height, downscale, width, downscale, 3)
        # Bytes are rounded three times: premultiplied, averaged, divided by alpha.
        torch.testing.assert_close(
            over(small, background), blocks.mean((1, 3)), atol=2.5 / 255, rtol=0
        )


def test_masks_multiply_alpha_and_are_averaged_with_it(tmp_path):
    path = saved(tmp_path / "x.png", COLORS[:, :, :3])
    mask = np.zeros((6, 8), np.uint8)
    mask[:, 1:] = 255
    masked = read_image(path, mask, downscale=2)
    assert masked[:, 0, 3].tolist() == [128, 128, 128]
    assert (masked[:, 1:, 3] == 255).all()
    visible = COLORS[:, 1, :3].reshape(3, 2, 3).mean(1)  # the hidden column lends no color
    np.testing.assert_allclose(masked[:, 0, :3].numpy(), visible, atol=2)
