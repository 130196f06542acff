"""The race: several mining rules train side by side in one process, each on its own clock.

A machine's speed can drift by half between runs, so arms that run one after the other cannot be
compared. Here they take turns in slices of about a second, and the order rotates each round. An
arm's clock runs only while it trains: selection and grid refresh count, evaluation and compilation
do not.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from orefield.config import RunConfig, changed
from orefield.errors import SceneError
from orefield.evaluation.mining_maps import MiningMapRecorder
from orefield.evaluation.probe import PixelProbe
from orefield.evaluation.views import BACKGROUND, score_test_views
from orefield.runs.schedule import COMPARE_AT, MAP_AT, Schedule
from orefield.scenes.scene import Scene
from orefield.system.memory import working_memory
from orefield.training.trainer import Trainer

PROBE = 16_384
"""Test pixels rendered at each evaluation, the same for all arms. All views follow at the end."""


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
    """Peak resident memory of one step, above that before the step; None where unknown."""


@dataclass
class Arm:
    """One competing configuration with one seed, in training."""

    name: str
    seed: int
    trainer: Trainer
    points: list[RacePoint] = field(default_factory=list)
    evaluated: int = 0
    kept: int = 0
    maps: MiningMapRecorder | None = None
    """This arm's mining maps, if they are to be drawn."""
    mapping: Schedule = field(default_factory=lambda: Schedule(MAP_AT))

    def train_until(self, seconds: float) -> None:
        """Advance until this arm's own clock has reached `seconds`."""
        while self.trainer.seconds < seconds:
            stats = self.trainer.advance()
            self.evaluated, self.kept = self.evaluated + stats.evaluated, self.kept + stats.kept
        self.trainer.synchronize()

    def evaluate(self, probe: PixelProbe) -> RacePoint:
        """Score the test pixels, then measure the memory of one extra step, off the clock."""
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

    def facts(self, scene: Scene) -> dict[str, Any]:
        """This arm's result as plain JSON types; renders all test views."""
        trainer = self.trainer
        steps = trainer.step - len(self.points)  # without the extra ones
        test = score_test_views(trainer.field, trainer.sampler, scene, trainer.config)
        stages = {name: 1e3 * s / steps for name, s in trainer.timer.seconds.items()}
        return {
            "arm": self.name,
            "seed": self.seed,
            "steps": steps,
            "seconds": trainer.seconds,
            "ms_per_step": 1e3 * trainer.seconds / steps,
            "ms_per_stage": stages,
            "test": {name: mean for name, mean in test.items() if name != "views"},
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

    An arm is a mining rule and, after a colon, other settings it changes: `hsm:optim.lr=0.01`. All
    else is the same for all arms, and those of a seed start from the same parameters. `tell` is
    called after each evaluation, and `show` with the first seed's arms and their mining maps.
    Raises SceneError where the scene has no test view, ConfigError for an arm not understood.
    """
    if not scene.test:
        raise SceneError(f"scene {scene.name}: a race needs at least one test view")
    background = BACKGROUND[config.eval_background]
    probe = PixelProbe(scene, background, PROBE)
    for seed in seeds:
        arms = [Arm(name, seed, Trainer(scene, arm_config(config, name, seed))) for name in names]
        if show is not None and seed == seeds[0]:
            for arm in arms:
                arm.maps = MiningMapRecorder(arm.trainer, scene, background)
        _run(arms, config.seconds, slice_seconds, probe, tell)
        if show is not None and seed == seeds[0]:
            show(arms)
        yield [arm.facts(scene) for arm in arms]


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
            # Stop on the way wherever an evaluation is due: all arms have theirs at the same times.
            while len(arm.points) < len(marks) and marks[len(arm.points)] <= goal:
                arm.train_until(marks[len(arm.points)])
                tell(arm, arm.evaluate(probe))
            arm.train_until(goal)
        if goal >= seconds:
            return
