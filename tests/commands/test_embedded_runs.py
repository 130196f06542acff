"""Whole runs on the scenes that come with the package, and on a real one: small and short, to a
quality that a broken kernel, schedule or sampler does not reach.

Floors lie 1.5 dB below the least that two seeds reached, in fp32 and in bf16.
"""

import copy
import dataclasses
import subprocess
import sys
from pathlib import Path
from statistics import fmean

import pytest

from orefield.config import (
    FieldConfig,
    MiningConfig,
    OptimConfig,
    RunConfig,
    SamplerConfig,
    SceneConfig,
)
from orefield.evaluation.views import evaluate_views
from orefield.scenes import Scene, open_scene
from orefield.training.trainer import Trainer, fit

CONFIG = RunConfig(
    steps=150,
    scene=SceneConfig(max_test_views=3),
    field=FieldConfig(levels=8, log2_hashmap_size=14, max_resolution=256, width=32),
    sampler=SamplerConfig(resolution=32, steps_per_diagonal=512, refresh_every=8, warmup=64),
    optim=OptimConfig(target_samples=16_384),
)


def small_shapes(folder: Path) -> Path:
    """The scene `shapes`, 24 + 3 views of 80 x 80, made by a process whose shapes nobody checks:
    the checks of these tests would take ten times as long as the pictures."""
    code = "from pathlib import Path; from orefield.scenes.embedded import write; "
    code += f"write('shapes', Path({str(folder / 'shapes')!r}), 80, 24, 3)"
    subprocess.run([sys.executable, "-c", code], check=True)
    return folder / "shapes"


def downscaled(factor: int) -> RunConfig:
    return dataclasses.replace(CONFIG, scene=SceneConfig(downscale=factor, max_test_views=3))


def trained(scene: Scene, config: RunConfig = CONFIG) -> Trainer:
    trainer = Trainer(scene, config)
    for stats in fit(trainer):
        assert 0 < stats.kept <= stats.evaluated
    assert trainer.skipped == 0
    return trainer


def mean_psnr(trainer: Trainer, scene: Scene) -> float:
    rendered = evaluate_views(trainer.field, trainer.sampler, scene.test, 1.0)
    return fmean(each.score.psnr for each in rendered)


@pytest.mark.slow
def test_shapes_trains_on_a_fraction_of_what_plain_learns_from(tmp_path: Path) -> None:
    """Of the samples that plain learns from, all those marched, the rule keeps 0.20 to 0.22."""
    scene = open_scene(small_shapes(tmp_path), CONFIG.scene)
    trainer = trained(scene)
    assert mean_psnr(trainer, scene) > 19.1

    mining = MiningConfig(rule="plain", pixel_sampling="error")
    plain = Trainer(scene, dataclasses.replace(CONFIG, mining=mining))
    plain.load_state_dict(copy.deepcopy(trainer.state_dict()))
    plain.training_step.early_termination = False  # part of the state, and nothing that plain does
    mined, full = trainer.advance(), plain.advance()  # one more step, on the same rays
    assert mined.loss == pytest.approx(full.loss, rel=1e-2)
    assert full.kept == full.evaluated
    assert 0 < mined.kept <= 0.25 * full.kept


@pytest.mark.slow
def test_tankard_trains() -> None:
    scene = open_scene("tankard", downscaled(2).scene)
    assert mean_psnr(trained(scene), scene) > 20.0


@pytest.mark.slow
def test_lego_trains(real_scenes: Path) -> None:
    if not (real_scenes / "lego").is_dir():
        pytest.skip(f"no lego in {real_scenes}")
    scene = open_scene(real_scenes / "lego", downscaled(4).scene)
    assert mean_psnr(trained(scene), scene) > 18.6
