"""Laws of presets."""

import dataclasses

import pytest
import torch

from orefield.cameras import Camera
from orefield.config import ConfigError, RunConfig, changed, from_dict, to_dict
from orefield.config.presets import OPAQUE, PRESETS, SURROUNDINGS, UNBOUNDED, settle
from orefield.scenes.scene import Scene, View

BOXED = Scene("boxed", (), (), torch.eye(4), 0.1, "official")
PLACE = dataclasses.replace(BOXED, name="place", background_extent=16)


def test_auto_takes_the_grid_for_a_scene_in_its_box():
    config, why = settle(RunConfig(), BOXED)
    assert (config.preset, config.sampler.kind) == ("ngp", "occupancy")
    assert why == "preset ngp (occupancy grid): the scene fits its box"
    assert dataclasses.replace(config, preset="auto") == RunConfig()


def test_auto_says_what_it_takes_for_a_place():
    config, why = settle(RunConfig(), PLACE)
    assert config.preset == UNBOUNDED
    assert why.endswith("the scene has surroundings")
    assert config.field.max_resolution == SURROUNDINGS["field.max_resolution"]


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("scene", [BOXED, PLACE])
def test_a_preset_asked_for_is_taken(name, scene):
    config, why = settle(changed(RunConfig(), f"preset={name}"), scene)
    assert config.sampler.kind == ("proposal" if name == "nerfacto" else "occupancy")
    assert why.endswith("asked for")


def test_scenes_of_opaque_photographs_start_in_thicker_fog():
    images = torch.full((2, 8, 8, 4), 255, dtype=torch.uint8)
    camera = Camera(8, 8, 8.0, 8.0, 4.0, 4.0)
    views = [View(str(i), camera, torch.eye(4)[:3], image) for i, image in enumerate(images)]
    opaque = dataclasses.replace(BOXED, train=tuple(views))
    assert settle(RunConfig(), opaque)[0].field.init_density == OPAQUE["field.init_density"]
    assert (
        settle(changed(RunConfig(), "field.init_density=0.5"), opaque)[0].field.init_density == 0.5
    )
    place = dataclasses.replace(opaque, background_extent=16)
    images[1, 0, 0, 3] = 254
    for other in (dataclasses.replace(opaque), place, BOXED):
        assert settle(RunConfig(), other)[0].field.init_density == RunConfig().field.init_density


def test_what_was_set_stays():
    config, _ = settle(
        changed(RunConfig(), "field.max_resolution=300,sampler.steps_per_diagonal=55"), PLACE
    )
    assert (config.field.max_resolution, config.sampler.steps_per_diagonal) == (300, 55)
    config, why = settle(changed(RunConfig(), "sampler.kind=proposal"), BOXED)
    assert config.preset == "nerfacto"
    assert "sampler.kind" in why


@pytest.mark.parametrize("scene", [BOXED, PLACE])
def test_settling_twice_is_settling_once_and_survives_json(scene):
    config, _ = settle(RunConfig(), scene)
    assert settle(config, scene)[0] == config
    assert from_dict(to_dict(config)) == config


def test_unknown_presets_are_refused():
    with pytest.raises(ConfigError, match="preset must be one of auto, ngp, nerfacto"):
        changed(RunConfig(), "preset=instant")
