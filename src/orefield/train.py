"""Training: one step, the loop over steps, and everything needed to go on after a stop.

The steps themselves are in step.py and static_step.py.
"""

import math
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import torch
from torch import Tensor

from orefield.batch import Batches
from orefield.calibration import Calibration, check_depths
from orefield.config import RunConfig
from orefield.devices import resolve_device, synchronise, use_device
from orefield.errors import OrefieldError
from orefield.fields import make_field
from orefield.look import Outlook
from orefield.mining import Budget
from orefield.optim import Optimiser
from orefield.presets import settle
from orefield.samplers import OccupancySampler, make_sampler, seen_cells
from orefield.scenes import PixelBank, Scene
from orefield.static_step import Replay, Report, StaticStep, has_static_step
from orefield.step import Step, Stopwatch

_FIRST_RAYS = 1024
_MOST_RAYS = 65_536
_FEWEST_SAMPLES = 256
_SETTLING = 16
"""Steps of fixed shapes at a run's start after each of which the number of rays adapts."""
_FILLED = 0.95
"""Share of a buffer of fixed size that the rays should fill: what overflows is lost."""


class StepStats(NamedTuple):
    """What one step did; on a GPU with steps of fixed shapes, what the last did that was read."""

    step: int
    """Steps so far, this one included."""
    seconds: float
    """Training time so far: neither evaluation nor compiling counts."""
    loss: float
    """Mean squared error over this step's rays and channels."""
    psnr: float
    """Of this step's rays, over their random background, in dB."""
    rays: int
    marched: int
    """Samples the field was evaluated at."""
    kept: int
    """Samples back-propagated through."""
    lr: float


class Trainer:
    """A run in progress: a function of its scene, its configuration and its number of steps."""

    def __init__(self, scene: Scene, config: RunConfig) -> None:
        """`self.config` is the configuration with its preset settled (see presets.py)."""
        config, _ = settle(config, scene)
        self.config, self.device = config, resolve_device(config.device)
        use_device(self.device, config.deterministic)
        check_depths(config, scene)
        self.generator = torch.Generator(self.device).manual_seed(config.seed)
        self.bank = PixelBank(scene.train, self.device)
        self.field = make_field(config.field, config.seed, self.device)
        seen = None
        if config.sampler.kind == "occupancy":
            cameras = [(view.camera, view.pose) for view in scene.train]
            seen = seen_cells(cameras, config.sampler.resolution, scene.near, scene.extent)
        self.sampler = make_sampler(config, scene.near, scene.extent, seen).to(self.device)
        self.optimiser = Optimiser(self.field, self.sampler.parameters())
        self.step, self.seconds, self.skipped = 0, 0.0, 0
        self.rays, self.watch = _FIRST_RAYS, Stopwatch()
        self.calibration = Calibration(config, len(scene.train), scene.extent, self.device)
        self.batches = Batches(self.bank, config, self.generator)
        parts = self.batches, self.field, self.sampler, self.generator
        self.dynamic = Step(config, *parts, self.calibration, self.watch)
        self.samples = config.optim.samples
        """Samples aimed at per step: fewer than configured after the memory ran out."""
        self.static = has_static_step(config, self.field, self.device)
        self.replay: Replay | None = None
        self._known: Report | None = None

    def progress(self) -> float:
        """Share of the run's budget used, in [0, 1]."""
        config = self.config
        done = self.step / config.steps if config.steps else self.seconds / config.seconds
        return min(done, 1.0)

    def lr(self) -> float:
        """Linear warm-up, then exponential decay over the run's budget of time or steps."""
        optim = self.config.optim
        rise = min((self.step + 1) / max(optim.warmup, 1), 1.0)
        return float(optim.lr * rise * optim.lr_final ** self.progress())

    def advance(self) -> StepStats:
        """One training step; where a GPU's memory runs out, with half the samples from then on."""
        begun = time.perf_counter()
        self.watch.start()
        drawn, lr, done = self.rays, self.lr(), None
        while done is None:
            with suppress(torch.cuda.OutOfMemoryError):
                self.sampler.update(self.step, self.field.density, self.generator)
                self.watch.mark("refresh")
                done = self._static_step(lr) if self.static else self._step(lr)
            if done is None:
                self._halve()
        loss, evaluated, kept = done
        self.batches.settle()
        self.step += 1
        self.seconds += time.perf_counter() - begun
        psnr = -10 * math.log10(max(loss, 1e-12)) if math.isfinite(loss) else math.nan
        return StepStats(self.step, self.seconds, loss, psnr, drawn, evaluated, kept, lr)

    def settle(self) -> None:
        """Wait until the device has done what was asked of it; this counts as training time."""
        begun = time.perf_counter()
        synchronise(self.device)
        self.seconds += time.perf_counter() - begun

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON facts from which `restore` goes on exactly."""
        self.optimiser.catch_up()
        tensors = {
            **{f"field.{name}": value for name, value in self.field.state_dict().items()},
            **{f"sampler.{name}": value for name, value in self.sampler.state().items()},
            **{f"optimiser.{name}": value for name, value in self.optimiser.state().items()},
            **{f"calibration.{name}": value for name, value in self.calibration.state().items()},
            **{f"batches.{name}": value for name, value in self.batches.state().items()},
            "generator": self.generator.get_state(),
        }
        if self.replay:
            self.skipped = int(self.replay.step.read().skipped)
        budget = self.dynamic.budget
        facts = {
            "device": self.device.type,
            "samples": self.samples,
            "step": self.step,
            "seconds": self.seconds,
            "skipped": self.skipped,
            "rays": self.rays,
            "outlook": list(self.dynamic.outlook),
            "ahead": self.dynamic.ahead,
            "optimiser_steps": self.optimiser.steps,
            "budget": budget._asdict() if budget else None,
            "stages": self.watch.seconds,
        }
        return tensors, facts

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Take over a saved state; raises KeyError or ValueError where it does not fit."""

        def part(prefix: str) -> dict[str, Tensor]:
            return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}

        self.field.load_state_dict(part("field."))
        self.sampler.restore(part("sampler."))
        self.optimiser.restore(part("optimiser."), facts["optimiser_steps"])
        self.calibration.restore(part("calibration."))
        self.batches.restore(part("batches."))
        self.step, self.seconds = facts["step"], facts["seconds"]
        self.skipped, self.rays = facts["skipped"], facts["rays"]
        self.samples, self.replay, self._known = facts["samples"], None, None
        if facts["device"] == self.device.type:
            self.generator.set_state(tensors["generator"])
        else:
            self.generator.manual_seed((self.config.seed << 32) + self.step)
            place = f"stopped on {facts['device']}, goes on on {self.device.type}"
            warnings.warn(f"{place}: with other random numbers than there", stacklevel=2)
        self.dynamic.outlook, self.dynamic.ahead = Outlook(*facts["outlook"]), facts["ahead"]
        self.watch.seconds = dict(facts["stages"])
        self.dynamic.budget = Budget(**facts["budget"]) if facts["budget"] else None

    def _step(self, lr: float) -> tuple[float, int, int]:
        """A step whose shapes follow the data; loss, samples evaluated, samples kept."""
        loss, evaluated, kept = self.dynamic(self.rays)
        if math.isfinite(loss):
            self.optimiser.step(lr)
            self.calibration.step(lr / self.config.optim.lr)
        else:
            self.skipped += 1
        self.watch.mark("optimise")
        self.rays = self._next_rays(evaluated, self.samples)
        return loss, evaluated, kept

    def _static_step(self, lr: float) -> tuple[float, int, int]:
        """A step of fixed shapes; what it returns is read from the device now and then only."""
        if self.replay is None:
            assert isinstance(self.sampler, OccupancySampler)
            parts = self.batches, self.field, self.sampler, self.generator
            step = StaticStep(self.config, *parts, self.samples)
            step.report[-1] = self.skipped
            rate = torch.zeros((), device=self.device)

            def optimise() -> None:
                self.optimiser.step_replayed(rate, step.good)

            self.replay, self._rate = Replay(step, self.config.cuda_graph, optimise), rate
        self._rate.fill_(lr)
        self.replay.step.follow()
        self.replay(self.rays)
        self.watch.mark("backward")
        adapts = self.step < _SETTLING or (self.step + 1) % self.config.static.adapt_every == 0
        if adapts or self._known is None:
            self._known = self.replay.step.read()
            self.skipped = int(self._known.skipped)
        if adapts:
            wanted = self._next_rays(int(self._known.marched), int(_FILLED * self.samples))
            # A new number of rays is a new graph: not for a few.
            self.rays = wanted if abs(wanted / self.rays - 1) > 1 - _FILLED else self.rays
        report = self._known
        return report.loss, min(int(report.marched), self.samples), int(report.kept)

    def _halve(self) -> None:
        """Give back what a step that did not fit has taken, and aim at half as many samples."""
        if self.samples < 2 * _FEWEST_SAMPLES:
            raise OrefieldError(f"{self.device}: no memory even for {self.samples} samples a step")
        if self.samples == self.config.optim.samples:
            warnings.warn(f"{self.device} is out of memory: steps get fewer samples", stacklevel=3)
        self.samples, self.rays, self.replay = self.samples // 2, max(self.rays // 2, 64), None
        self.optimiser.forget()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _next_rays(self, marched: int, samples: int) -> int:
        """As many rays as would have met the sample target."""
        wanted = self.rays * samples / max(marched, 1)
        return int(min(max(wanted, self.rays / 2, 64), self.rays * 2, _MOST_RAYS))


def fit(trainer: Trainer) -> Iterator[StepStats]:
    """Train until the budget is used, yielding after each step."""
    while trainer.progress() < 1:
        yield trainer.advance()
    trainer.settle()


def warm_up(scene: Scene, config: RunConfig) -> float:
    """Compile every kernel a run needs, on a throw-away trainer; the seconds it took."""
    begun = time.perf_counter()
    trainer = Trainer(scene, config)
    for _ in range(2):
        trainer.advance()
    # What comes later in a run has kernels of its own: looking ahead, and poses that are learnt.
    trainer.dynamic.ahead = trainer.config.mining.looks_ahead
    trainer.calibration.steps = trainer.config.calibration.poses_after
    trainer.advance()
    return time.perf_counter() - begun
