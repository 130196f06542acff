"""Laws of metrics.jsonl: whole lines that cover each step once, whatever happens to the run."""

import dataclasses
import errno
import json
import math
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from orefield.config import RunConfig, to_dict
from orefield.runs import metrics_log
from orefield.runs.loop import TrainingRun, resume_run, start_run
from orefield.scenes import Scene


def lines(folder: Path) -> list[dict]:
    text = (folder / "metrics.jsonl").read_text()
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def steps(folder: Path) -> list[int]:
    return [line["step"] for line in lines(folder)]


@pytest.fixture
def each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_log, "_INTERVAL", 0.0)


@pytest.mark.usefixtures("each_step")
def test_a_line_says_what_the_steps_said(run: TrainingRun) -> None:
    told, at = list(run.train()), 0.0
    for step, line in zip(told, lines(run.folder), strict=True):
        evaluated = line.pop("test_psnr", None)
        assert evaluated in [None, *(e.test_psnr for e in run.history.evaluations)]
        assert line == {
            "step": step.step,
            "seconds": step.seconds,
            "train_psnr": pytest.approx(-10 * math.log10(step.loss)),
            "losses": pytest.approx(step.losses),
            "rays_per_step": step.rays,
            "evaluated_per_step": step.evaluated,
            "kept_share": pytest.approx(step.kept / step.evaluated),
            "rays_per_second": pytest.approx(step.rays / (step.seconds - at)),
            "lr": step.lr,
        }
        at = step.seconds
    tests = {e.step: e.test_psnr for e in run.history.evaluations}
    assert {x["step"]: x["test_psnr"] for x in lines(run.folder) if "test_psnr" in x} == tests


def test_lines_are_averages_since_the_one_before(run: TrainingRun, monkeypatch) -> None:
    monkeypatch.setattr(metrics_log, "_INTERVAL", 1e9)
    told = {step.step: step for step in run.train()}
    before, at = 0, 0.0
    for line in lines(run.folder):
        seen = [told[i] for i in range(before + 1, line["step"] + 1)]
        rays = sum(step.rays for step in seen)
        assert line["rays_per_step"] == pytest.approx(rays / len(seen))
        assert line["rays_per_second"] == pytest.approx(rays / (line["seconds"] - at))
        before, at = line["step"], line["seconds"]
    assert before == 12
    assert len(lines(run.folder)) < 12


def test_an_evaluation_after_a_save_of_the_caller_has_a_line_of_its_own(run: TrainingRun) -> None:
    for step in run.train():
        if step.step == 6:
            run.save()
    of_six = [line for line in lines(run.folder) if line["step"] == 6]
    if len(of_six) == 2:  # the evaluation of step 6 may be left out where it takes long
        assert of_six[1].keys() == {"step", "seconds", "test_psnr"}
    assert "losses" in of_six[0]


@pytest.mark.parametrize("tear", [b"", b'{"step": 7, "sec', b"\0\xff\n", b"[]\n", b"7\n"])
@pytest.mark.usefixtures("each_step")
def test_resuming_continues_without_a_step_twice_or_missing(
    tear: bytes, run: TrainingRun, tiny_scene: Scene
) -> None:
    training = run.train()
    for step in training:
        if step.step == 3:
            run.save()
        if step.step == 6:
            break
    killed = Path(shutil.copytree(run.folder, run.folder.with_name("killed")))
    training.close()
    before = (killed / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    assert steps(killed)[-1] == 5  # step 6 was not over
    with (killed / "metrics.jsonl").open("ab") as file:
        file.write(tear)
    resumed = resume_run(killed, tiny_scene)
    assert len(list(resumed.train())) == 9
    kept = [line for line in before if json.loads(line)["step"] <= 3]
    assert (killed / "metrics.jsonl").read_bytes().splitlines(keepends=True)[: len(kept)] == kept
    assert list(dict.fromkeys(steps(killed))) == list(range(1, 13))
    whole = [line["step"] for line in lines(killed) if "losses" in line]
    assert whole == list(range(1, 13))


CHILD = """
import json, sys
from orefield.config import from_dict
from orefield.runs.loop import start_run
from orefield.scenes import open_scene

scene, folder, config = sys.argv[1:]
config = from_dict(json.loads(config))
for step in start_run(open_scene(scene, config.scene), folder, config).train():
    print(step.step, flush=True)
"""


def test_a_killed_process_leaves_whole_lines(
    tmp_path: Path, tiny_scene: Scene, tiny_config: RunConfig
) -> None:
    config = dataclasses.replace(tiny_config, steps=100_000, save_every=0.01)
    folder = tmp_path / "run"
    words = [tiny_scene.source, str(folder), json.dumps(to_dict(config))]
    command = [sys.executable, "-c", CHILD, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while int(process.stdout.readline()) < 40:
            pass
        process.send_signal(signal.SIGKILL)
    found = steps(folder)
    assert found == sorted(found)
    resumed = resume_run(folder, tiny_scene, steps=60)
    at = resumed.trainer.step
    list(resumed.train())
    assert at in steps(folder)  # a save's step ends a line
    assert steps(folder)[-1] == resumed.trainer.step


@pytest.mark.usefixtures("each_step")
def test_a_full_disk_is_one_warning_and_later_lines_have_what_is_missing(
    run: TrainingRun, monkeypatch
) -> None:
    write, full = os.write, False

    def half(file: int, data: bytes) -> int:
        if full and data.startswith(b'{"step"'):
            write(file, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data)

    monkeypatch.setattr(os, "write", half)

    def train() -> None:
        nonlocal full
        for step in run.train():
            full = 4 <= step.step < 8

    with pytest.warns(UserWarning, match=r"metrics\.jsonl: not written: .*; training") as told:
        train()
    assert len(told) == 1
    found = [line["step"] for line in lines(run.folder) if "losses" in line]
    assert found == [1, 2, 3, 8, 9, 10, 11, 12]
    assert run.trainer.step == 12


@pytest.mark.usefixtures("each_step")
def test_overwriting_begins_anew_and_the_field_is_the_same(
    run: TrainingRun, tiny_scene: Scene, tiny_config: RunConfig, monkeypatch
) -> None:
    list(run.train())
    field = (run.folder / "field.safetensors").read_bytes()
    (run.folder / "tensorboard").mkdir()
    again = start_run(tiny_scene, run.folder, tiny_config, overwrite=True)
    assert not (run.folder / "metrics.jsonl").exists()
    assert not (run.folder / "tensorboard").exists()
    monkeypatch.setattr(metrics_log, "_INTERVAL", 1e9)
    list(again.train())
    assert (run.folder / "field.safetensors").read_bytes() == field


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_only_a_file_is_written(kind: str, run: TrainingRun, tmp_path: Path) -> None:
    path, other = run.folder / "metrics.jsonl", tmp_path / "other"
    other.write_text("precious\n")
    if kind == "link":
        path.symlink_to(other)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.warns(UserWarning, match=r"metrics\.jsonl: not written: .*training goes on"):
        assert len(list(run.train())) == 12
    assert other.read_text() == "precious\n"
