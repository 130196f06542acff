"""Laws of a run on the command line: one line says what the steps say."""

import errno
import io
import os
import sys
from collections.abc import Iterator

import pytest
from rich.console import Console

from orefield.config import RunConfig
from orefield.runs import loop, progress
from orefield.runs.loop import TrainingRun, resume_run
from orefield.runs.progress import LiveLine, train_to_end
from orefield.training.trainer import StepStats, Trainer, fit


def line_of(config: RunConfig, terminal: bool, steps: list[StepStats]) -> str:
    out = io.StringIO()
    with LiveLine(config, Console(file=out, width=200, force_terminal=terminal)) as line:
        for step in steps:
            line.show(step)
    return out.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_the_line_says_what_the_steps_say(tiny_config: RunConfig, terminal: bool) -> None:
    losses = [0.01, float("nan"), 0.01, 0.01]
    steps = [
        StepStats(i, i * 0.5, {"color": loss}, 2000, 8000, 2000, 0.01)
        for i, loss in enumerate(losses, 1)
    ]
    text = line_of(tiny_config, terminal, steps)
    # 8 of 12 steps to go at half a second each; the skipped step has no PSNR.
    parts = "step 4|4s left|train 20.00 dB|4.0k rays/s|8.0k samples 25% kept|GiB"
    assert [part for part in parts.split("|") if part not in text] == []


def test_no_steps_no_line(tiny_config: RunConfig) -> None:
    assert line_of(tiny_config, False, []) == ""


class Gone(io.StringIO):
    """An output that cannot be written while `lost`."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number, self.lost = number, False

    def write(self, text: str) -> int:
        if self.lost:
            raise OSError(self.number, os.strerror(self.number))
        return super().write(text)


def while_training(out: Gone, first: int, last: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The output is lost in the steps from `first` to before `last`."""

    def losing(trainer: Trainer) -> Iterator[StepStats]:
        for stats in fit(trainer):
            out.lost = first <= stats.step < last
            yield stats

    monkeypatch.setattr(progress, "_PRINT", 0.0)
    monkeypatch.setattr(loop, "fit", losing)
    monkeypatch.setattr(sys, "stdout", out)


@pytest.mark.parametrize("number", [errno.EPIPE, errno.EIO], ids=["pipe", "terminal"])
def test_an_output_that_is_gone_stops_the_run_and_the_other_is_told(
    number: int, run: TrainingRun, monkeypatch, capsys
) -> None:
    with monkeypatch.context() as patch:
        while_training(Gone(number), 5, 13, patch)
        assert train_to_end(run) == 1
    told = capsys.readouterr().err.splitlines()
    assert told[-2:] == [
        "stopped after 5 steps and saved; nothing was evaluated",
        f"go on with: orefield resume {run.folder}",
    ]
    assert resume_run(run.folder, run.scene).trainer.step == 5


def test_where_nobody_is_left_to_be_told_the_run_is_saved_all_the_same(
    run: TrainingRun, monkeypatch
) -> None:
    """A terminal was closed: first its signal arrives, then nothing can be written."""
    with monkeypatch.context() as patch:
        out = Gone(errno.EIO)
        while_training(out, 5, 13, patch)
        patch.setattr(sys, "stderr", out)
        assert train_to_end(run) == 1
    assert resume_run(run.folder, run.scene).trainer.step == 5


def test_a_full_disk_under_the_output_does_not_stop_the_run(run: TrainingRun, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        while_training(Gone(errno.ENOSPC), 3, 9, patch)
        assert train_to_end(run) == 0
    assert run.trainer.step == 12
