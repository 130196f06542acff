"""A scene that shows next to nothing is said to: it would score well without learning anything."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from orefield.cameras import Camera
from orefield.scenes import SceneWarning, open_scene
from orefield.scenes.scene import View
from orefield.scenes.shown import check_shown
from orefield.types import SceneError
from reading import PLAIN


def make_transparent(path, alpha=0):
    with Image.open(path) as image:
        image.putalpha(Image.fromarray(np.full((10, 12), alpha, np.uint8)))
        image.save(path)


def test_a_capture_that_is_transparent_everywhere_is_refused(blender):
    for path in (blender / "train").iterdir():
        make_transparent(path)
    with pytest.raises(SceneError, match=r"train: no training view shows anything: .* all 6"):
        open_scene(blender)


def test_masks_that_hide_everything_are_refused(colmap):
    (colmap / "masks").mkdir()
    for i in range(9):
        Image.new("L", (12, 10)).save(colmap / f"masks/{i}.png")
    with pytest.raises(SceneError, match=r"no training view shows .* --scene\.mask-keeps"):
        open_scene(colmap, PLAIN)
    assert open_scene(colmap, replace(PLAIN, mask_keeps="black")).train


def test_test_views_without_anything_are_named_in_one_line(blender):
    for i in (0, 2):
        make_transparent(blender / f"test/r_{i}.png")
    with pytest.warns(SceneWarning) as caught:
        open_scene(blender)
    (warning,) = caught
    assert "2 of 3 test views show next to nothing" in str(warning.message)
    assert str(warning.message).endswith(": ./test/r_0, ./test/r_2")


def view(shown, name="x", ignored=0):
    """1000 pixels of which so many are opaque, and some of these ignored."""
    pixels = torch.full((20, 50, 4), 255, dtype=torch.uint8)
    pixels.view(-1, 4)[shown:, 3] = 0
    valid = torch.ones((20, 50), dtype=torch.bool)
    valid.view(-1)[:ignored] = False
    camera = Camera(50, 20, 50.0, 50.0, 25.0, 10.0)
    return View(name, camera, torch.eye(4)[:3], pixels, valid if ignored else None)


@pytest.mark.parametrize(("shown", "ignored", "few"), [(10, 0, 0), (9, 0, 1), (20, 11, 1)])
def test_the_share_that_counts_is_one_percent(tmp_path, shown, ignored, few):
    full, empty = view(1000), view(shown, "x", ignored)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_shown(tmp_path, [full, empty], [full, empty])
        check_shown(tmp_path, [empty, empty], [full])
    said = [str(warning.message) for warning in caught]
    assert [("1 of 2 test views show" in one) for one in said] == [True, False][: 2 * few]
    assert [("the training views show next" in one) for one in said] == [False, True][: 2 * few]


def test_opaque_photographs_count_whole(tmp_path):
    opaque = replace(view(1000), image=torch.zeros((20, 50, 3), dtype=torch.uint8))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_shown(tmp_path, [opaque], [opaque])


@pytest.mark.parametrize("alpha", [2, 3])
def test_what_is_faint_everywhere_counts_by_its_opacity(tmp_path, alpha):
    pixels = torch.full((20, 50, 4), alpha, dtype=torch.uint8)
    smoke = replace(view(1000), image=pixels)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_shown(tmp_path, [smoke], [view(1000)])
    assert len(caught) == (alpha == 2)
