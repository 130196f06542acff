"""A run on the command line: a line of progress while it trains, Ctrl-C, and what came out."""

import errno
import os
import shlex
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from math import isfinite, nan
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.text import Text

from orefield.config import RunConfig
from orefield.evaluation.metrics import mse_to_psnr
from orefield.evaluation.views import told
from orefield.runs.loop import TrainingRun
from orefield.system.console import say
from orefield.system.interrupts import StopRequest, interruptible
from orefield.system.memory import resident_bytes
from orefield.training.trainer import StepStats

if TYPE_CHECKING:
    from orefield.viewer.viewer import Viewer

_REDRAW, _PRINT = 0.25, 5.0
_MEMORY = 0.95
"""Decay of the moving averages: about the last 20 steps count."""


def train_to_end(run: TrainingRun, viewer: "Viewer | None" = None) -> int:
    """Train with a line of progress, evaluate, and say what was written; the exit code.

    `viewer` is served between the steps; a film that it has begun is finished first.

    The first Ctrl-C, SIGTERM, SIGHUP or line that nobody reads any more finishes the step, saves
    and says how to go on; the code is 130, 143, 129 or 1 then.
    """
    with interruptible() as stop, LiveLine(run.config) as line:
        for step in run.train(stop.is_set):
            line.show(step)
            stop.output_lost = line.lost
            if viewer is not None:
                viewer = _serve(viewer, step, run, stop)
        if viewer is not None:
            viewer.finish(stop.is_set)
    trainer, folder = run.trainer, run.folder
    if stop.is_set():
        command = "resume" if trainer.progress() < 1 else "eval"
        _say_somewhere(
            f"stopped after {trainer.step} steps and saved; nothing was evaluated\n"
            f"go on with: orefield {command} {shlex.quote(str(folder))}"
        )
        return stop.exit_code
    test = run.evaluate(progress=True)
    if run.maps is not None:
        say(f"mining maps: {folder}/mining_maps/overlay.png, strip.png and kept.png")
    say(f"trained {trainer.step} steps in {trainer.seconds:.1f} s")
    if test is None:
        say("the scene has no test views: nothing to evaluate")
    else:
        say(f"test: {told(test, run.config.lpips)}, mean of all test views")
    say(f"see {folder}/report.html, and beside it renders/, plots/ and metrics.json")
    return 0


def _serve(
    viewer: "Viewer", step: StepStats, run: TrainingRun, stop: StopRequest
) -> "Viewer | None":
    """Serve the pages after a step; None, with a warning, where the viewer has failed."""
    try:
        viewer.after_step(step, run.trainer.progress(), stop.is_set)
    except Exception as error:  # whatever it is, the training is worth more
        warnings.warn(f"the viewer has stopped: {error!r}; training goes on", stacklevel=2)
        return None
    return viewer


def _say_somewhere(text: str) -> None:
    """Print where somebody may still read it; what cannot be written is dropped."""
    for stream in (sys.stdout, sys.stderr):
        try:
            say(text, stream)
            return
        except OSError:
            with suppress(OSError):  # what is still buffered would fail again at exit
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """An error like another, where rich would end the process."""
        raise BrokenPipeError(errno.EPIPE, "nobody reads the output")


class LiveLine:
    """Step, seconds left, training PSNR, rays a second, samples evaluated and kept, memory."""

    def __init__(self, config: RunConfig, console: Console | None = None) -> None:
        self.config = config
        self.console = console or _Console(highlight=False)
        self.live = Live(console=self.console, auto_refresh=False) if self._tty else None
        self.shown = monotonic()
        self.before = 0.0
        self.mean: dict[str, float] = {}
        self.text = ""
        self.lost = False
        """Whether nobody reads the line any more: a closed pipe or terminal."""

    @property
    def _tty(self) -> bool:
        return self.console.is_terminal

    def __enter__(self) -> "LiveLine":
        if self.live:
            self._draw(self.live.start)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.live:
            last = Text(self.text)
            self._draw(partial(self.live.update, last, refresh=True))
            self._draw(self.live.stop)
        elif self.text:
            self._draw(partial(self.console.print, self.text, soft_wrap=True))

    def show(self, step: StepStats) -> None:
        """Take in a step; redraw the line now and then."""
        took = step.seconds - self.before
        self.before = step.seconds
        if step.step == 1 or not self.mean:
            took = step.seconds / max(step.step, 1)
        self._average("seconds", took)
        for name in ("rays", "evaluated", "kept"):
            self._average(name, float(getattr(step, name)))
        if isfinite(step.loss):
            self._average("mse", step.loss)
        self.text = self._line(step)
        wait = _REDRAW if self.live else _PRINT
        if monotonic() - self.shown < wait:
            return
        self.shown = monotonic()
        if self.live:
            line = Text(self.text, no_wrap=True, overflow="ellipsis")
            self._draw(partial(self.live.update, line, refresh=True))
        else:
            self._draw(partial(self.console.print, self.text, soft_wrap=True))

    def _draw(self, draw: Callable[[], object]) -> None:
        """A line that cannot be written never ends the training by itself."""
        try:
            draw()
        except OSError as error:
            # A file on a full disk may be written again later; a pipe or a terminal may not.
            self.lost |= error.errno not in (errno.ENOSPC, errno.EDQUOT)

    def _average(self, name: str, value: float) -> None:
        old = self.mean.get(name, value)
        self.mean[name] = _MEMORY * old + (1 - _MEMORY) * value

    def _line(self, step: StepStats) -> str:
        mean = self.mean
        left = self.config.seconds - step.seconds
        if self.config.steps:
            left = (self.config.steps - step.step) * mean["seconds"]
        kept = 100 * mean["kept"] / max(mean["evaluated"], 1)
        memory = resident_bytes()
        # Fits 80 columns up to step 9999.
        parts = [
            f"step {step.step}",
            f"{max(left, 0):.0f}s left",
            f"train {mse_to_psnr(mean.get('mse', nan)):.2f} dB",
            f"{_thousands(mean['rays'] / max(mean['seconds'], 1e-9))} rays/s",
            f"{_thousands(mean['evaluated'])} samples {kept:.0f}% kept",
            f"{memory / 2**30:.1f} GiB" if memory else "memory n/a",
        ]
        return "  ".join(parts)


def _thousands(value: float) -> str:
    return f"{value / 1e3:.1f}k" if value < 9950 else f"{value / 1e3:.0f}k"
