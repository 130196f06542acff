"""Laws of training where a scene has surroundings, with either sampler."""

import dataclasses
from pathlib import Path
from typing import get_args

import pytest
import torch

from learning import assert_every_parameter_moves, error_left
from orefield.config import Rule, RunConfig, changed
from orefield.rendering.render import render_view
from orefield.runs.folder import create_run, load_run, load_trainer, save_run
from orefield.runs.header import header_of
from orefield.scenes import Scene, View
from orefield.training.trainer import Trainer

SMALL = (
    "field.max_resolution=64,field.log2_hashmap_size=12,sampler.kind=null,"
    "sampler.steps_per_diagonal=40,sampler.cone_angle=0.1,proposal.num_proposal_samples=16,12,"
    "proposal.num_samples=8,proposal.log2_hashmap_size=8,proposal.max_resolution=64"
)
RULES = get_args(Rule)


@pytest.fixture
def room(tiny_scene: Scene) -> Scene:
    """As if the tiny scene stood in a white room four times as wide as its box."""

    def opaque(view: View) -> View:
        rgba = view.image.float() / 255
        over = rgba[..., :3] * rgba[..., 3:] + 1 - rgba[..., 3:]
        rgba = torch.cat([over, torch.ones_like(over[..., :1])], 2)
        return dataclasses.replace(view, image=(rgba * 255).round().byte())

    train, test = (tuple(map(opaque, views)) for views in (tiny_scene.train, tiny_scene.test))
    return dataclasses.replace(tiny_scene, background_extent=4, train=train, test=test)


def trainer_of(room: Scene, config: RunConfig, changes: str) -> Trainer:
    return Trainer(room, changed(config, f"{SMALL},{changes}"))


@pytest.mark.parametrize("preset", ["ngp", "nerfacto"])
@pytest.mark.parametrize("rule", RULES)
def test_every_rule_trains_with_every_preset(
    preset: str, rule: str, room: Scene, tiny_config: RunConfig
) -> None:
    changes = f"preset={preset},mining.rule={rule}"
    assert_every_parameter_moves(trainer_of(room, tiny_config, changes))


@pytest.mark.parametrize("preset", ["ngp", "nerfacto"])
def test_training_makes_held_out_pictures_better(
    preset: str, room: Scene, tiny_config: RunConfig
) -> None:
    trainer = trainer_of(room, tiny_config, f"preset={preset},steps=100")
    assert error_left(trainer, room.test[0]) < 0.5


@pytest.mark.parametrize("preset", ["ngp", "nerfacto"])
def test_a_run_goes_on_exactly_and_renders_from_its_folder(
    preset: str, room: Scene, tiny_config: RunConfig, tmp_path: Path
) -> None:
    trainer = trainer_of(room, tiny_config, f"preset={preset}")
    for _ in range(5):
        trainer.advance()
    create_run(tmp_path / "run", header_of(room, trainer.config))
    save_run(tmp_path / "run", trainer)
    other = Trainer(room, trainer.config)
    load_trainer(tmp_path / "run", other)
    run = load_run(tmp_path / "run")
    assert run.header.background_extent == 4
    view = room.test[0]
    one, two = (
        render_view(x.field, x.sampler, view.camera, view.pose).color for x in (trainer, run)
    )
    assert torch.equal(one, two)
    assert trainer.advance().losses == other.advance().losses
