"""Laws of the log for TensorBoard: it holds the numbers of metrics.jsonl, and may be absent."""

import dataclasses
import json
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from orefield.config import RunConfig
from orefield.errors import OrefieldError, RunError
from orefield.runs import metrics_log, tensorboard
from orefield.runs.loop import TrainingRun, resume_run, start_run
from orefield.scenes import Scene


@pytest.fixture
def logged(tmp_path: Path, tiny_scene: Scene, tiny_config: RunConfig, monkeypatch) -> TrainingRun:
    """A run that has not begun to train."""
    monkeypatch.setattr(metrics_log, "_INTERVAL", 0.0)
    config = dataclasses.replace(tiny_config, log="tensorboard")
    return start_run(tiny_scene, tmp_path / "logged", config)


def shown(folder: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    names = events.Tags()["scalars"]
    return {name: [(e.step, e.value) for e in events.Scalars(name)] for name in names}


def assert_equal(folder: Path) -> None:
    expected: dict[str, list[tuple[int, float]]] = {}
    for text in (folder / "metrics.jsonl").read_text().splitlines():
        line = json.loads(text)
        step, losses = line.pop("step"), line.pop("losses", {})
        line |= {f"losses/{name}": value for name, value in losses.items()}
        for name, value in line.items():
            expected.setdefault(name, []).append((step, pytest.approx(value, rel=1e-6)))
    assert shown(folder) == expected


def test_it_holds_the_numbers_of_the_lines_and_the_run_is_the_same(
    logged: TrainingRun, run: TrainingRun
) -> None:
    assert len(list(logged.train())) == len(list(run.train())) == 12
    assert_equal(logged.folder)
    assert not (run.folder / "tensorboard").exists()
    field, again = ((r.folder / "field.safetensors").read_bytes() for r in (logged, run))
    assert field == again


def test_a_resumed_run_goes_on_there(logged: TrainingRun, tiny_scene: Scene) -> None:
    for step in logged.train():
        if step.step == 3:
            logged.save()
        if step.step == 6:
            raised = logged.trainer.step
            break
    resumed = resume_run(logged.folder, tiny_scene)
    assert resumed.trainer.step == raised == 6
    list(resumed.train())
    assert [step for step, _ in shown(logged.folder)["lr"]] == list(range(1, 13))


def test_where_it_is_absent_one_line_says_what_to_install(
    tmp_path: Path, tiny_scene: Scene, tiny_config: RunConfig, monkeypatch
) -> None:
    monkeypatch.setattr(tensorboard, "find_spec", lambda _: None)
    config = dataclasses.replace(tiny_config, log="tensorboard")
    with pytest.raises(OrefieldError, match=r"needs: pip install 'orefield\[tensorboard\]'"):
        start_run(tiny_scene, tmp_path / "run", config)
    assert not (tmp_path / "run").exists()
    start_run(tiny_scene, tmp_path / "run", tiny_config)


def test_it_is_not_written_through_a_link(logged: TrainingRun, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (logged.folder / "tensorboard").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="tensorboard: is a link"):
        list(logged.train())
    assert not any((tmp_path / "elsewhere").iterdir())


def test_a_log_that_cannot_be_written_any_more_is_a_warning(
    logged: TrainingRun, monkeypatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tensorboard.TensorBoardLog, "add", full)
    with pytest.warns(UserWarning, match="no more is written for TensorBoard: .*No space") as told:
        assert len(list(logged.train())) == 12
    assert len(told) == 1
