"""Training: steps in a loop, their clock, and everything needed to go on after a stop."""

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import torch

from orefield.config import RunConfig, chosen, resolve_preset
from orefield.errors import OrefieldError
from orefield.fields import make_field
from orefield.samplers import camera_coverage, make_sampler
from orefield.scenes import PixelSampler, Scene
from orefield.system.devices import resolve_device, synchronize, use_device
from orefield.training.batches import RayBatchSampler
from orefield.training.camera_optimizer import CameraOptimizer
from orefield.training.cuda_graph import FixedStep, Replay, Report, has_fixed_shapes
from orefield.training.health import TrainingHealth, check_scene, constant_color_mse
from orefield.training.optimizer import Optimizer
from orefield.training.step import EARLY_BELOW, TrainingStep
from orefield.training.timer import StageTimer

_FIRST_RAYS = 1024
_MOST_RAYS = 65_536
_FEWEST_SAMPLES = 256
_SETTLING = 16
"""Steps of fixed shapes at a run's start after each of which the number of rays adapts."""
_FILLED = 0.95
"""Share of a buffer of fixed size that the rays should fill: what overflows is lost."""


class StepStats(NamedTuple):
    """What one step did; with steps of fixed shapes on a GPU, what the last did that was read."""

    step: int
    """Steps so far, this one included."""
    seconds: float
    """Training time so far: neither evaluation nor compiling counts."""
    losses: dict[str, float]
    """Terms of the loss by name, weighted; `color` is the mean squared error over this step's rays
    and channels, over their random background. A step with a term that is not finite was skipped.
    """
    rays: int
    evaluated: int
    """Samples at which the field's density was evaluated."""
    kept: int
    """Samples back-propagated through."""
    lr: float

    @property
    def loss(self) -> float:
        """The term `color`."""
        return self.losses["color"]


class Trainer:
    """A run in progress: a function of its scene, its configuration and its number of steps."""

    def __init__(self, scene: Scene, config: RunConfig) -> None:
        """`self.config` is the configuration with its preset resolved (see config/presets.py).

        Raises SceneError where the scene lacks what the settings need.
        """
        config, _ = resolve_preset(config, scene.facts)
        self.config, self.device = config, resolve_device(config.device)
        use_device(self.device, config.deterministic)
        check_scene(config, scene)
        self.generator = torch.Generator(self.device).manual_seed(config.seed)
        self.field = make_field(config.field, config.seed, self.device)
        covered = None
        if config.sampler.kind == "occupancy":
            cameras = [(view.camera, view.pose) for view in scene.train]
            extent, resolution = scene.background_extent, config.sampler.resolution
            covered = camera_coverage(cameras, resolution, scene.near, extent, scene.frustum)
        self.sampler = make_sampler(
            config, scene.near, scene.background_extent, self.device, covered, scene.frustum
        )
        about = len(scene.train), scene.unbounded, self.sampler.cube_rays
        self.cameras = CameraOptimizer(config.calibration, *about)
        self.cameras.to(self.device)
        self.fixed = has_fixed_shapes(config, self.device)
        """Whether steps have fixed shapes."""
        parts = self.field, self.sampler, self.cameras
        self.optimizer = Optimizer(*parts, config.optim.lr, self.fixed)
        pixels = PixelSampler(scene.train, self.device)
        self.batches = RayBatchSampler(pixels, config, self.generator)
        self.step, self.seconds, self.skipped = 0, 0.0, 0
        self.rays, self.timer = _FIRST_RAYS, StageTimer()
        self.samples = chosen(config.optim.target_samples, "optim.target_samples")
        """Samples aimed at per step: fewer than configured after the memory ran out."""
        self.training_step = TrainingStep(
            config,
            self.batches,
            *parts,
            self.generator,
            self.timer,
            self.samples if self.fixed else None,
        )
        self.replay: Replay | None = None
        self._known: Report | None = None
        """Of the last step of fixed shapes that was read."""
        self._read = True
        """Whether the last step was."""
        worst = constant_color_mse(pixels, config.optim.background, self.device)
        self.health = TrainingHealth(worst, config, self.field, self.cameras, self.sampler)

    def progress(self) -> float:
        """Share of the run's budget used, in [0, 1]."""
        config = self.config
        done = self.step / config.steps if config.steps else self.seconds / config.seconds
        return min(done, 1.0)

    def lr(self) -> float:
        """Linear warm-up; exponential decay over the rest of the budget after `decay_from`."""
        optim = self.config.optim
        rise = min((self.step + 1) / max(optim.warmup, 1), 1.0)
        fallen = max(self.progress() - optim.decay_from, 0.0) / (1 - optim.decay_from)
        return float(optim.lr * rise * optim.lr_final**fallen)

    def advance(self) -> StepStats:
        """One training step; where a GPU's memory runs out, with half the samples from then on.

        Raises TrainingError where steps have not been finite for long; the step is whole then.
        """
        begun = time.perf_counter()
        self.timer.start()
        drawn, lr, done = self.rays, self.lr(), None
        while done is None:
            with suppress(torch.cuda.OutOfMemoryError):
                self.sampler.update(self.step, self.field.density, self.generator)
                self.timer.mark("refresh")
                self.cameras.update(self.step)
                self.optimizer.set_lr(lr)
                done = self._fixed_step() if self.fixed else self._free_step()
            if done is None:
                self._halve()
        self.batches.update(self.step)
        self.step += 1
        self.seconds += time.perf_counter() - begun
        if self._read:
            self.health.record(self.step, self.skipped, done[0])
        return StepStats(self.step, self.seconds, done[0], drawn, *done[1:], lr)

    def synchronize(self) -> None:
        """Wait until the device has done what was asked of it; this counts as training time."""
        begun = time.perf_counter()
        synchronize(self.device)
        self.seconds += time.perf_counter() - begun

    @contextmanager
    def untimed(self) -> Iterator[None]:
        """Steps inside the block leave the clock and the stages' times as they were."""
        seconds, stages = self.seconds, dict(self.timer.seconds)
        try:
            yield
        finally:
            self.seconds, self.timer.seconds = seconds, stages

    def rehearse(self) -> None:
        """A step with all that comes later in a run, so that its kernels are compiled."""
        self.training_step.early_termination = self.config.mining.terminates_early
        self.step = max(self.step, self.config.calibration.poses_after)
        self.advance()

    def state_dict(self) -> dict[str, Any]:
        """Nested tensors, not copied, and JSON values: what exact resume needs."""
        if self.replay:
            self.skipped = self.replay.step.read().skipped
        return {
            "field": self.field.state_dict(),
            "sampler": self.sampler.state_dict(),
            "cameras": self.cameras.state_dict(),
            "batches": self.batches.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "training_step": self.training_step.state_dict(),
            "generator": self.generator.get_state(),
            "device": self.device.type,
            "samples": self.samples,
            "step": self.step,
            "seconds": self.seconds,
            "skipped": self.skipped,
            "rays": self.rays,
            "stages": self.timer.seconds,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`; the run goes on bit for bit on the same type of device.

        Raises KeyError, ValueError or RuntimeError where the state does not fit.
        """
        self.field.load_state_dict(state["field"])
        self.sampler.load_state_dict(state["sampler"])
        self.cameras.load_state_dict(state["cameras"])
        self.batches.load_state_dict(state["batches"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.training_step.load_state_dict(state["training_step"])
        self.step, self.seconds = state["step"], state["seconds"]
        self.skipped, self.rays = state["skipped"], state["rays"]
        self.health.start_at(self.step, self.skipped)
        self.timer.seconds = dict(state["stages"])
        self._aim_at(state["samples"])
        if state["device"] == self.device.type:
            self.generator.set_state(state["generator"])
        else:
            self.generator.manual_seed((self.config.seed << 32) + self.step)
            place = f"stopped on {state['device']}, goes on on {self.device.type}"
            warnings.warn(f"{place}: with other random numbers than there", stacklevel=2)

    def _free_step(self) -> tuple[dict[str, float], int, int]:
        """A step whose shapes follow the data; losses, samples evaluated, samples kept."""
        result = self.training_step(self.rays)
        losses = {name: float(value) for name, value in result.terms.items()}
        if bool(result.finite) and bool(self.optimizer.gradients_are_finite()):
            self.optimizer.apply()
        else:
            self.skipped += 1
            self.optimizer.clear()
        self.timer.mark("optimizer")
        if result.visible is not None:
            self._terminate_early_if_it_pays(float(result.visible))
        evaluated, kept = int(result.evaluated), int(result.kept)
        self.rays = self._next_rays(evaluated, self.samples)
        return losses, evaluated, kept

    def _fixed_step(self) -> tuple[dict[str, float], int, int]:
        """A step of fixed shapes; what it returns is read from the device now and then only."""
        if self.replay is None:
            step = FixedStep(self.training_step, self.optimizer, self.skipped)
            self.replay = Replay(step, self.config.cuda_graph)
        elif self.step == self.config.calibration.poses_after:
            self.replay.restart()  # from here on poses are learned
        self.replay(self.rays)
        self.timer.mark("backward")
        adapts = (
            self.step < _SETTLING or (self.step + 1) % self.config.fixed_shapes.adapt_every == 0
        )
        self._read = adapts or self._known is None
        if self._known is None or self._read:
            self._known = self.replay.step.read()
            self.skipped = self._known.skipped
        if adapts:
            wanted = self._next_rays(self._known.marched, int(_FILLED * self.samples))
            # A new number of rays is a new graph: not for a few.
            self.rays = wanted if abs(wanted / self.rays - 1) > 1 - _FILLED else self.rays
            self._terminate_early_if_it_pays(self._known.visible)
        known = self._known
        return known.losses, min(known.marched, self.samples), known.kept

    def _terminate_early_if_it_pays(self, visible: float) -> None:
        if visible < EARLY_BELOW:
            self.training_step.early_termination = True
            if self.replay is not None:
                self.replay.restart()

    def _halve(self) -> None:
        """Give back what a step that did not fit has taken, and aim at half as many samples."""
        if self.samples < 2 * _FEWEST_SAMPLES:
            raise OrefieldError(f"{self.device}: no memory even for {self.samples} samples a step")
        if self.samples == self.config.optim.target_samples:
            warnings.warn(f"{self.device} is out of memory: steps get fewer samples", stacklevel=3)
        self._aim_at(self.samples // 2)
        self.rays = max(self.rays // 2, 64)
        self.optimizer.clear()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _aim_at(self, samples: int) -> None:
        """So many samples a step from now on; a step of fixed shapes is built anew."""
        self.samples, self.replay, self._known = samples, None, None
        self.training_step.capacity = samples if self.fixed else None

    def _next_rays(self, evaluated: int, samples: int) -> int:
        """As many rays as would have met the sample target."""
        wanted = self.rays * samples / max(evaluated, 1)
        return int(min(max(wanted, self.rays / 2, 64), self.rays * 2, _MOST_RAYS))


def fit(trainer: Trainer) -> Iterator[StepStats]:
    """Train until the budget is used, yielding after each step.

    Raises TrainingError where nothing is learned any more; the trainer may be saved all the same.
    """
    while trainer.progress() < 1:
        yield trainer.advance()
    trainer.synchronize()
    trainer.health.tell_end()


def warm_up(scene: Scene, config: RunConfig) -> float:
    """Compile every kernel a run needs, on a throw-away trainer; the seconds it took."""
    begun = time.perf_counter()
    trainer = Trainer(scene, config)
    for _ in range(2):
        trainer.advance()
    trainer.rehearse()
    return time.perf_counter() - begun
