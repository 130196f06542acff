"""Laws of training where a scene has surroundings, with either sampler."""

import dataclasses
from pathlib import Path

import pytest
import torch

from orefield.runs.folder import create_run, header_of, load_run, save_run
from orefield.config import RunConfig, changed
from orefield.config.presets import settle
from orefield.rendering.render import render_view
from orefield.scenes.scene import Scene, View
from orefield.training.trainer import Trainer

SMALL = "field.max_resolution=64,field.log2_hashmap_size=12,sampler.steps_per_diagonal=40,sampler.cone_angle=0.1,proposal.first=16,"
SMALL += (
    "proposal.second=12,proposal.last=8,proposal.log2_hashmap_size=8,proposal.max_resolution=64"
)
RULES = ["plain", "pruned", "hsm", "threshold", "importance", "topk", "poisson", "uniform"]


@pytest.fixture
def place(tiny_scene: Scene) -> Scene:
    """As if the tiny scene stood in a white room four times as wide as its box."""

    def opaque(view: View) -> View:
        rgba = view.image.float() / 255
        over = rgba[..., :3] * rgba[..., 3:] + 1 - rgba[..., 3:]
        rgba = torch.cat([over, torch.ones_like(over[..., :1])], 2)
        return dataclasses.replace(view, image=(rgba * 255).round().byte())

    train, test = (tuple(map(opaque, views)) for views in (tiny_scene.train, tiny_scene.test))
    return dataclasses.replace(tiny_scene, background_extent=4, train=train, test=test)


def trainer_of(place: Scene, config: RunConfig, changes: str) -> Trainer:
    return Trainer(place, settle(changed(config, f"{SMALL},{changes}"), place)[0])


@pytest.mark.parametrize("preset", ["ngp", "nerfacto"])
@pytest.mark.parametrize("rule", RULES)
def test_every_rule_trains_with_every_preset(
    preset: str, rule: str, place: Scene, tiny_config: RunConfig
) -> None:
    trainer = trainer_of(place, tiny_config, f"preset={preset},mining.rule={rule}")
    before = [p.detach().clone() for p in trainer.field.parameters()]
    for _ in range(3):
        done = trainer.advance()
        assert done.loss < 1
        assert 0 < done.kept <= done.marched
    assert trainer.skipped == 0
    after = trainer.field.parameters()
    assert not any(torch.equal(*pair) for pair in zip(before, after, strict=True))


@pytest.mark.parametrize("preset", ["ngp", "nerfacto"])
def test_training_makes_held_out_pictures_better(
    preset: str, place: Scene, tiny_config: RunConfig
) -> None:
    trainer = trainer_of(place, tiny_config, f"preset={preset},steps=150")
    view = place.test[0]
    truth = view.image[..., :3].float() / 255

    def error() -> float:
        found = render_view(trainer.field, trainer.sampler, view.camera, view.pose)
        return float((found.color - truth).square().mean())

    untrained = error()
    while trainer.progress() < 1:
        trainer.advance()
    assert error() < 0.3 * untrained


@pytest.mark.parametrize("preset", ["ngp", "nerfacto"])
def test_a_run_goes_on_exactly_and_renders_from_its_folder(
    preset: str, place: Scene, tiny_config: RunConfig, tmp_path: Path
) -> None:
    trainer = trainer_of(place, tiny_config, f"preset={preset}")
    for _ in range(5):
        trainer.advance()
    create_run(tmp_path / "run", header_of(place, "tiny", trainer.config))
    save_run(tmp_path / "run", trainer)
    tensors, facts = trainer.state()
    tensors = {name: value.clone() for name, value in tensors.items()}
    other = Trainer(place, trainer.config)
    other.restore(tensors, facts)
    run = load_run(tmp_path / "run")
    assert run.header.background_extent == 4
    view = place.test[0]
    one, two = (
        render_view(x.field, x.sampler, view.camera, view.pose).color for x in (trainer, run)
    )
    assert torch.equal(one, two)
    assert trainer.advance().loss == other.advance().loss
