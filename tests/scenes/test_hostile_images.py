"""Image files from strangers: nothing is started, nothing large is decoded, one line is said."""

import io
import json
import struct
import subprocess
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile

from orefield.config import SceneConfig
from orefield.scenes import memory, open_scene
from orefield.scenes.image_files import FORMATS, image_size
from orefield.scenes.images import read_image
from orefield.types import SceneError
from reading import PLAIN

COLORS = np.random.default_rng(0).integers(0, 256, (10, 12, 4), dtype=np.uint8)
RGBA = Image.fromarray(COLORS)
RGB = RGBA.convert("RGB")


def refusal(source, config=PLAIN):
    with pytest.raises(SceneError) as caught:
        open_scene(source, config)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) <= 500
    return message


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(name, data):
    body = name + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def png(width, height, *before, bits=8, kind=0):
    """A PNG of black pixels that states this size, with all rows, in few bytes."""
    row = b"\0" + bytes(-(-width * bits // 8))
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(row * 64) for _ in range(-(-height // 64)))
    head = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    chunks = chunk(b"IHDR", head), *before, chunk(b"IDAT", rows + packer.flush())
    return b"".join([b"\x89PNG\r\n\x1a\n", *chunks, chunk(b"IEND", b"")])


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 12 10\n%%EndComments\nshowpage\n"
OTHERS = {
    "postscript": POSTSCRIPT,
    **{kind: encoded(RGB, kind) for kind in ("DDS", "GIF", "PPM", "ICO", "TGA", "PCX", "SGI")},
    "fits": b"SIMPLE  =                    T".ljust(2880),
    "xpm": b'/* XPM */\nstatic char *x[] = {"1 1 1 1", "a c #000000", "a"};',
    "zip": b"PK\x03\x04" + bytes(60),
    "empty": b"",
}


@pytest.mark.parametrize("kind", OTHERS)
def test_only_formats_of_photographs_are_looked_for(blender, kind, monkeypatch):
    """Pillow would start Ghostscript for a PostScript file, whatever its name."""
    monkeypatch.setattr(subprocess, "Popen", None)
    monkeypatch.setattr(subprocess, "check_call", None)
    (blender / "train/r_3.png").write_bytes(OTHERS[kind])
    message = refusal(blender)
    assert "r_3.png: cannot be read as an image (expected a whole PNG, JPEG, WebP" in message


def test_pictures_of_phones_are_photographs(tmp_path):
    """Their JPEG files may hold a second picture."""
    path = tmp_path / "x.jpg"
    first, second = (Image.new("RGB", (12, 10), color) for color in ("orange", "blue"))
    path.write_bytes(encoded(first, "MPO", save_all=True, append_images=[second]))
    assert image_size(path) == (12, 10)
    np.testing.assert_allclose(read_image(path)[:, :, :3], np.asarray(first), atol=3)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_of_several_pictures_the_first_is_read(tmp_path, kind):
    path = tmp_path / "x"
    options = {"lossless": True} if kind == "WEBP" else {}
    second = Image.new("RGB", (12, 10), "red")
    path.write_bytes(encoded(RGB, kind, save_all=True, append_images=[second], **options))
    np.testing.assert_array_equal(read_image(path)[:, :, :3], np.asarray(RGB))


@pytest.fixture
def nothing_large_is_decoded(monkeypatch):
    decode = ImageFile.ImageFile.load

    def load(image):
        assert image.size == (12, 10), "decoded"
        return decode(image)

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)


def name_files(folder, field, name):
    values = json.loads((folder / "transforms.json").read_text())
    for frame in values["frames"]:
        frame[field] = name
    (folder / "transforms.json").write_text(json.dumps(values))


@pytest.mark.usefixtures("nothing_large_is_decoded")
@pytest.mark.parametrize("size", [(12_000, 10_000), (13_000, 6_000), (13, 10)])
def test_the_size_of_a_mask_is_compared_before_it_is_decoded(transforms, size):
    (transforms / "mask.png").write_bytes(png(*size, bits=1))
    name_files(transforms, "mask_path", "mask.png")
    message = refusal(transforms)
    assert f"mask.png: is {size[0]} x {size[1]} pixels, expected 12 x 10 as its image" in message
    assert "mask.png: is" in refusal(transforms, SceneConfig(masks="ignore"))


@pytest.mark.usefixtures("nothing_large_is_decoded")
@pytest.mark.parametrize(
    ("size", "complaint"),
    [
        ((12_000, 10_000), "expected at most 4 times 12 x 10, the size of its photograph"),
        ((10, 12), "expected the proportions of 12 x 10 as in its photograph"),
        ((13_000, 13), "expected the proportions of 12 x 10"),
    ],
)
def test_the_size_of_a_depth_map_is_compared_before_it_is_decoded(transforms, size, complaint):
    (transforms / "depth.png").write_bytes(png(*size, bits=16))
    name_files(transforms, "depth_file_path", "depth.png")
    assert f"depth.png: is {size[0]} x {size[1]} pixels, {complaint}" in refusal(transforms)
    # A file of this size without the disk space: NumPy maps it, and nothing of it is read.
    np.lib.format.open_memmap(transforms / "depth.npy", "w+", np.float32, size[::-1])
    name_files(transforms, "depth_file_path", "depth.npy")
    assert f"depth.npy: is {size[0]} x {size[1]} pixels, {complaint}" in refusal(transforms)


def test_depth_maps_may_be_smaller_or_larger_in_the_same_proportions(transforms):
    name_files(transforms, "depth_file_path", "depth.npy")
    for size in ((5, 6), (20, 24), (40, 48), (10, 12)):
        np.save(transforms / "depth.npy", np.full(size, np.nan))
        assert float(open_scene(transforms, PLAIN).train[0].depth.abs().max()) == 0


def replace_photographs(folder, data):
    for split in ("train", "test"):
        for path in (folder / split).iterdir():
            path.write_bytes(data)


@pytest.mark.usefixtures("nothing_large_is_decoded")
def test_large_photographs_are_refused_by_the_memory_they_take(blender, monkeypatch):
    """170 million pixels in 21 kB: less than what Pillow refuses, and it only warns of more than
    90 million."""
    monkeypatch.setattr(memory, "available_bytes", lambda: 2 * 2**30)
    replace_photographs(blender, png(13_000, 13_000, bits=1))
    message = refusal(blender)
    assert "decoding one of them 3.8 GiB, and 2.0 GiB are free" in message
    message = refusal(blender, SceneConfig(downscale=1000))
    assert "decoding one of them 3.8 GiB" in message
    replace_photographs(blender, png(20_000, 10_000, bits=1))
    assert "cannot be read as an image (Image size (200000000 pixels) exceeds" in refusal(blender)


BOMB = zlib.compress(bytes(2**26), 9)
CHUNKS = {
    "text": chunk(b"zTXt", b"x\0\0" + BOMB),
    "international text": chunk(b"iTXt", b"x\0\1\0\0\0" + BOMB),
    "color profile": chunk(b"iCCP", b"x\0\0" + BOMB),
    "no color profile": chunk(b"iCCP", b"x\0\0junk"),
    "transparency": chunk(b"tRNS", b"\0"),
    "gamma": chunk(b"gAMA", b""),
    "animation": chunk(b"acTL", struct.pack(">II", 2**31, 1)),
    "frame": chunk(b"acTL", struct.pack(">II", 2, 1)) + chunk(b"fcTL", bytes(26)),
    "second head": chunk(b"IHDR", struct.pack(">IIBBBBB", 2**20, 2**20, 8, 0, 0, 0, 0)),
    "EXIF": chunk(b"eXIf", b"MM\0*\0\0\0\x08\xff\xff" + bytes(30)),
    "too long": struct.pack(">I", 2**31 - 1) + b"tEXt",
}


@pytest.mark.parametrize("kind", CHUNKS)
def test_odd_chunks_of_a_png_are_skipped_or_refused(blender, kind):
    """Warnings are errors here: Pillow's, of some of these chunks, must not come through."""
    replace_photographs(blender, png(12, 10, CHUNKS[kind]))
    try:
        read = len(open_scene(blender).train)
    except SceneError as error:
        read = "train/r_0.png: cannot be read as an image" in str(error)
    assert read


def photographs():
    """Photographs in many modes and formats."""
    gray = RGB.convert("L")
    fine = Image.fromarray(COLORS[:, :, 0].astype(np.uint16) * 257)
    yield "CMYK.jpg", encoded(RGB.convert("CMYK"), "JPEG")
    yield "CMYK.tif", encoded(RGB.convert("CMYK"), "TIFF")
    yield "YCbCr.tif", encoded(RGB.convert("YCbCr"), "TIFF")
    yield "gray and alpha.png", encoded(RGBA.convert("LA"), "PNG")
    yield "palette.png", encoded(RGB.quantize(16), "PNG")
    yield "clear palette.png", encoded(RGB.quantize(16), "PNG", transparency=bytes(range(16)))
    yield "clear color.png", encoded(RGB, "PNG", transparency=(1, 2, 3))
    yield "clear gray.png", encoded(gray, "PNG", transparency=3)
    yield "16 bits.png", encoded(fine, "PNG")
    yield "16 bits.tif", encoded(fine, "TIFF")
    yield "one bit.tif", encoded(RGB.convert("1"), "TIFF", compression="group4")
    yield "alpha.tif", encoded(RGBA, "TIFF", compression="tiff_lzw")
    yield "alpha.webp", encoded(RGBA, "WEBP", lossless=True)
    yield "palette.bmp", encoded(RGB.quantize(16), "BMP")
    yield "progressive.jpg", encoded(RGB, "JPEG", progressive=True)
    for kind in FORMATS:
        yield f"plain.{kind}", encoded(RGB, kind)


PHOTOGRAPHS = dict(photographs())


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_photographs_of_every_kind_are_read_and_damaged_ones_refused(tmp_path, name):
    path, data = tmp_path / name, PHOTOGRAPHS[name]
    path.write_bytes(data)
    assert read_image(path).shape == (10, 12, 4)
    generator = np.random.default_rng(0)
    refused = []
    for i in range(60):
        damaged = bytearray(data)
        if i % 4 == 0:
            del damaged[int(generator.integers(len(damaged))) :]
        for _ in range(1 + i % 8):
            at = int(generator.integers(len(data)))
            damaged[at : at + 1] = generator.choice([0, 1, 127, 255], 1).astype(np.uint8).tobytes()
        path.write_bytes(damaged)
        try:
            width, height = image_size(path)
            if width * height < 10**6:
                read_image(path, upright=bool(i % 2))
        except SceneError as error:
            refused.append(str(error))
    assert len(refused) > 5
    assert all(f"{name}: " in message and len(message) <= 500 for message in refused)
