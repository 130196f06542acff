"""Pixels that masks ignore count nowhere: neither in training batches nor in the scores."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from orefield.cameras import Camera
from orefield.config import RunConfig, SceneConfig
from orefield.evaluation.metrics import psnr, ssim
from orefield.evaluation.probe import PixelProbe
from orefield.evaluation.protocol import protocol
from orefield.evaluation.views import photograph_over, score_view
from orefield.scenes import View, open_scene
from orefield.types import SceneError
from reading import PLAIN

IGNORE = SceneConfig(holdout=3, masks="ignore")


@pytest.fixture
def view():
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (24, 30, 4), generator=generator, dtype=torch.uint8)
    image[:, :, 3] = 255
    return View("x", Camera(30, 24, 30.0, 30.0, 15.0, 12.0), torch.eye(4)[:3], image)


def on_white(view):
    """The photograph over a white background."""
    return photograph_over(view.image.float() / 255, 1.0)


def scores(view, render):
    score = score_view(view, render, on_white(view))
    return score.psnr, score.ssim


def test_a_mask_that_ignores_nothing_changes_no_score(view):
    render = torch.rand((24, 30, 3), generator=torch.Generator().manual_seed(1))
    truth = on_white(view)
    valid = torch.ones((24, 30), dtype=torch.bool)
    expected = pytest.approx((psnr(render, truth), ssim(render, truth)))
    assert scores(view, render) == expected
    assert scores(replace(view, valid=valid), render) == expected


def test_what_is_rendered_where_pixels_are_ignored_does_not_matter(view):
    valid = torch.ones((24, 30), dtype=torch.bool)
    valid[:, 12:] = False
    masked = replace(view, valid=valid)
    truth = on_white(view)
    noise = torch.rand((24, 30, 3), generator=torch.Generator().manual_seed(1))
    one = torch.where(valid[..., None], 0.9 * truth, noise)
    other = torch.where(valid[..., None], 0.9 * truth, 1 - noise)
    assert scores(masked, one) == scores(masked, other)
    assert scores(masked, one)[0] == pytest.approx(psnr(0.9 * truth[:, :12], truth[:, :12]))
    # Windows of ignored pixels alone would be perfect; they are not in the mean.
    mended = torch.where(valid[..., None], one, truth)
    assert scores(masked, one)[1] == pytest.approx(ssim(mended[:, :22], truth[:, :22]))
    assert scores(masked, truth) == pytest.approx((100, 1))


@pytest.fixture
def masked(colmap):
    """All photographs with a mask that ignores their left half."""
    (colmap / "masks").mkdir()
    mask = np.full((10, 12), 255, np.uint8)
    mask[:, :6] = 0
    for i in range(9):
        Image.fromarray(mask).save(colmap / f"masks/{i}.png")
    return colmap


def test_the_probe_and_the_protocol_leave_them_out(masked):
    scene = open_scene(masked, IGNORE)
    assert all(view.valid is not None for view in scene.train + scene.test)
    whole = open_scene(masked, replace(PLAIN, masks="alpha"))
    assert "ignored_by_masks" not in protocol(whole, RunConfig())
    assert protocol(scene, RunConfig())["ignored_by_masks"] == 0.5
    probe = PixelProbe(scene, 1.0, 500)
    right = torch.cat([on_white(view)[:, 6:].reshape(-1, 3) for view in scene.test])
    assert (torch.cdist(probe.truth, right).amin(1) < 1e-3).all()


def test_ignored_pixels_do_not_make_an_object(masked):
    """Masks as alpha cut the subject out; masks that ignore people leave the scene unbounded."""
    for path in (masked / "images").iterdir():
        with Image.open(path) as image:
            image.convert("RGB").save(path)
    (masked / "sparse/0/points3D.bin").unlink()
    sides = [float(open_scene(masked, c).to_world[0, 0]) for c in (IGNORE, PLAIN)]
    assert sides[0] == pytest.approx(8)  # as far as the cameras
    assert sides[1] < 5


def test_masks_that_ignore_everything_are_refused(masked):
    for i in range(9):
        Image.new("L", (12, 10)).save(masked / f"masks/{i}.png")
    with (
        pytest.warns(UserWarning, match=r"masks/1\.png: the mask ignores every pixel; 6 of 6"),
        pytest.raises(SceneError, match="masks ignore every pixel of all 6"),
    ):
        open_scene(masked, IGNORE)
