"""Laws of training runs: stopping costs nothing, and what is due on the way happens."""

import dataclasses
import errno
import json
import shutil
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch

from orefield.config import CalibrationConfig, RunConfig, SceneConfig
from orefield.errors import RunError, SceneError
from orefield.evaluation.probe import PixelProbe
from orefield.runs import loop
from orefield.runs.folder import load_run, save_run
from orefield.runs.header import read_config
from orefield.runs.loop import TrainingRun, resume_run, start_run
from orefield.runs.state import flat_tensors
from orefield.scenes import Scene
from orefield.training.trainer import StepStats

FEW = 64


@pytest.fixture(autouse=True)
def few_test_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "PixelProbe", partial(PixelProbe, count=FEW))


def metrics(run: TrainingRun) -> dict:
    return json.loads((run.folder / "metrics.json").read_text())


def steps_of(run: TrainingRun) -> list[int]:
    return [point.step for point in run.history.points]


@pytest.fixture
def whole(tmp_path: Path, tiny_scene: Scene, tiny_config: RunConfig) -> TrainingRun:
    """The run that nobody interrupted."""
    run = start_run(tiny_scene, tmp_path / "whole", tiny_config)
    assert [step.step for step in run.train()] == list(range(1, 13))
    return run


def assert_same_end(one: TrainingRun, other: TrainingRun) -> None:
    field, again = ((run.folder / "field.safetensors").read_bytes() for run in (one, other))
    assert field == again
    state, again = (flat_tensors(run.trainer.state_dict()) for run in (one, other))
    assert state.keys() == again.keys()
    assert all(torch.equal(state[name], again[name]) for name in state)
    assert steps_of(one) == steps_of(other) == list(range(1, 13))


@pytest.mark.parametrize("way", ["break", "stop"])
def test_leaving_early_saves_and_resuming_ends_where_a_whole_run_does(
    way: str, run: TrainingRun, whole: TrainingRun, tiny_scene: Scene
) -> None:
    if way == "break":
        for step in run.train():
            if step.step == 5:
                break
    else:
        assert len(list(run.train(stop=lambda: run.trainer.step == 5))) == 5
    assert metrics(run)["training"]["steps"] == 5
    resumed = resume_run(run.folder, tiny_scene)
    assert [step.step for step in resumed.train()] == list(range(6, 13))
    assert_same_end(resumed, whole)


def killed_in_step_six(run: TrainingRun) -> Path:
    """The folder as it is when the process dies, three steps after it was last saved."""
    training = run.train()
    for step in training:
        if step.step == 3:
            run.save()
        if step.step == 6:
            break
    folder = run.folder.with_name("killed")
    shutil.copytree(run.folder, folder)
    training.close()  # a process that is killed does not get here
    return folder


@pytest.mark.parametrize("metrics", ["saved", "missing"])
def test_a_run_killed_between_two_saves_goes_on_from_the_first(
    metrics: str, run: TrainingRun, whole: TrainingRun, tiny_scene: Scene
) -> None:
    folder = killed_in_step_six(run)
    if metrics == "missing":
        (folder / "metrics.json").unlink()
    resumed = resume_run(folder, tiny_scene)
    assert (resumed.trainer.step, steps_of(resumed)) == (3, [1, 2, 3])
    assert [step.step for step in resumed.train()] == list(range(4, 13))
    assert_same_end(resumed, whole)


def test_a_run_killed_before_its_first_save_says_so(run: TrainingRun, tiny_scene: Scene) -> None:
    with pytest.raises(RunError, match=r"state\.safetensors: missing; was the run stopped before"):
        resume_run(run.folder, tiny_scene)


def test_saving_on_the_way_changes_nothing(
    tmp_path: Path, whole: TrainingRun, tiny_scene: Scene, tiny_config: RunConfig
) -> None:
    config = dataclasses.replace(tiny_config, save_every=1e-9)
    run, saved = start_run(tiny_scene, tmp_path / "often", config), []
    for step in run.train():
        saved.append(metrics(run)["training"]["steps"] if step.step > 1 else 0)
    assert saved == list(range(12))  # each step finds the one before it saved
    assert_same_end(run, whole)


def test_a_disk_that_is_full_for_a_while_is_a_warning(
    tmp_path: Path, tiny_scene: Scene, tiny_config: RunConfig, monkeypatch
) -> None:
    saved: list[int] = []

    def full_twice(folder: Path, trainer, history) -> None:
        saved.append(trainer.step)
        if len(saved) <= 2:
            raise OSError(errno.ENOSPC, "No space left on device", str(folder))
        save_run(folder, trainer, history)

    monkeypatch.setattr(loop, "save_run", full_twice)
    config = dataclasses.replace(tiny_config, save_every=1e-9)
    run = start_run(tiny_scene, tmp_path / "run", config)
    with pytest.warns(UserWarning, match="not saved: .*No space left.*; training goes on") as told:
        assert len(list(run.train())) == 12
    assert len(told) == 2
    assert saved == [*range(1, 12), 12]  # after each step, and at the end
    assert load_run(run.folder).folder == run.folder


def timed(run: TrainingRun, seconds: float) -> Iterator[StepStats]:
    """Train by a clock that each step moves by so much more than it takes."""
    for step in run.train():
        run.trainer.seconds = seconds * step.step
        yield step


@pytest.mark.parametrize(
    ("every", "steps"), [(250.0, [4, 7, 10, 12]), (1e9, [12]), (1.0, [*range(2, 13)])]
)
def test_test_pixels_are_evaluated_as_often_as_set(
    every: float, steps: list[int], tmp_path: Path, tiny_scene: Scene, tiny_config: RunConfig
) -> None:
    """A step's own time comes on top of the hundred seconds of each step before it."""
    config = dataclasses.replace(tiny_config, eval_every=every)
    run = start_run(tiny_scene, tmp_path / "run", config)
    assert len(list(timed(run, 100.0))) == 12
    assert [one.step for one in run.history.evaluations] == steps
    end = PixelProbe(tiny_scene, 1.0, FEW).psnr(run.trainer.field, run.trainer.sampler)
    assert run.history.evaluations[-1].test_psnr == end


def test_unless_set_evaluations_are_at_shares_and_few_where_they_take_long(
    run: TrainingRun, tmp_path: Path, tiny_scene: Scene, tiny_config: RunConfig, monkeypatch
) -> None:
    assert len(list(timed(run, 100.0))) == 12
    assert [one.step for one in run.history.evaluations] == [1, 2, 3, 6, 12]

    def slow(*_: object) -> float:
        time.sleep(0.2)
        return 10.0

    monkeypatch.setattr(PixelProbe, "psnr", slow)
    other = start_run(tiny_scene, tmp_path / "slow", tiny_config)
    assert len(list(timed(other, 0.01))) == 12
    assert [one.step for one in other.history.evaluations] == [1, 12]  # the last is never skipped


def test_evaluating_writes_scores_pictures_plots_and_maps(
    tmp_path: Path, tiny_scene: Scene, tiny_config: RunConfig
) -> None:
    run = start_run(tiny_scene, tmp_path / "run", tiny_config, maps=True)
    assert len(list(run.train())) == 12
    assert run.maps is not None
    assert [one.step for one in run.maps.maps] == [1, 2, 3, 6, 12]
    test = run.evaluate()
    assert test is not None
    assert metrics(run)["test"] == test
    assert metrics(run)["protocol"]["scene"] == tiny_scene.name
    pictures = {str(file.relative_to(run.folder)) for file in run.folder.rglob("*.png")}
    assert pictures == {
        *("renders/contact.png", "renders/test_r_0.png", "renders/test_r_1.png"),
        *("plots/psnr.png", "plots/kept.png"),
        *(f"mining_maps/{name}.png" for name in ("overlay", "strip", "kept")),
    }


def test_a_scene_without_test_views_trains_and_has_no_scores(
    tmp_path: Path, tiny_scene: Scene, tiny_config: RunConfig
) -> None:
    scene = dataclasses.replace(tiny_scene, test=())
    run = start_run(scene, tmp_path / "run", dataclasses.replace(tiny_config, steps=2))
    assert len(list(run.train())) == 2
    assert (run.evaluate(), metrics(run)["test"], run.history.evaluations) == (None, None, [])
    assert (run.folder / "plots" / "psnr.png").exists()


def test_a_used_budget_is_refused_until_there_is_a_new_one(
    whole: TrainingRun, tiny_scene: Scene
) -> None:
    with pytest.raises(RunError, match=r"whole: has used its budget \(12 steps in .*; give it"):
        resume_run(whole.folder, tiny_scene)
    more = resume_run(whole.folder, tiny_scene, steps=14)
    assert [step.step for step in more.train()] == [13, 14]
    assert steps_of(more) == list(range(1, 15))
    assert read_config(whole.folder).config.steps == 14
    by_time = resume_run(whole.folder, tiny_scene, seconds=1e6)
    assert (by_time.config.steps, by_time.config.seconds) == (0, 1e6)


def test_the_run_remembers_how_its_scene_was_opened(
    run: TrainingRun, tiny_scene: Scene, tiny_config: RunConfig, tmp_path: Path
) -> None:
    other = dataclasses.replace(tiny_config, scene=SceneConfig(downscale=2))
    again = start_run(tiny_scene, tmp_path / "again", other)
    assert read_config(again.folder).config.scene == tiny_scene.config
    run.save()
    reopened = resume_run(run.folder).scene
    assert reopened.source == tiny_scene.source
    assert torch.equal(reopened.test[0].image, tiny_scene.test[0].image)


def test_settings_that_the_scene_cannot_meet_are_refused_before_anything_is_written(
    tmp_path: Path, tiny_scene: Scene, tiny_config: RunConfig
) -> None:
    config = dataclasses.replace(tiny_config, calibration=CalibrationConfig(depth=0.1))
    scene = dataclasses.replace(
        tiny_scene, train=tuple(dataclasses.replace(v, depth=None) for v in tiny_scene.train)
    )
    with pytest.raises(SceneError, match="needs depth maps"):
        start_run(scene, tmp_path / "run", config)
    assert not (tmp_path / "run").exists()
