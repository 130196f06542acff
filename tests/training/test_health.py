"""Training that cannot go on stops and says why; training that diverges is told."""

import dataclasses
import math
import warnings

import pytest
import torch

from orefield.config import RunConfig
from orefield.errors import OrefieldError, SceneError, TrainingError
from orefield.scenes import PixelSampler
from orefield.training import health
from orefield.training.health import PATIENCE, TrainingHealth, constant_color_mse
from orefield.training.trainer import Trainer, fit

FIXED = "fixed_shapes.use=always,fixed_shapes.adapt_every=7,field.precision=fp32"


def follow(**settings) -> TrainingHealth:
    return TrainingHealth(0.05, RunConfig(**settings), torch.nn.Linear(2, 2))


def spoiled(trainer: Trainer) -> Trainer:
    trainer.field.color3.data[0, 0] = math.nan
    return trainer


def advance(trainer: Trainer, steps: int) -> None:
    for _ in range(steps):
        trainer.advance()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(health, "PATIENCE", 12)
    return 12


def test_training_stops_after_many_steps_in_a_row_that_are_not_finite() -> None:
    followed = follow()
    for step in range(PATIENCE - 1):
        followed.record(step + 1, step + 1, {"color": math.nan})
    with pytest.raises(TrainingError, match=f"for {PATIENCE} steps in a row"):
        followed.record(PATIENCE, PATIENCE, {"color": math.nan})


def test_one_step_that_is_finite_is_enough_to_go_on() -> None:
    followed, skipped = follow(), 0
    for step in range(5 * PATIENCE):
        bad = (step + 1) % PATIENCE != 0
        skipped += bad
        followed.record(step + 1, skipped, {"color": math.nan if bad else 0.01})
    assert followed.streak == 0


@pytest.mark.parametrize("fixed", ["", FIXED], ids=["free", "fixed"])
def test_a_spoiled_field_ends_the_run_with_its_likely_cause(make, fixed: str, impatient) -> None:
    """Steps of fixed shapes are seen when their report is read. The trainer is whole: it can be
    saved, and the steps are counted."""
    trainer = make(fixed)
    advance(trainer, 20)
    spoiled(trainer)
    with pytest.raises(
        TrainingError, match=r"field's parameters are no longer numbers: lower optim\.lr"
    ):
        advance(trainer, 4 * impatient)
    assert impatient <= trainer.skipped <= 2 * impatient
    state = trainer.state_dict()
    assert state["step"] == 20 + trainer.skipped
    others = [v for n, v in state["field"].items() if n != "color3"]
    assert all(bool(v.isfinite().all()) for v in others)


def test_fit_raises_it_and_the_trainer_goes_on_once_mended(make, impatient) -> None:
    trainer = make()
    steps = fit(trainer)
    next(steps)
    good = trainer.field.color3.data.clone()
    spoiled(trainer)
    with pytest.raises(OrefieldError, match="training stopped after step 13"):
        list(steps)
    trainer.field.color3.data = good
    assert math.isfinite(trainer.advance().loss)
    assert trainer.health.streak == 0


def test_gradients_that_are_not_finite_skip_the_step(make) -> None:
    """Their loss may be a number; no parameter becomes NaN."""
    for settings in ("field.precision=fp32", FIXED):
        trainer = make(settings)
        trainer.advance()
        before = {name: value.clone() for name, value in trainer.field.state_dict().items()}
        real = trainer.optimizer.gradients_are_finite

        def broken(trainer=trainer, real=real):
            trainer.field.density1.grad[0, 0] = math.inf
            return real()

        trainer.optimizer.gradients_are_finite = broken
        trainer.advance()
        assert int(trainer.state_dict()["skipped"]) == 1
        after = trainer.field.state_dict()
        assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_depth_map_without_an_end_is_named(make, measured_scene, impatient) -> None:
    views = [
        dataclasses.replace(v, depth=torch.full_like(v.depth, torch.inf))
        for v in measured_scene.train
    ]
    scene = dataclasses.replace(measured_scene, train=tuple(views))
    trainer = make("calibration.depth=0.1", scene)
    with pytest.raises(TrainingError, match=r"a depth map .* train without calibration\.depth"):
        list(fit(trainer))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_pose_that_is_not_finite_is_refused_before_training(make, tiny_scene, value) -> None:
    view = tiny_scene.train[1]
    pose = view.pose.clone()
    pose[1, 2] = value
    train = (tiny_scene.train[0], dataclasses.replace(view, pose=pose))
    with pytest.raises(SceneError, match=f"the pose of {view.name} is not finite"):
        make("", dataclasses.replace(tiny_scene, train=train))


def test_a_run_whose_last_steps_were_skipped_says_so(make) -> None:
    trainer = make("steps=9")
    advance(trainer, 5)
    spoiled(trainer)
    with pytest.warns(UserWarning, match="the last 4 steps were skipped"):
        list(fit(trainer))


def losses(followed: TrainingHealth, *values: float, start: int = 0) -> int:
    """How many warnings these mean squared errors give."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for number, value in enumerate(values, start + 1):
            followed.record(number, 0, {"color": value})
    return len(told)


def test_divergence_is_told_once() -> None:
    """0.05 is what one constant color gets wrong."""
    followed = follow()
    assert losses(followed, *[0.2] * 20, *[0.01] * 300) == 0
    assert losses(followed, *[0.3] * 300, start=320) == 1
    assert losses(followed, *[0.01] * 300, *[0.3] * 300, start=620) == 0


def test_a_slow_start_is_no_divergence_and_a_start_without_end_is() -> None:
    assert losses(follow(), *[0.2] * 400, *[0.02] * 500) == 0
    assert losses(follow(), *[0.2] * 600) == 1


def test_single_bad_batches_are_no_divergence() -> None:
    assert losses(follow(), *([0.004] * 49 + [0.3]) * 20) == 0


def test_the_line_names_settings_and_steps() -> None:
    followed = follow()
    followed.start_at(599, 0)
    line = r"at step 600 .*\(0.2\) .*\(0.05\); lower optim.lr \(now 0.02\), or set field.precision"
    with pytest.warns(UserWarning, match=line):
        followed.record(600, 0, {"color": 0.2})


@pytest.mark.parametrize("background", ["random", "white", "black"])
def test_the_best_constant_color_is_the_mean_of_what_a_step_is_to_see(
    make, tiny_scene, background: str
) -> None:
    trainer = make(f"optim.background={background}")
    pixels = PixelSampler(tiny_scene.train, "cpu")
    found = constant_color_mse(pixels, background, trainer.device)
    target = trainer.batches.draw(200_000).target
    assert found == pytest.approx(float(target.var(0, correction=0).mean()), rel=0.03)


def test_too_high_a_learning_rate_is_told(make) -> None:
    trainer = make("optim.lr=10,optim.warmup=1,optim.background=white,steps=600")
    with pytest.warns(UserWarning, match="training diverges"):
        list(fit(trainer))


@pytest.mark.parametrize("settings", ["", FIXED])
def test_a_good_run_gives_no_warning(make, settings) -> None:
    """Warnings are errors here."""
    list(fit(make(f"{settings},steps=520")))
