"""Which values of masks mean white: a whole capture decides."""

import json

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from orefield.config import SceneConfig
from orefield.scenes import SceneWarning, open_scene
from orefield.types import SceneError

ALPHA = SceneConfig(holdout=3)
IGNORE = SceneConfig(holdout=3, masks="ignore")
SHAPE = np.zeros((10, 12), np.uint8)
SHAPE[2:7, 3:9] = 1
SOFT = np.minimum(np.arange(120).reshape(10, 12) * 255 // 119, 255).astype(np.uint8)


@pytest.fixture
def masked(transforms, capture):
    """Opaque photographs; call it with a mask for all of them, or a list with one for each."""

    def write(mask, ending="png"):
        masks = mask if isinstance(mask, list) else [mask] * 9
        values = json.loads((transforms / "transforms.json").read_text())
        for i, frame in enumerate(values["frames"]):
            name = f"mask{i}.{ending}"
            image = masks[i] if isinstance(masks[i], Image.Image) else Image.fromarray(masks[i])
            image.save(transforms / name)
            frame["mask_path"] = name
            Image.fromarray(capture.images[i, :, :, :3].numpy()).save(
                transforms / f"images/{i}.png"
            )
        (transforms / "transforms.json").write_text(json.dumps(values))
        return transforms

    return write


def palette_mask(*colors):
    image = Image.new("P", (12, 10))
    image.putdata(SHAPE.ravel().tolist())
    image.putpalette([value for color in colors for value in color])
    return image


BOOLEANS = {
    "0 and 255": SHAPE * 255,
    "0 and 1": SHAPE,
    "0 and 2": SHAPE * 2,
    "0 and 128": SHAPE * 128,
    "one bit": SHAPE.astype(bool),
    "0 and 65535": SHAPE.astype(np.uint16) * 65535,
    "0 and 1 in 16 bits": SHAPE.astype(np.uint16),
    "0 and 255 in 16 bits": SHAPE.astype(np.uint16) * 255,
    "colors": np.dstack([SHAPE * 255] * 3),
    "colors of 0 and 1": np.dstack([SHAPE] * 3),
    "with alpha": np.dstack([SHAPE * 255, np.full_like(SHAPE, 255)]),
    "white, cut out": np.dstack([np.full_like(SHAPE, 255), SHAPE * 255]),
    "black, cut out": np.dstack([SHAPE * 0] * 3 + [SHAPE * 255]),
    "the photograph, cut out": np.dstack([SOFT, SOFT[::-1], SOFT, SHAPE * 255]),
    "palette of black and white": palette_mask((0, 0, 0), (255, 255, 255)),
    "palette of black and dark red": palette_mask((0, 0, 0), (128, 0, 0)),
}


@pytest.mark.parametrize("kind", BOOLEANS)
def test_whatever_the_other_value_is_a_mask_of_two_is_black_and_white(masked, kind):
    folder = masked(BOOLEANS[kind])
    inside = torch.from_numpy(SHAPE == 1)
    for view in open_scene(folder, ALPHA).train:
        assert torch.equal(view.image[:, :, 3], 255 * inside.byte())
    for view in open_scene(folder, IGNORE).train:
        assert torch.equal(view.valid, inside)
        assert (view.image[:, :, 3] == 255).all()
    black = SceneConfig(holdout=3, mask_keeps="black")
    for view in open_scene(folder, black).train:
        assert torch.equal(view.image[:, :, 3], 255 * (~inside).byte())
    black = SceneConfig(holdout=3, mask_keeps="black", masks="ignore")
    for view in open_scene(folder, black).train:
        assert torch.equal(view.valid, ~inside)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_soft_masks_stay_soft(masked, kind):
    full = np.iinfo(kind).max
    folder = masked((SOFT.astype(np.float64) / 255 * full).astype(kind))
    for view in open_scene(folder, ALPHA).train:
        np.testing.assert_array_equal(view.image[:, :, 3], SOFT)


def test_three_values_are_black_gray_and_white(masked):
    folder = masked(np.where(SOFT > 200, 255, np.where(SOFT > 100, 128, 0)).astype(np.uint8))
    assert open_scene(folder, ALPHA).train[0].image[:, :, 3].unique().tolist() == [0, 128, 255]


@pytest.mark.parametrize("faint", [0, 1, 3])
def test_a_mask_that_is_all_but_black_does_not_become_white(masked, faint):
    """The other masks tell that 255 is white, wherever in the capture they come."""
    masks = [SHAPE * faint] * 4 + [SOFT] + [SHAPE * faint] * 4
    with pytest.warns(SceneWarning, match="test views show next to nothing"):
        scene = open_scene(masked(masks), ALPHA)
    np.testing.assert_array_equal(scene.train[0].image[:, :, 3], SHAPE * faint)
    np.testing.assert_array_equal(scene.train[2].image[:, :, 3], SOFT)


def test_a_capture_of_booleans_may_have_masks_that_are_black_or_white(masked):
    masks = [SHAPE, SHAPE * 0, SHAPE * 0 + 1] * 3
    with pytest.warns(SceneWarning, match="ignores every pixel; 3 of 6"):
        scene = open_scene(masked(masks), IGNORE)
    assert all(view.valid is None for view in scene.train)
    scene = open_scene(masked(masks), ALPHA)
    assert [int(view.image[:, :, 3].max()) for view in scene.train] == [0, 255] * 3
    assert int(scene.test[0].image[:, :, 3].max()) == 255


LABELS = {
    "labels": (SHAPE + (SOFT > 80), "with 3 values up to 2"),
    "labels in 16 bits": ((SHAPE + (SOFT > 80)).astype(np.uint16) * 300, "3 values up to 600"),
    "a soft mask of 8 bits in 16": (SOFT.astype(np.uint16), "values up to 255"),
    "labels that differ": ([SHAPE * (1 + i) for i in range(9)], "with 10 values up to 9"),
}


@pytest.mark.parametrize("config", [ALPHA, IGNORE])
@pytest.mark.parametrize("kind", LABELS)
def test_small_numbers_of_several_kinds_are_refused(masked, kind, config):
    masks, complaint = LABELS[kind]
    with pytest.raises(SceneError) as caught:
        open_scene(masked(masks), config)
    message = str(caught.value)
    assert complaint in message
    assert "mask" in message
    assert ".png: a mask" in message
    assert "expected 0 and 255" in message


def test_lossy_masks_may_miss_white_by_a_little(masked):
    soft = np.clip(SOFT.astype(int), 2, 249).astype(np.uint8)
    view = open_scene(masked(soft), ALPHA).train[0]
    np.testing.assert_array_equal(view.image[:, :, 3], soft)


@pytest.mark.parametrize("opaque", [1, 2, 255])
@pytest.mark.parametrize("downscale", [1, 2])
def test_the_alpha_of_photographs_may_be_boolean(transforms, capture, opaque, downscale):
    for i in range(9):
        pixels = np.dstack([capture.images[i, :, :, :3].numpy(), SHAPE * np.uint8(opaque)])
        Image.fromarray(pixels).save(transforms / f"images/{i}.png")
    found = open_scene(transforms, SceneConfig(holdout=3, downscale=downscale)).train[0].image
    squares = SHAPE.reshape(10 // downscale, downscale, 12 // downscale, downscale)
    np.testing.assert_allclose(found[:, :, 3], 255 * squares.mean((1, 3)), atol=1)
    if downscale == 1:
        inside = torch.from_numpy(SHAPE == 1)
        assert torch.equal(found[inside][:, :3], capture.images[1][inside][:, :3])


def test_a_faint_alpha_beside_an_opaque_one_stays_faint(transforms, capture):
    for i in range(9):
        alpha = SHAPE * np.uint8(255 if i == 8 else 1)
        pixels = np.dstack([capture.images[i, :, :, :3].numpy(), alpha])
        Image.fromarray(pixels).save(transforms / f"images/{i}.png")
    with pytest.warns(SceneWarning, match="3 of 3 test views show next to nothing"):
        scene = open_scene(transforms, ALPHA)
    assert int(scene.train[0].image[:, :, 3].max()) == 1


def test_the_alpha_of_smoke_is_taken_as_it_is(transforms, capture):
    """No photograph needs to be opaque anywhere."""
    for i in range(9):
        pixels = np.dstack([capture.images[i, :, :, :3].numpy(), SOFT // 5])
        Image.fromarray(pixels).save(transforms / f"images/{i}.png")
    view = open_scene(transforms, ALPHA).train[0]
    np.testing.assert_array_equal(view.image[:, :, 3], SOFT // 5)


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("ending", ["png", "tif"])
def test_a_mask_of_the_photograph_turned_by_exif_is_turned_back(
    masked, capture, orientation, ending
):
    """Its size tells whether it belongs to the photograph as stored or to the upright one."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    stored = Image.fromarray(SHAPE * 255)
    photograph = Image.new("RGB", (12, 10))
    upright = {5: 5, 6: 4, 7: 6, 8: 2}.get(orientation)  # numbers of Image.Transpose
    for mask in (stored, stored if upright is None else stored.transpose(upright)):
        folder = masked(mask, ending)
        for i in range(9):
            photograph.save(folder / f"images/{i}.png", exif=exif)
        view = open_scene(folder, ALPHA).train[0]
        np.testing.assert_array_equal(view.image[:, :, 3], SHAPE * 255)


def test_a_mask_on_its_side_without_exif_data_is_of_another_size(masked):
    with pytest.raises(
        SceneError, match=r"mask1\.png: is 10 x 12 pixels, expected 12 x 10 as its image"
    ):
        open_scene(masked(SHAPE.T.copy()), ALPHA)


@pytest.mark.parametrize("orientation", [6, 8])
def test_masks_of_photographs_that_are_read_upright_are_turned_like_them(masked, orientation):
    """The stated size fits the upright photograph alone; masks of either position fit it."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    stored = Image.fromarray(SHAPE * 255)
    upright = stored.transpose({6: 4, 8: 2}[orientation])
    for mask in (stored, upright):
        folder = masked(mask)
        values = json.loads((folder / "transforms.json").read_text())
        values |= {"w": 10, "h": 12, "cx": 5, "cy": 6}
        (folder / "transforms.json").write_text(json.dumps(values))
        for i in range(9):
            Image.new("RGB", (12, 10)).save(folder / f"images/{i}.png", exif=exif)
        view = open_scene(folder, ALPHA).train[0]
        np.testing.assert_array_equal(view.image[:, :, 3], np.asarray(upright))
