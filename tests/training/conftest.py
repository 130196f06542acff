"""Trainers on the tiny scene, for every law of training."""

import dataclasses
from collections.abc import Callable

import pytest
import torch

from orefield.config import RunConfig, changed
from orefield.scenes import Scene
from orefield.training.trainer import Trainer

Make = Callable[..., Trainer]


@pytest.fixture
def make(tiny_scene: Scene, tiny_config: RunConfig) -> Make:
    """Trainers on the tiny scene; settings given as text differ from the tiny configuration."""

    def trainer(changes: str = "", scene: Scene = tiny_scene) -> Trainer:
        config = dataclasses.replace(tiny_config, steps=200)
        return Trainer(scene, changed(config, f"mining.rule=threshold,{changes}"))

    return trainer


@pytest.fixture
def measured_scene(tiny_scene: Scene) -> Scene:
    """The tiny scene with a depth map for each view; every third distance is unknown."""

    def measured(view):
        depth = torch.full(view.image.shape[:2], 1.3)
        depth.view(-1)[::3] = 0
        return dataclasses.replace(view, depth=depth)

    return dataclasses.replace(tiny_scene, train=tuple(map(measured, tiny_scene.train)))


@pytest.fixture
def with_walls() -> Callable[[Trainer], Trainer]:
    """Puts dense walls into a trainer's field: no light gets behind them."""

    def walls(trainer: Trainer) -> Trainer:
        trainer.field.table.data *= 1e4
        trainer.field.density2.data[0] *= 20
        trainer.field.log_init_density += 4.0
        return trainer

    return walls
