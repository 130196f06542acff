"""The course of a training run, averaged over each hundredth of its budget."""

from dataclasses import asdict, dataclass, field, fields
from math import isfinite
from statistics import fmean
from typing import Any, Protocol, TypeVar, runtime_checkable

from orefield.errors import RunError
from orefield.evaluation.metrics import mse_to_psnr

_MOST = 2**53
"""No number of a history is larger, or less exact, than this."""


@runtime_checkable
class StepFacts(Protocol):
    """What one training step reports; `training.StepStats` is one."""

    @property
    def step(self) -> int:
        """Number of steps so far."""
        ...

    @property
    def seconds(self) -> float:
        """Training time so far."""
        ...

    @property
    def losses(self) -> dict[str, float]:
        """Terms of the loss; `color`, the mean squared error, is not finite in a skipped step."""
        ...

    @property
    def rays(self) -> int:
        """Rays in the step."""
        ...

    @property
    def evaluated(self) -> int:
        """Samples evaluated in the step."""
        ...

    @property
    def kept(self) -> int:
        """Samples that earned a backward pass."""
        ...


@dataclass(frozen=True)
class HistoryPoint:
    """Averages over the steps since the previous point."""

    step: int
    seconds: float
    train_psnr: float | None
    """PSNR of the training rays in dB; None when every step since was skipped."""
    losses: dict[str, float]
    """Mean of each term of the loss, weighted."""
    rays_per_step: float
    evaluated_per_step: float
    kept_share: float


@dataclass(frozen=True)
class Evaluation:
    """PSNR in dB of a fixed set of test pixels, while training."""

    step: int
    seconds: float
    test_psnr: float


@dataclass
class History:
    """A point for each hundredth of a run's budget, and the evaluations between them."""

    points: list[HistoryPoint] = field(default_factory=list)
    evaluations: list[Evaluation] = field(default_factory=list)
    _steps: list[StepFacts] = field(default_factory=list)
    """Steps since the last point."""
    _hundredths: int = 0
    """Of the budget, done at the last point."""

    def skip_to(self, share_of_budget: float) -> None:
        """Start there, as after a resume, whose budget may be a new one."""
        self._hundredths = 0
        self._passes_hundredth(share_of_budget)

    def add(self, step: StepFacts, share_of_budget: float) -> None:
        """Take in one step; `share_of_budget` in [0, 1] says how much of the run is done."""
        self._steps.append(step)
        if self._passes_hundredth(share_of_budget):
            self.close_point()

    def close_point(self) -> None:
        """Average the steps since the last point into a new one, if there are any."""
        if self._steps:
            self.points.append(self._average())
            self._steps.clear()

    def _passes_hundredth(self, share: float) -> bool:
        before = self._hundredths
        while share >= (self._hundredths + 1) / 100:
            self._hundredths += 1
        return self._hundredths > before

    def _average(self) -> HistoryPoint:
        """The point that the steps since the last one make."""
        steps, last = self._steps, self._steps[-1]
        evaluated = sum(s.evaluated for s in steps)
        finite = [s.losses for s in steps if isfinite(s.losses["color"])]
        names = dict.fromkeys(name for losses in finite for name in losses)
        means = {n: fmean(one[n] for one in finite if n in one) for n in names}
        losses = {name: mean for name, mean in means.items() if isfinite(mean)}
        return HistoryPoint(
            step=last.step,
            seconds=last.seconds,
            train_psnr=mse_to_psnr(losses["color"]) if finite else None,
            losses=losses,
            rays_per_step=sum(s.rays for s in steps) / len(steps),
            evaluated_per_step=evaluated / len(steps),
            kept_share=sum(s.kept for s in steps) / max(evaluated, 1),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; the steps since the last point make one more."""
        pending = [self._average()] if self._steps else []
        return {
            "points": [asdict(point) for point in [*self.points, *pending]],
            "evaluations": [asdict(evaluation) for evaluation in self.evaluations],
        }


def history_from_dict(values: dict[str, Any], origin: str) -> History:
    """The inverse of `History.to_dict`; RunError names `origin` when something does not fit."""
    points = _records(HistoryPoint, values.get("points"), f"{origin}: 'points'")
    evaluations = _records(Evaluation, values.get("evaluations"), f"{origin}: 'evaluations'")
    return History(points, evaluations)


Record = TypeVar("Record", HistoryPoint, Evaluation)


def _records(kind: type[Record], values: Any, where: str) -> list[Record]:
    """A list of JSON objects as instances of `kind`; RunError where one does not fit."""
    if not isinstance(values, list):
        raise RunError(f"{where} is missing or no list")
    expected = {part.name: part.type for part in fields(kind)}
    for index, value in enumerate(values):
        if not isinstance(value, dict) or value.keys() != expected.keys():
            raise RunError(f"{where}, number {index}: expected {', '.join(expected)}")
        for name, given in value.items():
            if not _fits(given, expected[name]):
                raise RunError(f"{where}, number {index}: '{name}' is {given!r}")
    return [kind(**value) for value in values]


def _fits(given: Any, kind: Any) -> bool:
    """Whether a JSON value is of a record's type, and finite."""
    if kind == dict[str, float]:
        return isinstance(given, dict) and all(_fits(one, float) for one in given.values())
    if kind is int:
        return type(given) is int and 0 <= given <= _MOST
    if given is None:
        return bool(kind == (float | None))
    return isinstance(given, float) and abs(given) <= _MOST
