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

from orefield.batch import Batch, draw, pixel_loss
from orefield.config import RunConfig
from orefield.fields import FrequencyField, NgpField
from orefield.look import FIRST_OUTLOOK, bright, look_ahead, look_everywhere, outlook
from orefield.mining import Budget, hardness, select
from orefield.ops.look import Look
from orefield.ops.visibility import visibility
from orefield.samplers import OccupancySampler, ProposalSampler
from orefield.scenes import PixelBank
from orefield.types import PackedSamples, Rays

STAGES = (
    "draw", "look", "propose", "shade", "composite", "select", "backward", "optimise", "refresh",
)  # fmt: skip


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
        bank: PixelBank,
        field: NgpField | FrequencyField,
        sampler: OccupancySampler | ProposalSampler,
        generator: torch.Generator,
        watch: Stopwatch,
    ) -> None:
        self.config, self.bank, self.field, self.sampler = config, bank, field, sampler
        self.generator, self.watch = generator, watch
        self.budget: Budget | None = Budget()
        self.outlook = FIRST_OUTLOOK
        proposes = config.sampler.kind == "proposal"
        self.distortion = config.proposal.distortion if proposes else 0.0

    def __call__(self, rays: int) -> Learnt:
        """Draw that many rays and learn from them."""
        batch = draw(self.bank, rays, self.generator, self.config.optim.background)
        self.watch.mark("draw")
        return self.learn(batch)

    def learn(self, batch: Batch) -> Learnt:
        """Learn from these rays."""
        look = self._look(batch.rays)
        samples, codes = look.samples, self.field.directions(batch.rays.directions)
        self.watch.mark("look")
        with torch.no_grad():
            logits = self.field.shade(look.shape, codes, samples.ray)
        raw = torch.cat([look.shape[:, :1], logits], 1)
        self.watch.mark("shade")
        loss, grad = pixel_gradient(raw, samples, batch.target, batch.background, self.distortion)
        self.watch.mark("composite")
        if not math.isfinite(loss):
            return Learnt(loss, look.asked, 0)
        kept, wanted = self._choose(grad, look.asked)
        self.watch.mark("select")
        positions, ray, features = samples.positions, samples.ray, look.features
        if kept is not None:
            positions, ray = positions.index_select(1, kept), ray[kept]
            features = None if features is None else features.index_select(1, kept)
        self.field.learn(positions, codes, ray, wanted, features)
        self.watch.mark("backward")
        return Learnt(loss, look.asked, len(ray))

    def _look(self, rays: Rays) -> Look:
        mining = self.config.mining
        if mining.looks_ahead and isinstance(self.sampler, OccupancySampler):
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
        if mining.looks_ahead:
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


def pixel_gradient(
    raw: Float[Tensor, "samples 4"],
    samples: PackedSamples,
    target: Float[Tensor, "rays 3"],
    background: Float[Tensor, "rays 3"],
    distortion: float = 0.0,
) -> tuple[float, Float[Tensor, "samples 4"]]:
    """`pixel_loss`, its loss read back from the device."""
    loss, grad = pixel_loss(raw, samples, target, background, distortion=distortion)
    return float(loss), grad


def weighted(
    grad: Float[Tensor, "samples 4"], weight: Float[Tensor, " samples"] | None
) -> Float[Tensor, "samples 4"]:
    """Each sample's gradient times its weight; None stands for ones."""
    return grad if weight is None else grad * weight[:, None]
