"""Laws of a run on the command line: one line says what the steps say, and Ctrl-C is heard."""

import io
import signal

import pytest
from rich.console import Console

from orefield.config import RunConfig
from orefield.runs.progress import LiveLine, interruptible
from orefield.training.trainer import StepStats


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


def test_the_first_interrupt_is_noted_and_the_second_is_one(ctrl_c: None) -> None:
    with interruptible() as interrupted:
        assert not interrupted.is_set()
        signal.raise_signal(signal.SIGINT)
        assert interrupted.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_handler_before_is_the_handler_after(ctrl_c: None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with interruptible():
        pass
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
