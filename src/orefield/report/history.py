"""The course of a training run, thinned to what a plot can show."""

from dataclasses import asdict, dataclass, field
from math import isfinite
from statistics import fmean
from typing import Any, Protocol, runtime_checkable

from orefield.errors import RunError
from orefield.metrics import mse_to_psnr


@runtime_checkable
class Step(Protocol):
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
        """Mean squared error over the step's own rays; not finite when the step was skipped."""
        ...

    @property
    def rays(self) -> int:
        """Rays in the step."""
        ...

    @property
    def marched(self) -> int:
        """Samples marched in the step."""
        ...

    @property
    def kept(self) -> int:
        """Samples that earned a backward pass."""
        ...


@dataclass(frozen=True)
class Point:
    """Averages over the steps since the previous point."""

    step: int
    seconds: float
    train_psnr: float | None
    """None when every step since was skipped."""
    rays_per_step: float
    marched_per_step: float
    kept_share: float


@dataclass(frozen=True)
class Check:
    """Test quality while training, over a fixed set of test pixels."""

    step: int
    seconds: float
    test_psnr: float


@dataclass
class History:
    """About a hundred points over a run's budget, and the test checks between them."""

    points: list[Point] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    _steps: list[Step] = field(default_factory=list)

    def add(self, step: Step, share_of_budget: float) -> None:
        """Take in one step; `share_of_budget` in [0, 1] says how much of the run is done."""
        self._steps.append(step)
        if share_of_budget >= (len(self.points) + 1) / 100:
            self.close_point()

    def close_point(self) -> None:
        """Average the steps since the last point into a new one, if there are any."""
        if not self._steps:
            return
        steps, last, marched = (
            len(self._steps),
            self._steps[-1],
            sum(s.marched for s in self._steps),
        )
        losses = [s.loss for s in self._steps if isfinite(s.loss)]
        kept = sum(s.kept for s in self._steps)
        self.points.append(
            Point(
                step=last.step,
                seconds=last.seconds,
                train_psnr=mse_to_psnr(fmean(losses)) if losses else None,
                rays_per_step=sum(s.rays for s in self._steps) / steps,
                marched_per_step=marched / steps,
                kept_share=kept / max(marched, 1),
            )
        )
        self._steps.clear()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "points": [asdict(point) for point in self.points],
            "checks": [asdict(check) for check in self.checks],
        }


def history_from_dict(values: dict[str, Any], origin: str) -> History:
    """The inverse of `History.to_dict`; RunError names `origin` when something does not fit."""
    try:
        points = [Point(**point) for point in values["points"]]
        checks = [Check(**check) for check in values["checks"]]
    except (KeyError, TypeError) as error:
        raise RunError(f"{origin}: 'training' does not fit this version: {error}") from None
    return History(points, checks)
