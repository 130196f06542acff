"""A mean over no pixel is no score: it is refused before anything is trained."""

from dataclasses import replace

import pytest
import torch

from orefield.errors import OrefieldError, SceneError
from orefield.evaluation.views import refuse_small_views, score_view
from orefield.scenes import Scene, View


def ignoring(view: View, left: bool, right: bool) -> View:
    """The view with its left, its right or both halves ignored."""
    half = view.camera.width // 2
    valid = torch.ones((view.camera.height, view.camera.width), dtype=torch.bool)
    valid[:, :half], valid[:, half:] = not left, not right
    return replace(view, valid=valid)


def test_a_view_without_a_valid_pixel_has_no_score(tiny_scene: Scene) -> None:
    view = tiny_scene.test[0]
    picture = torch.zeros((view.camera.height, view.camera.width, 3))
    with pytest.raises(OrefieldError, match="has no valid pixel"):
        score_view(ignoring(view, True, True), picture, picture)
    assert score_view(ignoring(view, True, False), picture, picture).psnr == 100


def test_with_exposure_the_right_half_needs_a_valid_pixel(tiny_scene: Scene) -> None:
    left, right = (
        replace(tiny_scene, test=(tiny_scene.test[0], ignoring(tiny_scene.test[0], *halves)))
        for halves in ((True, False), (False, True))
    )
    refuse_small_views(left, exposure=True)
    refuse_small_views(right)
    with pytest.raises(SceneError, match="masks ignore the right half of test view"):
        refuse_small_views(right, exposure=True)
