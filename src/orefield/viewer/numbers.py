"""The numbers of a training as they develop, for people."""

from math import isfinite, nan
from typing import Protocol, runtime_checkable

from orefield.evaluation.metrics import mse_to_psnr

_MEMORY = 0.95
"""Decay of the moving averages: about the last 20 steps count."""
_POINTS = 400
"""Points of a curve at most; of more every second is dropped."""


@runtime_checkable
class StepNumbers(Protocol):
    """What one training step reports."""

    @property
    def step(self) -> int:
        """Number of steps so far."""
        ...

    @property
    def seconds(self) -> float:
        """Training time so far."""
        ...

    @property
    def loss(self) -> float:
        """Mean squared error; not finite in a skipped step."""
        ...

    @property
    def evaluated(self) -> int:
        """Samples evaluated in the step."""
        ...

    @property
    def kept(self) -> int:
        """Samples that earned a backward pass."""
        ...


class LiveNumbers:
    """Moving averages over the steps, and their curves."""

    def __init__(self) -> None:
        self.step, self.seconds, self.progress = 0, 0.0, 0.0
        self.curve: list[tuple[float, float, float]] = []
        """Percent of the budget used, PSNR of the training rays in dB, percent of samples kept."""
        self._mean: dict[str, float] = {}
        self._every = 0.0
        """Percent of the budget between two points of the curve."""

    def add(self, step: StepNumbers, progress: float) -> None:
        """Take in one step; `progress` in [0, 1] is the share of the budget used."""
        self.step, self.seconds, self.progress = step.step, step.seconds, progress
        for name in ("evaluated", "kept"):
            self._average(name, float(getattr(step, name)))
        if isfinite(step.loss):
            self._average("loss", step.loss)
        if not self.curve or 100 * progress - self.curve[-1][0] >= self._every:
            self.curve.append((100 * progress, self.psnr, self.kept))
        if len(self.curve) > _POINTS:
            del self.curve[1::2]
            self._every = (self.curve[-1][0] - self.curve[0][0]) / len(self.curve)

    @property
    def psnr(self) -> float:
        """PSNR of the training rays in dB; NaN before the first finite step."""
        return mse_to_psnr(self._mean.get("loss", nan))

    @property
    def kept(self) -> float:
        """Percent of the evaluated samples that are kept."""
        return 100 * self._mean.get("kept", 0.0) / max(self._mean.get("evaluated", 0.0), 1.0)

    def text(self, viewers_share: float) -> str:
        """Two lines; `viewers_share` in [0, 1] is the part of the time that the viewer takes."""
        return (
            f"**{self.psnr:.2f} dB** on training rays, **{self.kept:.0f} %** of samples kept\n\n"
            f"step {self.step}, {self.seconds:.0f} s, {100 * self.progress:.0f} % of the budget; "
            f"viewer {100 * viewers_share:.0f} % of the time"
        )

    def _average(self, name: str, value: float) -> None:
        old = self._mean.get(name, value)
        self._mean[name] = _MEMORY * old + (1 - _MEMORY) * value
