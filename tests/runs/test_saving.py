"""Laws of saving: at any instant there is a whole save, and it is resumed bit for bit.

The instants: each call to the system that may fail, each at which the process may be killed, and
each at which the power may be cut.
"""

import dataclasses
import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from orefield.config import RunConfig, to_dict
from orefield.errors import RunError
from orefield.runs.folder import check_room, load_run, save_bytes
from orefield.runs.header import read_config
from orefield.runs.loop import TrainingRun, resume_run, start_run
from orefield.runs.state import flat_tensors
from orefield.scenes import Scene
from orefield.system.interrupts import interruptible
from orefield.system.lock import LOCK_FILE
from orefield.training.trainer import Trainer, fit

CALLS = ("write", "fsync", "replace", "open")
KILLS = 25
SAVED = (
    *("config.json", "field.safetensors", "metrics.json", "metrics.jsonl", "state.safetensors"),
)


def tensors_of(run: TrainingRun) -> dict[str, torch.Tensor]:
    return {name: t.clone() for name, t in flat_tensors(run.trainer.state_dict()).items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def step(run: TrainingRun) -> dict[str, torch.Tensor]:
    """One step, and a save; what can be resumed from then."""
    run.trainer.advance()
    run.save()
    return tensors_of(run)


def failure_of(save: Callable[[], None]) -> OSError | None:
    try:
        save()
    except OSError as error:
        return error
    return None


def temporary(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir() if file.name not in SAVED]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO], ids=["full", "broken"])
def test_a_save_that_fails_at_any_call_leaves_one_of_two_saves(
    number: int, run: TrainingRun, tiny_scene: Scene, monkeypatch
) -> None:
    before = step(run)
    run.trainer.advance()
    after, left, done = tensors_of(run), 0, False
    found = set()
    for fails_at in range(1, 100):
        left = fails_at
        with monkeypatch.context() as patch:
            for name in CALLS:
                real = getattr(os, name)

                def call(*args, real=real, **options):
                    nonlocal left
                    left -= 1
                    if left == 0:
                        raise OSError(number, os.strerror(number))
                    return real(*args, **options)

                patch.setattr(os, name, call)
            failed = failure_of(run.save)
        assert failed is None or failed.errno == number
        done = failed is None and left > 0
        assert temporary(run.folder) == [LOCK_FILE]  # held since the run began
        load_run(run.folder)
        resumed = resume_run(shutil.copytree(run.folder, run.folder / "copy"), tiny_scene)
        found.add((same(tensors_of(resumed), before), same(tensors_of(resumed), after)))
        shutil.rmtree(run.folder / "copy")
        if done:
            break
    assert done
    assert fails_at > 12  # three files, of which each is opened, written, synced and moved
    assert found == {(True, False), (False, True)}


CHILD = """
import dataclasses, json, os, signal, sys
from pathlib import Path
from orefield.config import from_dict
from orefield.runs.loop import start_run
from orefield.scenes import open_scene

scene, folder, config, call, number = sys.argv[1:]
left = int(number)
real = getattr(os, call)

def killed(*args, **options):
    global left
    left -= 1
    if left == 0:
        if call == "write":  # half of a write is done
            real(args[0], args[1][: len(args[1]) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args, **options)

config = from_dict(json.loads(config))
run = start_run(open_scene(scene, config.scene), folder, config)
setattr(os, call, killed)
for step in run.train():
    pass
"""


def child(folder: Path, scene: Scene, config: RunConfig, call: str, number: int) -> list[str]:
    """The command that trains and is killed in the call of that number; 0: never."""
    words = [scene.source, str(folder), json.dumps(to_dict(config)), call, str(number)]
    return [sys.executable, "-c", CHILD, *words]


# A save makes three writes and moves, of state, field and metrics, and syncs each file and folder;
# before them it writes and syncs a line of metrics.jsonl.
AIMED = [("replace", 5), ("write", 8)]
MORE = [(call, number) for call in ("write", "replace", "fsync") for number in range(1, 24, 4)]


@pytest.mark.parametrize(
    ("call", "number"),
    [*AIMED, *(pytest.param(*one, marks=pytest.mark.slow) for one in MORE if one not in AIMED)],
)
def test_a_run_that_is_killed_in_a_save_goes_on_from_the_last(
    call: str, number: int, tmp_path: Path, tiny_scene: Scene, tiny_config: RunConfig
) -> None:
    folder = tmp_path / "run"
    config = dataclasses.replace(tiny_config, save_every=1e-9)
    words = child(folder, tiny_scene, config, call, number)
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
    left = temporary(folder)
    assert LOCK_FILE in left
    if number == 1:
        with pytest.raises(RunError, match="was the run stopped before it was first saved"):
            resume_run(folder, tiny_scene)
        return
    resumed = resume_run(folder, tiny_scene)
    assert temporary(folder) == [LOCK_FILE]
    at = resumed.trainer.step
    assert at > 0
    assert [point.step for point in resumed.history.points] == list(range(1, at + 1))
    assert [one.step for one in resumed.train()] == list(range(at + 1, 13))
    whole = start_run(tiny_scene, tmp_path / "whole", tiny_config)
    assert len(list(whole.train())) == 12
    assert same(tensors_of(resumed), tensors_of(whole))
    field, again = ((f / "field.safetensors").read_bytes() for f in (folder, whole.folder))
    assert field == again


@pytest.mark.slow
def test_a_run_that_is_killed_at_any_time_goes_on_as_if_it_had_not_been(
    tmp_path: Path, tiny_scene: Scene, tiny_config: RunConfig, record_property
) -> None:
    config = dataclasses.replace(tiny_config, save_every=1e-9, steps=400)
    rng, states = random.Random(0), {}
    for number in range(KILLS):
        folder = tmp_path / f"{number}"
        with subprocess.Popen(child(folder, tiny_scene, config, "write", 0)) as process:
            while not (folder / "state.safetensors").exists():
                assert process.poll() is None
                time.sleep(0.01)
            time.sleep(rng.uniform(0, 0.5))
            process.kill()
        load_run(folder)
        resumed = resume_run(folder, tiny_scene)
        states[resumed.trainer.step] = tensors_of(resumed)
    whole = Trainer(tiny_scene, config)
    for stats in fit(whole):
        state = states.pop(stats.step, None)
        now = flat_tensors(whole.state_dict())
        assert state is None or all(torch.equal(now[name], state[name]) for name in now)
        if not states:
            break
    assert not states
    record_property("counts", f"runs killed at random instants and resumed bit for bit: {KILLS}")


@pytest.mark.parametrize("call", ["write", "replace"])
def test_a_second_ctrl_c_in_the_last_save_leaves_it_whole(
    call: str, run: TrainingRun, tiny_scene: Scene, monkeypatch
) -> None:
    real = getattr(os, call)

    def pressed(*args):
        monkeypatch.setattr(os, call, real)
        signal.raise_signal(signal.SIGINT)
        return real(*args)

    with interruptible() as stop:
        signal.raise_signal(signal.SIGINT)
        monkeypatch.setattr(os, call, pressed)
        with pytest.raises(KeyboardInterrupt):
            list(run.train(stop.is_set))
    assert sorted(file.name for file in run.folder.iterdir()) == sorted(SAVED)
    assert json.loads((run.folder / "metrics.json").read_text())["training"]["steps"] == 1
    assert same(tensors_of(resume_run(run.folder, tiny_scene)), tensors_of(run))


def remove_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def damage_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def rename(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))


@pytest.mark.parametrize("lose", [remove_config, damage_config, shutil.rmtree, rename])
def test_what_is_removed_while_training_is_written_anew(
    lose: Callable[[Path], None], run: TrainingRun, tiny_scene: Scene
) -> None:
    before = read_config(run.folder)
    for stats in run.train():
        if stats.step == 2:
            lose(run.folder)
            run.save()
        if stats.step == 5:
            break
    assert read_config(run.folder) == before
    load_run(run.folder)
    resumed = resume_run(run.folder, tiny_scene)
    assert resumed.trainer.step == 5
    assert same(tensors_of(resumed), tensors_of(run))


@pytest.mark.parametrize("lose", [remove_config, shutil.rmtree])
def test_what_is_removed_before_the_first_step_is_written_anew(
    lose: Callable[[Path], None], run: TrainingRun
) -> None:
    lose(run.folder)
    assert len(list(run.train())) == 12
    load_run(run.folder)


def test_a_folder_that_another_took_over_is_left_to_it(
    run: TrainingRun, tiny_scene: Scene, tiny_config: RunConfig
) -> None:
    """The first goes on, its saves fail, and it says at the end what became of them."""
    others = []

    def train() -> None:
        for stats in run.train():
            if stats.step == 2:
                others.append(start_run(tiny_scene, run.folder, tiny_config, overwrite=True))
                others[0].save()
            if stats.step >= 2:
                run._save_on_the_way()

    ends = pytest.raises(RunError, match=r"the last save, after step 12, failed: .*taken it over")
    with pytest.warns(UserWarning, match=r"not saved: .*taken it over; training goes on"), ends:
        train()
    assert run.trainer.step == 12
    assert same(tensors_of(resume_run(run.folder, tiny_scene)), tensors_of(others[0]))


def test_a_state_that_is_not_finite_never_replaces_one_that_is(
    run: TrainingRun, tiny_scene: Scene
) -> None:
    before = step(run)
    with torch.no_grad():
        next(iter(run.trainer.field.parameters()))[0, 0] = torch.nan
    with pytest.raises(RunError, match=r"state\.safetensors: tensor 'field/.*' holds numbers that"):
        run.save()
    assert same(tensors_of(resume_run(run.folder, tiny_scene)), before)


def test_a_disk_without_room_is_found_before_anything_is_written(
    tmp_path: Path, tiny_scene: Scene, tiny_config: RunConfig, run: TrainingRun, monkeypatch
) -> None:
    step(run)
    needed = save_bytes(run.trainer)
    whole = sum((run.folder / name).stat().st_size for name in SAVED if "safetensors" in name)
    assert needed < whole < needed + 40_000  # headers, and little else
    usage = shutil.disk_usage(tmp_path)
    for free, fits_new, fits_old in ((needed // 2, 0, 0), (needed, 0, 1), (2 * needed, 1, 1)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, f=free: usage._replace(free=f))
        folder = tmp_path / f"{free}"
        if fits_new:
            start_run(tiny_scene, folder, tiny_config)
        else:
            with pytest.raises(RunError, match=r"saves need .* MB; its disk has .* MB left"):
                start_run(tiny_scene, folder, tiny_config)
            assert not folder.exists()
        if fits_old:
            resume_run(run.folder, tiny_scene)
        else:
            with pytest.raises(RunError, match="saves need"):
                resume_run(run.folder, tiny_scene)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(total=0, free=0))
    check_room(tmp_path, 10**15)  # a file system that does not know
