"""Photographs of several sizes in one capture, each with a camera of its own."""

import pytest
import torch

from orefield.config import RunConfig, SceneConfig, changed
from orefield.evaluation.views import evaluate_views
from orefield.scenes import PixelSampler, describe, open_scene
from orefield.training.trainer import Trainer, fit
from written import FORMATS, Form, write

TINY = (
    "field.levels=2,field.log2_hashmap_size=8,field.base_resolution=4,field.max_resolution=8,"
    "field.width=16,sampler.kind=occupancy,sampler.resolution=8,sampler.steps_per_diagonal=16,"
    "sampler.cone_angle=0.0,field.init_density=1.0,optim.target_samples=256,steps=3"
)


@pytest.mark.parametrize("format_", FORMATS)
def test_they_are_read_sampled_and_trained_on(tmp_path, format_):
    taken = write(tmp_path / "scene", format_, Form(mixed=True))
    scene = open_scene(tmp_path / "scene", SceneConfig(holdout=4))
    expected = [shot for i, shot in enumerate(taken) if i % 4]
    assert len({shot.size for shot in expected}) == 2
    for view, shot in zip(scene.train, expected, strict=True):
        assert (view.camera.width, view.camera.height) == shot.size
        assert view.camera.fx == pytest.approx(shot.focal)
        assert view.image.shape[1::-1] == shot.size
    assert "1 other size" in describe(scene)
    every = PixelSampler(scene.train).every()
    for number, view in enumerate(scene.train):
        mine = every.rgba[every.view == number]
        assert torch.equal((mine * 255).round().byte(), view.image.reshape(-1, 4))
    trainer = Trainer(scene, changed(RunConfig(), TINY))
    for _ in fit(trainer):
        pass
    for seen in evaluate_views(trainer.field, trainer.sampler, scene.test, 1.0):
        assert seen.score.psnr > 0
