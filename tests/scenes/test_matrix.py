"""The same capture in every format and form gives the same rays, pixels and quality."""

import warnings
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import torch

from orefield.cameras import project
from orefield.config import FieldConfig, OptimConfig, RunConfig, SamplerConfig, SceneConfig
from orefield.evaluation.views import evaluate_views
from orefield.scenes import Scene, SceneWarning, open_scene
from orefield.training.trainer import Trainer, fit
from written import ALL_FORMS, CASES, CENTER, SIDE, Form, Shot, write

STEPS = 40


def opened(folder: Path, form: Form) -> Scene:
    """The scene with a box that does not depend on what a format knows."""
    center = CENTER + (0 if form.origin is None else form.origin)
    config = SceneConfig(holdout=4, box=(*center.tolist(), SIDE), near=0.5, background_extent=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SceneWarning)
        return open_scene(folder, config)


def expected(taken: list[Shot]) -> tuple[list[Shot], list[Shot]]:
    """Training and test views: every fourth is held out."""
    return [shot for i, shot in enumerate(taken) if i % 4], taken[::4]


@pytest.mark.parametrize(("format_", "form"), CASES)
def test_rays_and_pixels(tmp_path: Path, format_: str, form: str) -> None:
    taken = write(tmp_path / "scene", format_, ALL_FORMS[form])
    scene = opened(tmp_path / "scene", ALL_FORMS[form])
    wanted = [*expected(taken)[0], *expected(taken)[1]]
    side, corner = scene.to_world[0, 0], scene.to_world[:3, 3]
    assert side.dtype == torch.float64
    points = np.random.default_rng(0).uniform(-SIDE / 2, SIDE / 2, (100, 3))
    points += (corner + side / 2).numpy()
    for view, shot in zip((*scene.train, *scene.test), wanted, strict=True):
        position = view.pose[:, 3].double() * side + corner
        local = (torch.from_numpy(points) - position) @ view.pose[:, :3].double()
        gap = project(view.camera, local).numpy() - shot.project(points)
        assert np.abs(gap).max() < 1e-4
        alpha = torch.from_numpy(shot.pixels[..., 3])
        assert torch.equal(view.image[..., 3], alpha)
        seen = alpha > 0
        assert torch.equal(view.image[seen], torch.from_numpy(shot.pixels)[seen])


def quality(scene: Scene) -> float:
    """Mean test PSNR after a few steps."""
    config = RunConfig(
        steps=STEPS,
        scene=scene.config,
        field=FieldConfig(
            levels=6, log2_hashmap_size=12, base_resolution=4, max_resolution=64, init_density=1.0
        ),
        sampler=SamplerConfig(
            kind="occupancy", resolution=24, steps_per_diagonal=96, cone_angle=1 / 256
        ),
        optim=OptimConfig(target_samples=2048),
    )
    trainer = Trainer(scene, config)
    for _ in fit(trainer):
        pass
    views = evaluate_views(trainer.field, trainer.sampler, scene.test, 1.0)
    return fmean(view.score.psnr for view in views)


@pytest.fixture(scope="session")
def qualities() -> dict[tuple[bool, bool], float]:
    """The quality of each kind of pictures, once it is known."""
    return {}


@pytest.mark.slow
@pytest.mark.parametrize(("format_", "form"), CASES)
def test_quality(
    tmp_path: Path, format_: str, form: str, qualities: dict[tuple[bool, bool], float]
) -> None:
    kind = ALL_FORMS[form].opaque, ALL_FORMS[form].mixed
    if kind not in qualities:
        plain = Form(opaque=kind[0], mixed=kind[1])
        write(tmp_path / "reference", "transforms", plain)
        qualities[kind] = quality(opened(tmp_path / "reference", plain))
        assert qualities[kind] > 9
    write(tmp_path / "scene", format_, ALL_FORMS[form])
    assert quality(opened(tmp_path / "scene", ALL_FORMS[form])) == pytest.approx(
        qualities[kind], abs=0.05
    )
