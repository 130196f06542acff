"""The race: several mining rules train side by side in one process, each on its own clock.

A machine's speed drifts by half between runs, so arms that run one after the other prove nothing.
Here they take turns in slices of about a second, and the order rotates each round. An arm's clock
runs only while it trains: selection and grid refresh inside, evaluation and compilation outside.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from orefield.config import RunConfig, changed
from orefield.evaluation.mining_maps import MiningMapRecorder
from orefield.evaluation.probe import PixelProbe
from orefield.evaluation.views import BACKGROUND, evaluate_views, summary
from orefield.runs.schedule import COMPARE_AT, MAP_AT, Schedule
from orefield.scenes.scene import Scene
from orefield.system.memory import working_memory
from orefield.training.trainer import Trainer

PROBE = 16_384
"""Test pixels rendered at each mark, the same for all arms. All views are rendered at the end."""


@dataclass
class RacePoint:
    """One evaluation of one arm."""

    seconds: float
    steps: int
    psnr: float
    kept_share: float
    """Share of evaluated samples kept since the last point."""
    rays: int
    peak_bytes: int | None
    """Resident memory of one step at its peak, above that before the step."""


@dataclass
class Arm:
    """One competitor and one seed, in training."""

    name: str
    seed: int
    trainer: Trainer
    points: list[RacePoint] = field(default_factory=list)
    evaluated: int = 0
    kept: int = 0
    maps: MiningMapRecorder | None = None
    """Where this arm keeps samples, if that is to be drawn."""
    mapping: Schedule = field(default_factory=lambda: Schedule(MAP_AT))

    def train_until(self, seconds: float) -> None:
        """Advance until this arm's own clock has reached `seconds`."""
        while self.trainer.seconds < seconds:
            stats = self.trainer.advance()
            self.evaluated, self.kept = self.evaluated + stats.evaluated, self.kept + stats.kept
        self.trainer.synchronize()

    def evaluate(self, probe: PixelProbe) -> RacePoint:
        """Score the test pixels and take one more, measured, step; its time is not counted."""
        trainer = self.trainer
        point = RacePoint(
            seconds=trainer.seconds,
            steps=trainer.step - len(self.points),
            psnr=probe.psnr(trainer.field, trainer.sampler),
            kept_share=self.kept / self.evaluated if self.evaluated else self.points[-1].kept_share,
            rays=trainer.rays,
            peak_bytes=None,
        )
        with trainer.untimed(), working_memory() as peak:
            trainer.advance()
        point.peak_bytes = peak.above_start
        self.evaluated = self.kept = 0
        self.points.append(point)
        if self.maps is not None and self.mapping.due(trainer.progress(), trainer.seconds):
            self.maps.record(last=self.mapping.finished)
        return point

    def facts(self, scene: Scene, background: float) -> dict[str, Any]:
        """This arm's result, as plain JSON types; renders every test view."""
        steps = self.trainer.step - len(self.points)  # without the measured steps
        field, sampler = self.trainer.field, self.trainer.sampler
        exposure = self.trainer.config.calibration.exposure
        views = evaluate_views(field, sampler, scene.test, background, exposure)
        test = summary([view.score for view in views])
        stages = {name: 1e3 * s / steps for name, s in self.trainer.timer.seconds.items()}
        return {
            "arm": self.name,
            "seed": self.seed,
            "steps": steps,
            "seconds": self.trainer.seconds,
            "ms_per_step": 1e3 * self.trainer.seconds / steps,
            "ms_per_stage": stages,
            "test": {"psnr": test["psnr"], "ssim": test["ssim"]},
            "points": [vars(point) for point in self.points],
        }


def race(
    scene: Scene,
    config: RunConfig,
    names: Sequence[str],
    seeds: Sequence[int],
    slice_seconds: float = 1.0,
    tell: Callable[[Arm, RacePoint], None] = lambda arm, point: None,
    show: Callable[[list[Arm]], None] | None = None,
) -> Iterator[list[dict[str, Any]]]:
    """Race the arms for `config.seconds` each, once per seed; yields the facts of a seed's arms.

    An arm is a mining rule and, behind a colon, what else it changes: `hsm:optim.lr=0.01`. Else all
    arms share the configuration, and those of a seed start from the same parameters. `show` gets
    the first seed's arms at their end, with their mining maps.
    Raises ValueError when the scene has no test view or an arm is not understood.
    """
    if not scene.test:
        raise ValueError(f"scene {scene.name}: a race needs at least one test view")
    probe = PixelProbe(scene, BACKGROUND[config.eval_background], PROBE)
    background = BACKGROUND[config.eval_background]
    for seed in seeds:
        arms = [Arm(name, seed, Trainer(scene, arm_config(config, name, seed))) for name in names]
        if show is not None and seed == seeds[0]:
            for arm in arms:
                arm.maps = MiningMapRecorder(arm.trainer, scene, background)
        _run(arms, config.seconds, slice_seconds, probe, tell)
        if show is not None and seed == seeds[0]:
            show(arms)
        yield [arm.facts(scene, background) for arm in arms]


def arm_config(config: RunConfig, name: str, seed: int) -> RunConfig:
    """The configuration of one arm: see `race`."""
    rule, _, changes = name.partition(":")
    return changed(replace(config, seed=seed, steps=0), f"mining.rule={rule},{changes}")


def _run(
    arms: list[Arm],
    seconds: float,
    slice_seconds: float,
    probe: PixelProbe,
    tell: Callable[[Arm, RacePoint], None],
) -> None:
    marks = [share * seconds for share in COMPARE_AT]
    for turn in count(1):
        goal = min(turn * slice_seconds, seconds)
        first = turn % len(arms)
        for arm in arms[first:] + arms[:first]:
            # Stop at each mark on the way, so that every arm is scored at the same times.
            while len(arm.points) < len(marks) and marks[len(arm.points)] <= goal:
                arm.train_until(marks[len(arm.points)])
                tell(arm, arm.evaluate(probe))
            arm.train_until(goal)
        if goal >= seconds:
            return
