"""Laws of training and rendering in the frustum of a forward-facing capture."""

import dataclasses
from pathlib import Path
from typing import get_args

import pytest
import torch

from closed_forms import Ball
from learning import assert_every_parameter_moves, error_left
from orefield.cameras import Camera, view_rays
from orefield.config import Rule, RunConfig, SamplerConfig, changed
from orefield.ops.frustum import Frustum
from orefield.rendering.density_pass import density_pass, drop_occluded
from orefield.rendering.render import render_view
from orefield.runs.folder import create_run, load_run, load_trainer, save_run
from orefield.runs.header import header_of
from orefield.samplers import OccupancySampler
from orefield.scenes import Scene, View
from orefield.training.trainer import Trainer, fit
from strategies import seeded

CAMERA = Camera(32, 24, 30.0, 30.0, 16.0, 12.0)
FRUSTUM = Frustum(torch.eye(3, 4), -torch.tensor([1.0, 0.8]), torch.tensor([1.0, 0.8]), near=0.5)
WALL = 1.4
"""Depth of a wall across the view, in scene units."""
RULES = get_args(Rule)
SMALL = (
    "field.max_resolution=64,field.log2_hashmap_size=12,sampler.kind=null,"
    "sampler.steps_per_diagonal=60,proposal.num_proposal_samples=24,16,proposal.num_samples=12,"
    "proposal.log2_hashmap_size=10,proposal.max_resolution=64"
)


def at(x: float, y: float) -> torch.Tensor:
    return torch.cat((torch.eye(3), torch.tensor([[x], [y], [0.0]])), 1)


def view(name: str, x: float, y: float) -> View:
    """What a camera beside the origin sees of the wall, whose color changes across it."""
    rays = view_rays(CAMERA, at(x, y))
    points = rays.origins + WALL / rays.directions[:, 2:] * rays.directions
    color = torch.stack((torch.sin(4 * points[:, 0]), torch.sin(5 * points[:, 1])), 1) / 2 + 0.5
    pixels = torch.cat((color, color[:, :1] * color[:, 1:], torch.ones(len(color), 1)), 1)
    return View(name, CAMERA, at(x, y), (255 * pixels).round().byte().view(24, 32, 4))


@pytest.fixture
def wall() -> Scene:
    places = [(0.12 * i, 0.12 * j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    train = tuple(view(f"{x} {y}", x, y) for x, y in places)
    return Scene(
        "wall",
        train,
        (view("test", 0.05, 0.05),),
        torch.eye(4, dtype=torch.float64),
        0.45,
        "official",
        frustum=FRUSTUM,
    )


def trainer_of(scene: Scene, config: RunConfig, changes: str) -> Trainer:
    return Trainer(scene, changed(config, f"{SMALL},{changes}"))


class Opaque(Ball):
    """Opaque from the wall on."""

    def density(self, positions: torch.Tensor) -> torch.Tensor:
        return 1e5 * (positions[2] > 1 - FRUSTUM.near / WALL).float()


@pytest.mark.parametrize("steps", [30, 600])
def test_depth_is_the_distance_along_the_ray_in_scene_units(steps: int) -> None:
    settings = SamplerConfig("occupancy", 16, steps_per_diagonal=steps, cone_angle=0.0)
    sampler = OccupancySampler(settings, 0.45, frustum=FRUSTUM)
    pose = at(0.1, -0.05)
    found = render_view(Opaque(), sampler, CAMERA, pose)
    expected = WALL / view_rays(CAMERA, pose).directions[:, 2].view(24, 32)
    # To a step in disparity: the first sample in the wall is at most so far behind it.
    step = 3**0.5 / steps
    assert (found.opacity > 0.999).all()
    for depth in (found.depth, found.median):
        behind = FRUSTUM.near / WALL * (1 - expected / depth)
        assert (behind > -0.51 * step - 1e-4).all()
        assert (behind < step + 1e-4).all()


@pytest.mark.parametrize("preset", ["ngp", "nerfacto"])
@pytest.mark.parametrize("rule", RULES)
def test_every_rule_trains_with_every_preset(
    preset: str, rule: str, wall: Scene, tiny_config: RunConfig
) -> None:
    changes = f"preset={preset},mining.rule={rule}"
    assert_every_parameter_moves(trainer_of(wall, tiny_config, changes))


def test_preset_auto_takes_proposal_networks(wall: Scene, tiny_config: RunConfig) -> None:
    assert trainer_of(wall, tiny_config, "preset=auto").config.preset == "nerfacto"


@pytest.mark.parametrize("preset", ["ngp", "nerfacto"])
def test_early_termination_finds_what_all_samples_hold(
    preset: str, wall: Scene, tiny_config: RunConfig
) -> None:
    """In a kernel of its own or in chunks, the same samples at the same distances."""
    trainer = trainer_of(wall, tiny_config, f"preset={preset},mining.early_termination=on")
    for _ in range(3):
        trainer.advance()
    rays, step = view_rays(CAMERA, at(0.0, 0.1)), trainer.training_step
    found = step.find_visible(rays, seeded(1))
    every = density_pass(step.field, step.sampler, rays, seeded(1))
    expected = drop_occluded(every, trainer.config.mining.min_weight)
    assert 0 < len(found.samples) <= len(every.samples)
    # Weights within rounding of the limit may fall on either side.
    assert abs(len(found.samples) - len(expected.samples)) <= 0.01 * len(expected.samples)
    lines = step.sampler.cube_rays(rays).lines
    ray = found.samples.ray.long()
    points = lines.origins[ray] + found.samples.t[:, None] * lines.directions[ray]
    torch.testing.assert_close(points.T, found.samples.positions, atol=1e-5, rtol=0)


@pytest.mark.parametrize("preset", ["ngp", "nerfacto"])
def test_training_makes_held_out_pictures_better(
    preset: str, wall: Scene, tiny_config: RunConfig
) -> None:
    trainer = trainer_of(wall, tiny_config, f"preset={preset},steps=120")
    assert error_left(trainer, wall.test[0]) < 0.2


@pytest.mark.parametrize("preset", ["ngp", "nerfacto"])
def test_a_run_goes_on_exactly_and_renders_from_its_folder(
    preset: str, wall: Scene, tiny_config: RunConfig, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    trainer = trainer_of(wall, tiny_config, f"preset={preset},calibration.poses=true")
    create_run(folder, header_of(wall, trainer.config))
    for _ in range(4):
        trainer.advance()
    save_run(folder, trainer)
    run = load_run(folder)
    held_out = wall.test[0]
    pictures = [
        render_view(part.field, part.sampler, CAMERA, held_out.pose).color
        for part in (trainer, run)
    ]
    assert torch.equal(*pictures)
    again = Trainer(wall, trainer.config)
    load_trainer(folder, again)
    for _ in range(3):
        assert trainer.advance()[2:] == again.advance()[2:]


def test_fixed_shapes_train_in_a_frustum(wall: Scene, tiny_config: RunConfig) -> None:
    trainer = trainer_of(wall, tiny_config, "preset=ngp,fixed_shapes.use=always,steps=60")
    losses = [stats.loss for stats in fit(trainer)]
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])


@pytest.mark.parametrize("preset", ["ngp", "nerfacto"])
def test_measured_depths_make_depth_better(
    preset: str, wall: Scene, tiny_config: RunConfig
) -> None:
    """Of a wall of one color, where pictures alone say nothing about its distance."""

    def plain(view: View) -> View:
        depth = WALL / view_rays(CAMERA, view.pose).directions[:, 2].view(24, 32)
        return dataclasses.replace(view, image=torch.full_like(view.image, 255), depth=depth)

    train = tuple(map(plain, wall.train))
    scene = dataclasses.replace(wall, train=train)

    def error(weight: float) -> float:
        changes = f"preset={preset},calibration.depth={weight},steps=80,optim.background=black"
        trainer = trainer_of(scene, tiny_config, changes)
        for _ in fit(trainer):
            pass
        found = render_view(trainer.field, trainer.sampler, CAMERA, train[0].pose)
        return float((1 / found.median.clamp(min=0.1) - 1 / train[0].depth).abs().mean())

    assert error(1.0) < 0.3 * error(0.0)


def test_rays_that_look_back_show_the_background(wall: Scene, tiny_config: RunConfig) -> None:
    trainer = trainer_of(wall, tiny_config, "preset=nerfacto")
    back = at(0.0, 0.0) * torch.tensor([[-1.0], [1.0], [-1.0]])
    found = render_view(trainer.field, trainer.sampler, CAMERA, back, background=0.0)
    assert not found.color.any()
    assert not found.depth.any()
