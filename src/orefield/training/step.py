"""One training step, from photographs to gradients: what happens to the data, from top to bottom.

    rays and target colors  <- pixels of the photographs                   batches.draw
    samples and densities   <- rays, without a graph                       density_pass
    visible samples         <- early termination, or pruning               drop_occluded
    raw outputs             <- colors at what is left                      color_pass
    loss and dL/draw        <- volume rendering, closed-form backward      pixel_loss
    kept samples, weights   <- a rule looks at dL/draw                     keep_mask
    parameter gradients     <- the field, at the kept samples alone        accumulate_grad

Shapes follow the data, or, given a `capacity`, they are fixed and nothing is read from the device,
so that a GPU can replay the step as a graph. It is the same step.
"""

import math
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from orefield.config import RunConfig
from orefield.mining import hardness, initial_tau, keep_mask, kept_indices
from orefield.ops.compact import compact
from orefield.ops.transmittance import MIN_TRANSMITTANCE, transmittance
from orefield.rendering.density_pass import (
    BufferHints,
    DensityPass,
    color_pass,
    density_pass,
    drop_occluded,
    fixed_density_pass,
    next_hints,
)
from orefield.samplers import OccupancySampler
from orefield.training.batches import RayBatch, RayBatchSampler
from orefield.training.camera_optimizer import CameraOptimizer
from orefield.training.losses import LossWeights, PixelLoss, Target, pixel_loss
from orefield.training.timer import StageTimer
from orefield.types import Field, Rays, Sampler

EARLY_BELOW = 2 / 3
"""Early termination, which costs more for each sample evaluated, pays where a smaller share of the
samples than this is visible."""


class StepResult(NamedTuple):
    """What a step did; numbers are tensors on the device until somebody reads them."""

    terms: dict[str, Float[Tensor, ""]]
    """Terms of the loss by name, weighted."""
    finite: Tensor
    """Whether the sum of the terms is; where it is not, nothing is learned."""
    marched: int | Int[Tensor, ""]
    """Samples found by marching, those beyond the capacity included."""
    evaluated: int | Int[Tensor, ""]
    """Samples at which the density was evaluated."""
    kept: int | Int[Tensor, ""]
    """Samples back-propagated through."""
    visible: Float[Tensor, ""] | None
    """Share of the samples with T >= MIN_TRANSMITTANCE, until early termination has begun."""


class Kept(NamedTuple):
    """Samples to back-propagate through, and the gradients at their raw outputs."""

    indices: Int[Tensor, " kept"] | None
    """Among the samples of the density pass; None for all of them."""
    grad: Float[Tensor, "kept 4"]
    number: int | Int[Tensor, ""]


class TrainingStep:
    """Gradients of one batch into the parameters' `.grad`."""

    def __init__(
        self,
        config: RunConfig,
        batches: RayBatchSampler,
        field: Field,
        sampler: Sampler,
        cameras: CameraOptimizer,
        generator: torch.Generator,
        timer: StageTimer,
        capacity: int | None = None,
    ) -> None:
        """`capacity`: slots for marched samples, which fixes all shapes; None lets them vary."""
        self.config, self.batches, self.field, self.sampler = config, batches, field, sampler
        self.cameras, self.generator, self.timer = cameras, generator, timer
        self.capacity = capacity
        proposes = config.sampler.kind == "proposal"
        distortion = config.proposal.distortion if proposes else 0.0
        self.weights = LossWeights(config.calibration.depth, distortion)
        self.early_termination = config.mining.early_termination == "on"
        """Whether rays end early; once that pays they do for good."""
        self.sampler_learns = any(True for _ in sampler.parameters())
        self.hints = BufferHints()
        self.tau = initial_tau(generator.device)

    def __call__(self, rays: int) -> StepResult:
        """Draw that many rays and learn from them."""
        batch = self.batches.draw(rays)
        self.timer.mark("draw")
        return self.accumulate_grad(batch)

    def accumulate_grad(self, batch: RayBatch) -> StepResult:
        """Learn from these rays."""
        rays = self.cameras.corrected(batch.rays, batch.view)
        found, interlevel = self._density_pass(rays.detached())
        encoded_directions = self.field.encode_directions(batch.rays.directions)
        raw = color_pass(self.field, found, encoded_directions)
        self.timer.mark("color")
        loss = pixel_loss(raw, found.samples, self._target(batch, found), self.weights)
        terms = loss.terms if interlevel is None else {**loss.terms, "interlevel": interlevel}
        result = self._result(found, loss, terms)
        self._record(batch, found, loss.error)
        self.timer.mark("render")
        if self.capacity is None and not bool(result.finite):
            return result
        kept = self._choose(found, loss.grad, result.finite)
        self.timer.mark("choose")
        self._backward(batch, rays, found, encoded_directions, kept, loss)
        self.timer.mark("backward")
        return result._replace(kept=kept.number)

    def find_visible(self, rays: Rays, generator: torch.Generator) -> DensityPass:
        """The samples at which a step would evaluate colors; nothing is learned from them."""
        mining = self.config.mining
        least = mining.min_weight if self.early_termination else None
        return self._drop(density_pass(self.field, self.sampler, rays, generator, least))

    def state_dict(self) -> dict[str, Any]:
        """What the next step depends on beside parameters and random numbers."""
        early = self.early_termination
        return {"tau": self.tau, "early_termination": early, "hints": list(self.hints)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self.tau.copy_(state["tau"])
        self.early_termination = bool(state["early_termination"])
        self.hints = BufferHints(*map(int, state["hints"]))

    def _density_pass(self, rays: Rays) -> tuple[DensityPass, Tensor | None]:
        """The samples to evaluate colors at, and the loss of a sampler that learns."""
        least = self.config.mining.min_weight if self.early_termination else None
        if self.capacity is None:
            found = density_pass(
                self.field, self.sampler, rays, self.generator, least, self.hints, training=True
            )
        else:
            assert isinstance(self.sampler, OccupancySampler)  # see cuda_graph.py
            found = fixed_density_pass(
                self.field, self.sampler, rays, self.generator, self.capacity
            )
        self.timer.mark("density")
        if found.visible_only:
            self.hints = next_hints(found)
            return found, None
        interlevel = self._learn_proposals(found)
        return self._drop(found), interlevel

    def _learn_proposals(self, found: DensityPass) -> Tensor | None:
        """Have a sampler with parameters learn from the field's weights of all its samples."""
        if not self.sampler_learns:
            return None
        samples = found.samples
        along = transmittance(found.geometry[:, 0], samples.dt, samples.spans)
        loss = self.sampler.accumulate_grad(samples, along.weights)
        self.timer.mark("proposal")
        return loss

    def _drop(self, found: DensityPass) -> DensityPass:
        """Without occluded samples, where the rule or early termination leaves them out.

        A pass of fixed shapes gets buffers of fixed size; one by `find_visible` never has any.
        """
        early = self.early_termination
        if not early and self.config.mining.rule != "pruned":
            return found
        capacity = None
        if self.capacity is not None and found.number is not None:
            capacity = math.ceil(EARLY_BELOW * self.capacity) if early else self.capacity
        return drop_occluded(found, self.config.mining.min_weight if early else 0.0, capacity)

    def _target(self, batch: RayBatch, found: DensityPass) -> Target:
        exposure, depth = self.cameras.exposure(batch.view), batch.depth
        if depth is not None:
            along = self.sampler.cube_rays(batch.rays).from_scene(depth)
            depth = torch.where(depth > 0, along, 0.0)
        return Target(batch.target, batch.background, depth, exposure, found.complete)

    def _record(self, batch: RayBatch, found: DensityPass, error: Float[Tensor, " rays"]) -> None:
        """Errors decide which pixels are drawn next, except those of rays that were cut off."""
        if found.complete is not None:
            error = torch.where(found.complete, error, torch.nan)
        self.batches.record(batch, error)

    def _result(self, found: DensityPass, loss: PixelLoss, terms: dict[str, Tensor]) -> StepResult:
        visible = None
        if self.config.mining.terminates_early and not self.early_termination:
            before = loss.transmittance_after + loss.rendering.weights
            visible = _share(before >= MIN_TRANSMITTANCE, found)
        finite = torch.stack(list(terms.values())).sum().isfinite()
        return StepResult(terms, finite, found.marched, found.evaluated, 0, visible)

    def _choose(self, found: DensityPass, grad: Float[Tensor, "samples 4"], finite: Tensor) -> Kept:
        """The samples that the rule keeps, and their weighted gradients."""
        mining, filled = self.config.mining, found.filled()
        if filled is not None:
            grad = torch.where((filled & finite)[:, None], grad, 0.0)
        if mining.rule in ("plain", "pruned"):
            return Kept(None, grad, len(grad) if found.number is None else found.number)
        g, evaluated, number = hardness(grad), found.evaluated, found.number
        choice, tau = keep_mask(mining, g, self.generator, self.tau, evaluated, number)
        assert tau is not None  # one was given
        self.tau.copy_(tau)
        if self.capacity is None:
            index, weight = kept_indices(choice)
            kept = grad[index]
            return Kept(index, kept if weight is None else kept * weight[:, None], len(index))
        slots = math.ceil(self.config.fixed_shapes.kept_capacity * self.capacity)
        index, number = compact(choice.keep, min(slots, len(grad)))
        kept = grad[index] if choice.weight is None else grad[index] * choice.weight[index, None]
        taken = torch.arange(len(index), device=number.device) < number
        return Kept(index, torch.where(taken[:, None], kept, 0.0), number)

    def _backward(
        self,
        batch: RayBatch,
        rays: Rays,
        found: DensityPass,
        encoded_directions: Float[Tensor, "rays encoded"],
        kept: Kept,
        loss: PixelLoss,
    ) -> None:
        """The field's gradients at the kept samples, and the cameras' from those at positions."""
        samples, features = found.samples, found.features
        if kept.indices is not None:
            samples = samples.gather(kept.indices)
            features = None if features is None else features.index_select(1, kept.indices)
        at_positions = self.field.accumulate_grad(
            samples.positions,
            encoded_directions,
            samples.ray,
            kept.grad,
            features,
            self.cameras.moves_rays,
        )
        self.cameras.accumulate_grad(batch.view, rays, samples, at_positions, loss)


def _share(mask: Tensor, found: DensityPass) -> Float[Tensor, ""]:
    """Share of a pass's samples that a mask marks."""
    filled = found.filled()
    if filled is None or found.number is None:
        return mask.float().mean()
    return (mask & filled).sum() / found.number.clamp(min=1)
