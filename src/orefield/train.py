"""Training: one step, the loop over steps, and everything needed to go on after a stop.

A step draws rays, looks along them without a graph, carries the pixel loss back to
the field's raw outputs in closed form, lets the mining rule choose, and runs the chosen again with
a graph. The rule `plain` needs no choice, so its one forward carries the graph from the start;
`pruned` chooses by light alone, so the one over what it kept does.
"""

import math
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from orefield.config import RunConfig
from orefield.fields import make_field
from orefield.look import Look, lit, look_ahead, look_everywhere
from orefield.mining import Budget, hardness, select
from orefield.ops.composite import composite_backward, composite_forward
from orefield.optim import Optimiser
from orefield.samplers import OccupancySampler, seen_cells
from orefield.scenes import PixelBank, Scene
from orefield.types import PackedSamples, Rays

_FIRST_RAYS = 1024
_MOST_RAYS = 65_536
STAGES = ("draw", "look", "shade", "composite", "select", "backward", "optimise", "refresh")


class StepStats(NamedTuple):
    """What one step did."""

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
        self.config = config
        self.generator = torch.Generator().manual_seed(config.seed)
        self.bank = PixelBank(scene.train)
        self.field = make_field(config.field, config.seed)
        cameras = [(view.camera, view.pose) for view in scene.train]
        seen = seen_cells(cameras, config.sampler.resolution, scene.near)
        self.sampler = OccupancySampler(config.sampler, scene.near, seen)
        self.optimiser = Optimiser(self.field)
        self.budget: Budget | None = Budget()
        self.step, self.seconds, self.skipped = 0, 0.0, 0
        self.rays = _FIRST_RAYS
        self.stages = dict.fromkeys(STAGES, 0.0)
        """Seconds spent so far in each stage of the step."""

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
        """One training step."""
        begun = self._lap = time.perf_counter()
        self.sampler.update(self.step, self.field.density, self.generator)
        self._mark("refresh")
        rays, target, background = self._batch()
        self._mark("draw")
        loss, evaluated, kept = self._learn(rays, target, background)
        lr = self.lr()
        if math.isfinite(loss):
            self.optimiser.step(lr)
        self._mark("optimise")
        drawn, self.rays = self.rays, self._next_rays(evaluated)
        self.step += 1
        self.seconds += time.perf_counter() - begun
        psnr = -10 * math.log10(max(loss, 1e-12)) if math.isfinite(loss) else math.nan
        return StepStats(self.step, self.seconds, loss, psnr, drawn, evaluated, kept, lr)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON facts from which `restore` goes on exactly."""
        tensors = {
            **{f"field.{name}": value for name, value in self.field.state_dict().items()},
            **{f"sampler.{name}": value for name, value in self.sampler.state().items()},
            **{f"optimiser.{name}": value for name, value in self.optimiser.state().items()},
            "generator": self.generator.get_state(),
        }
        facts = {
            "step": self.step,
            "seconds": self.seconds,
            "skipped": self.skipped,
            "rays": self.rays,
            "optimiser_steps": self.optimiser.steps,
            "budget": self.budget._asdict() if self.budget else None,
            "stages": self.stages,
        }
        return tensors, facts

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Take over a saved state; raises KeyError or ValueError where it does not fit."""

        def part(prefix: str) -> dict[str, Tensor]:
            return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}

        self.field.load_state_dict(part("field."))
        self.sampler.restore(part("sampler."))
        self.optimiser.restore(part("optimiser."), facts["optimiser_steps"])
        self.generator.set_state(tensors["generator"])
        self.step, self.seconds = facts["step"], facts["seconds"]
        self.skipped, self.rays = facts["skipped"], facts["rays"]
        self.stages = dict(facts["stages"])
        self.budget = Budget(**facts["budget"]) if facts["budget"] else None

    def _batch(self) -> tuple[Rays, Float[Tensor, "rays 3"], Float[Tensor, "rays 3"]]:
        rays, rgba = self.bank.sample(self.rays, self.generator)
        kind = self.config.optim.background
        if kind == "random":
            background = torch.rand(len(rays), 3, generator=self.generator)
        else:
            background = torch.full((len(rays), 3), 1.0 if kind == "white" else 0.0)
        alpha = rgba[:, 3:]
        return rays, rgba[:, :3] * alpha + background * (1 - alpha), background

    def _learn(self, rays: Rays, target: Tensor, background: Tensor) -> tuple[float, int, int]:
        """Gradients of this batch into the parameters.

        Returns the loss and the numbers of samples evaluated and kept.
        """
        codes = self.field.directions(rays.directions)
        mining = self.config.mining
        if mining.rule == "plain":
            samples, look = self.sampler(rays, self.generator), None
            self._mark("look")
            raw = self.field(samples.positions, codes, samples.ray)
            asked = len(samples)
        else:
            look = self._look(rays)
            samples, asked = look.samples, look.features.shape[1]
            # What lies behind the end of a ray that was cut is taken to be right.
            background = torch.where(look.cut[:, None], target, background)
            self._mark("look")
            raw = self._shade(look, codes)
        self._mark("shade")
        loss, grad = pixel_gradient(raw.detach(), samples, target, background)
        self._mark("composite")
        if not math.isfinite(loss):
            self.skipped += 1
            return loss, asked, 0
        if look is None or raw.requires_grad:
            raw.backward(grad)
            self._mark("backward")
            return loss, asked, len(samples)
        selection, self.budget = select(
            mining, hardness(grad), self.budget, self.generator, of=asked
        )
        self._mark("select")
        kept = selection.kept
        if len(kept):
            positions, ray = samples.positions[:, kept], samples.ray[kept]
            again = self.field(positions, codes, ray, look.known(kept))
            again.backward(weighted(grad[kept], selection.weight))
        self._mark("backward")
        return loss, asked, len(kept)

    def _look(self, rays: Rays) -> Look:
        mining = self.config.mining
        forward = look_ahead if mining.looks_ahead else look_everywhere
        look = forward(self.field, self.sampler, rays, self.generator)
        if mining.rule == "pruned":
            return lit(look)
        return lit(look, mining.faintest) if mining.looks_ahead else look

    def _shade(self, look: Look, codes: Tensor) -> Tensor:
        """Raw outputs; with a graph under `pruned`, which learns from everything that is lit."""
        samples = look.samples
        if self.config.mining.rule == "pruned":
            return self.field(samples.positions, codes, samples.ray, look.known())
        with torch.no_grad():
            logits = self.field.shade(look.shape, codes, samples.ray)
        return torch.cat([look.shape[:, :1], logits], 1)

    def _next_rays(self, marched: int) -> int:
        """As many rays as would have met the sample target."""
        wanted = self.rays * self.config.optim.samples / max(marched, 1)
        return int(min(max(wanted, self.rays / 2, 64), self.rays * 2, _MOST_RAYS))

    def _mark(self, stage: str) -> None:
        now = time.perf_counter()
        self.stages[stage] += now - self._lap
        self._lap = now


def pixel_gradient(
    raw: Float[Tensor, "samples 4"],
    samples: PackedSamples,
    target: Float[Tensor, "rays 3"],
    background: Float[Tensor, "rays 3"],
) -> tuple[float, Float[Tensor, "samples 4"]]:
    """Mean squared pixel error and its gradient at the raw outputs.

    No graph: with C = colour + (1 - opacity) background and e = dL/dC = 2 (C - target) / (3 rays),
    the gradients at colour and opacity are e and -e . background.
    """
    pixels, tape = composite_forward(raw, samples.t, samples.dt, samples.spans)
    error = pixels.colour + (1 - pixels.opacity)[:, None] * background - target
    e = error * (2 / max(error.numel(), 1))
    opacity = -(e * background).sum(1)
    grad = composite_backward(tape, raw, samples.t, samples.spans, e, opacity)
    return float((error * error).mean()), grad


def weighted(
    grad: Float[Tensor, "samples 4"], weight: Float[Tensor, " samples"] | None
) -> Float[Tensor, "samples 4"]:
    """Each sample's gradient times its weight; None stands for ones."""
    return grad if weight is None else grad * weight[:, None]


def fit(trainer: Trainer) -> Iterator[StepStats]:
    """Train until the budget is used, yielding after each step."""
    while trainer.progress() < 1:
        yield trainer.advance()


def warm_up(scene: Scene, config: RunConfig) -> float:
    """Compile every kernel a run needs, on a throw-away trainer; the seconds it took."""
    begun = time.perf_counter()
    trainer = Trainer(scene, config)
    for _ in range(2):
        trainer.advance()
    return time.perf_counter() - begun
