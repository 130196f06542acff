"""A run on the command line: a line of progress while it trains, Ctrl-C, and what came out."""

import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite, nan
from threading import Event
from time import monotonic
from types import FrameType, TracebackType

from rich.console import Console
from rich.live import Live
from rich.text import Text

from orefield.config import RunConfig
from orefield.evaluation.metrics import mse_to_psnr
from orefield.runs.loop import TrainingRun
from orefield.system.memory import resident_bytes
from orefield.training.trainer import StepStats

_REDRAW, _PRINT = 0.25, 5.0
_MEMORY = 0.95
"""Decay of the moving averages: about the last 20 steps count."""


def train_to_end(run: TrainingRun) -> int:
    """Train with a line of progress, evaluate, and say what was written; the exit code.

    The first Ctrl-C finishes the step, saves and says how to go on; the code is 130 then.
    """
    with interruptible() as interrupted, LiveLine(run.config) as line:
        for step in run.train(interrupted.is_set):
            line.show(step)
    trainer, folder = run.trainer, run.folder
    if trainer.progress() < 1:
        print(f"stopped after {trainer.step} steps and saved; nothing was evaluated")
        print(f"go on with: orefield resume {shlex.quote(str(folder))}")
        return 130
    test = run.evaluate(progress=True)
    if run.maps is not None:
        print(f"mining maps: {folder}/mining_maps/overlay.png, strip.png and kept.png")
    print(f"trained {trainer.step} steps in {trainer.seconds:.1f} s")
    if test is None:
        print("the scene has no test views: nothing to evaluate")
    else:
        print(f"test: {test['psnr']:.2f} dB PSNR, {test['ssim']:.4f} SSIM, mean of all test views")
    print(f"see {folder}/renders, {folder}/plots/psnr.png and {folder}/metrics.json")
    return 0


class LiveLine:
    """Step, seconds left, training PSNR, rays a second, samples evaluated and kept, memory."""

    def __init__(self, config: RunConfig, console: Console | None = None) -> None:
        self.config = config
        self.console = console or Console(highlight=False)
        self.live = Live(console=self.console, auto_refresh=False) if self._tty else None
        self.shown = monotonic()
        self.before = 0.0
        self.mean: dict[str, float] = {}
        self.text = ""

    @property
    def _tty(self) -> bool:
        return self.console.is_terminal

    def __enter__(self) -> "LiveLine":
        if self.live:
            self.live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.live:
            self.live.update(Text(self.text), refresh=True)
            self.live.stop()
        elif self.text:
            self.console.print(self.text, soft_wrap=True)

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
            self.live.update(Text(self.text, no_wrap=True, overflow="ellipsis"), refresh=True)
        else:
            self.console.print(self.text, soft_wrap=True)

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


@contextmanager
def interruptible() -> Iterator[Event]:
    """The event is set by the first Ctrl-C; a second one interrupts at once."""
    event = Event()
    before = signal.getsignal(signal.SIGINT)

    def handle(number: int, frame: FrameType | None) -> None:
        event.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, handle)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)
