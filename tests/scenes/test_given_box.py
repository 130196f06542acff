"""The settings `scene.box` and `scene.near`: from text to the scene and its description."""

import json

import pytest

from orefield.config import RunConfig, SceneConfig, changed, from_dict, to_dict
from orefield.errors import ConfigError
from orefield.scenes import describe, open_scene


def test_a_given_box_and_near_distance_are_in_the_units_of_the_files(blender):
    scene = open_scene(blender, SceneConfig(box=(-1.0, 0.5, 2.0, 3.0), near=0.25))
    side = float(scene.to_world[0, 0])
    assert side == pytest.approx(3.0)
    assert (scene.to_world[:3, 3] + side / 2).tolist() == pytest.approx([-1.0, 0.5, 2.0])
    assert scene.near == pytest.approx(0.25 / 3)
    _, said = describe(scene).splitlines()
    assert "center (-1, 0.5, 2), half size 1.5, nothing nearer than 0.25 to a camera" in said


def test_a_given_box_is_enlarged_as_a_found_one(blender):
    given = SceneConfig(box=(-1.0, 0.5, 2.0, 3.0), box_scale=2.0, near=0.25)
    scene = open_scene(blender, given)
    assert float(scene.to_world[0, 0]) == pytest.approx(6.0)
    assert scene.near == pytest.approx(0.25 / 6)


def test_both_survive_the_way_through_config_json():
    config = changed(RunConfig(), "scene.box=500000.5,5600000,-100,1e3,scene.near=0.2")
    assert config.scene.box == (500_000.5, 5_600_000.0, -100.0, 1000.0)
    assert config.scene.near == 0.2
    assert from_dict(json.loads(json.dumps(to_dict(config)))) == config


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("scene.box=1,2,3", "scene.box"),
        ("scene.box=1,2,3,0", "scene.box"),
        ("scene.box=1,2,NaN,4", "scene.box"),
        ("scene.box=1,2,3,Infinity", "scene.box"),
        ("scene.near=-0.1", "scene.near"),
        ("scene.near=NaN", "scene.near"),
        ("scene.near=Infinity", "scene.near"),
        ("scene.box_scale=Infinity", "scene.box_scale"),
        ("scene.box_scale=NaN", "scene.box_scale"),
    ],
)
def test_what_is_no_box_or_distance_is_refused_by_name(text, field):
    with pytest.raises(ConfigError, match=f"^{field} must be"):
        changed(RunConfig(), text)
