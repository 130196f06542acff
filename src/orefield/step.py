"""The training step whose shapes follow the data.

Look along the rays without a graph, carry the pixel loss back to the field's raw outputs in closed
form, let the mining rule choose, and have the field learn from the chosen. `plain` learns from all,
`pruned` from those that light reaches.
"""

import math
import time
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from orefield.batch import Batch, Batches, PixelLoss, pixel_loss
from orefield.calibration import Calibration
from orefield.config import RunConfig
from orefield.fields import FrequencyField, NgpField
from orefield.look import FIRST_OUTLOOK, bright, look_ahead, look_everywhere, outlook
from orefield.mining import Budget, hardness, select
from orefield.ops.look import Look
from orefield.ops.visibility import DARK, visibility
from orefield.samplers import OccupancySampler, ProposalSampler
from orefield.types import Rays, some

STAGES = (
    "draw", "look", "propose", "shade", "composite", "select", "backward", "optimise", "refresh",
)  # fmt: skip

AHEAD_BELOW = 2 / 3
"""Looking ahead, which costs more for each sample asked about, pays where light reaches a smaller
share of the samples than this."""


class Stopwatch:
    """Seconds spent so far in each stage of the step."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self.start()

    def start(self) -> None:
        """What follows belongs to the stage marked next."""
        self._lap = time.perf_counter()

    def mark(self, stage: str) -> None:
        """The time since the last mark went into `stage`."""
        now = time.perf_counter()
        self.seconds[stage] += now - self._lap
        self._lap = now


class Learnt(NamedTuple):
    """What a step did."""

    loss: float
    """Mean squared error; where it is not finite, nothing was learnt."""
    evaluated: int
    """Samples the field was asked about."""
    kept: int
    """Samples back-propagated through."""


class Step:
    """Gradients of one batch into the parameters' `.grad`."""

    def __init__(
        self,
        config: RunConfig,
        batches: Batches,
        field: NgpField | FrequencyField,
        sampler: OccupancySampler | ProposalSampler,
        generator: torch.Generator,
        calibration: Calibration,
        watch: Stopwatch,
    ) -> None:
        self.config, self.batches, self.field, self.sampler = config, batches, field, sampler
        self.generator, self.calibration, self.watch = generator, calibration, watch
        self.budget: Budget | None = Budget()
        self.outlook = FIRST_OUTLOOK
        self.ahead = config.mining.first_forward == "seen"
        """Whether looks leave out what does not matter; once it pays they do for good."""

    def __call__(self, rays: int) -> Learnt:
        """Draw that many rays and learn from them."""
        batch = self.batches.draw(rays)
        self.watch.mark("draw")
        return self.learn(batch)

    def learn(self, batch: Batch) -> Learnt:
        """Learn from these rays."""
        rays = self.calibration.rays(batch)
        look = self._look(rays.detached())
        samples, codes = look.samples, self.field.directions(batch.rays.directions)
        self.watch.mark("look")
        with torch.no_grad():
            logits = self.field.shade(look.shape, codes, samples.ray)
        raw = torch.cat([look.shape[:, :1], logits], 1)
        self.watch.mark("shade")
        extra = self.calibration.extra(batch)
        pixels = pixel_loss(raw, samples, batch.target, batch.background, extra=extra)
        self.batches.note(batch, pixels.error)
        loss = float(pixels.loss)
        self.watch.mark("composite")
        if not math.isfinite(loss):
            return Learnt(loss, look.asked, 0)
        self.ahead = self.ahead or (self.config.mining.looks_ahead and _hidden(pixels))
        kept, wanted = self._choose(pixels.grad, look.asked)
        self.watch.mark("select")
        features = look.features
        if kept is not None:
            samples = some(samples, kept)
            features = None if features is None else features.index_select(1, kept)
        grad = self.field.learn(
            samples.positions, codes, samples.ray, wanted, features, self.calibration.moves_rays
        )
        self.calibration.learn(batch, rays, samples, grad, pixels)
        self.watch.mark("backward")
        return Learnt(loss, look.asked, len(samples))

    def _look(self, rays: Rays) -> Look:
        mining = self.config.mining
        if self.ahead and isinstance(self.sampler, OccupancySampler):
            ahead = self.field, self.sampler, rays, self.generator, mining.faintest
            look = look_ahead(*ahead, self.outlook)
            self.outlook = outlook(look)
            return look
        look = look_everywhere(self.field, self.sampler, rays, self.generator)
        if self.sampler.parameters():
            samples = look.samples
            weights = visibility(look.shape[:, 0], samples.dt, samples.spans).weights
            self.watch.mark("look")
            self.sampler.learn(samples, weights)
            self.watch.mark("propose")
        if self.ahead:
            return bright(look, mining.faintest)
        return bright(look) if mining.rule == "pruned" else look

    def _choose(
        self, grad: Float[Tensor, "samples 4"], asked: int
    ) -> tuple[Tensor | None, Float[Tensor, "kept 4"]]:
        """Which samples to learn from, None for all, and the gradients at their outputs."""
        mining = self.config.mining
        if mining.rule in ("plain", "pruned"):
            return None, grad
        g = hardness(grad)
        chosen, self.budget = select(mining, g, self.budget, self.generator, of=asked)
        return chosen.kept, weighted(grad[chosen.kept], chosen.weight)


def _hidden(pixels: PixelLoss) -> bool:
    """Whether so many of the samples lie in the dark that looking ahead pays."""
    reaching = pixels.behind + pixels.pixels.weights
    return float((reaching >= DARK).float().mean()) < AHEAD_BELOW


def weighted(
    grad: Float[Tensor, "samples 4"], weight: Float[Tensor, " samples"] | None
) -> Float[Tensor, "samples 4"]:
    """Each sample's gradient times its weight; None stands for ones."""
    return grad if weight is None else grad * weight[:, None]
