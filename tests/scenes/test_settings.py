"""Settings of a scene far outside of what is sensible: one line, or what they say."""

import pytest

from orefield.config import SceneConfig
from orefield.errors import ConfigError
from orefield.scenes import open_scene
from orefield.types import SceneError

ABSURD = 10**12


@pytest.fixture(params=["transforms", "llff", "colmap", "dtu"])
def undivided(request):
    """A capture of nine photographs in a format that states no split."""
    return request.getfixturevalue(request.param)


def test_all_images_may_be_trained_on(undivided):
    scene = open_scene(undivided, SceneConfig(holdout=0))
    assert (len(scene.train), len(scene.test)) == (9, 0)
    assert "no test views" in scene.split


def test_of_fewer_images_than_the_holdout_the_first_is_a_test_view(undivided):
    scene = open_scene(undivided, SceneConfig(holdout=ABSURD))
    assert (len(scene.train), len(scene.test)) == (8, 1)


def test_more_images_than_there_are_is_all_of_them(undivided):
    scene = open_scene(undivided, SceneConfig(max_images=ABSURD, max_test_views=ABSURD, holdout=3))
    assert (len(scene.train), len(scene.test)) == (6, 3)
    assert scene.split == "every 3rd image"


@pytest.mark.parametrize("downscale", [11, ABSURD, 10**400])
def test_downscaling_to_nothing_is_refused(undivided, downscale):
    with pytest.raises(SceneError, match=r"12 x 10 pixels cannot be downscaled by 1") as caught:
        open_scene(undivided, SceneConfig(holdout=3, downscale=downscale))
    assert len(str(caught.value)) <= 500


@pytest.mark.parametrize("holdout", [1, -1, -8])
def test_no_holdout_leaves_nothing_to_train_on(holdout):
    with pytest.raises(ConfigError, match=r"scene\.holdout must be at least 2, or 0"):
        SceneConfig(holdout=holdout)
