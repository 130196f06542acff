"""A batch of training rays, and how far the rendered pixels are from the photographs'."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from orefield.config import RunConfig
from orefield.losses import depth_error
from orefield.losses import distortion as spread
from orefield.mining import TileErrors
from orefield.ops.composite import Pixels, composite_backward, composite_forward
from orefield.samplers.proposal import spacing
from orefield.scenes import PixelBank
from orefield.types import PackedSamples, Rays


class Batch(NamedTuple):
    """Rays, the colours they ought to see, and what lies behind them."""

    rays: Rays
    target: Float[Tensor, "rays 3"]
    background: Float[Tensor, "rays 3"]
    view: Int[Tensor, " rays"]
    """Image each ray belongs to."""
    depth: Float[Tensor, " rays"] | None = None
    """Measured distances, 0 where unknown."""
    tile: Int[Tensor, " rays"] | None = None
    """Tile of the photographs it was drawn from; None where all pixels are alike."""


class Extra(NamedTuple):
    """What the loss takes into account beside the colours of the scene."""

    distortion: float = 0.0
    """Weight of the distortion loss."""
    depth: float = 0.0
    """Weight of the depth loss."""
    measured: Float[Tensor, " rays"] | None = None
    gain: Float[Tensor, "rays 3"] | None = None
    """What the camera makes of the light it sees; 1 and 0 if absent."""
    offset: Float[Tensor, "rays 3"] | None = None


NOTHING = Extra()


class PixelLoss(NamedTuple):
    """All without a graph and on the device."""

    loss: Float[Tensor, ""]
    """Mean squared error over rays and channels."""
    grad: Float[Tensor, "samples 4"]
    """Of everything in the loss, at the raw outputs."""
    error: Float[Tensor, " rays"]
    """Squared error of each ray, summed over channels."""
    at_pixels: Float[Tensor, "rays 3"]
    """dL/dpixel."""
    pixels: Pixels
    behind: Float[Tensor, " samples"]
    """Transmittance behind each sample."""


class Batches:
    """Random batches of training rays; by the errors of their tiles, where the rule wants that."""

    def __init__(self, bank: PixelBank, config: RunConfig, generator: torch.Generator) -> None:
        self.bank, self.background, self.generator = bank, config.optim.background, generator
        by_error = config.mining.draws_by_error
        self.tiles = TileErrors(bank.tiles, generator.device) if by_error else None

    def draw(self, rays: int) -> Batch:
        """Rays through random pixels, over a new random colour for each, or over grey."""
        tile = None
        if self.tiles is None:
            drawn = self.bank.sample(rays, self.generator)
        else:
            tile = self.tiles.draw(rays, self.generator)
            drawn = self.bank.fetch(self.bank.in_tiles(tile, self.generator))
        behind = torch.empty_like(drawn.rgba[:, :3])
        if self.background == "random":
            behind.uniform_(generator=self.generator)
        else:
            behind.fill_(1.0 if self.background == "white" else 0.0)
        alpha = drawn.rgba[:, 3:]
        target = drawn.rgba[:, :3] * alpha + behind * (1 - alpha)
        return Batch(drawn.rays, target, behind, drawn.view, drawn.depth, tile)

    def note(self, batch: Batch, error: Float[Tensor, " rays"]) -> None:
        """The rays' squared errors, from which later draws learn."""
        if self.tiles is not None and batch.tile is not None:
            self.tiles.note(batch.tile, error)

    def settle(self) -> None:
        """To be called after each step, outside of what is replayed as a graph."""
        if self.tiles is not None:
            self.tiles.settle()

    def state(self) -> dict[str, Tensor]:
        """Tensors from which `restore` goes on exactly."""
        return {} if self.tiles is None else self.tiles.state()

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take over a saved state."""
        if self.tiles is not None:
            self.tiles.restore(tensors)


def pixel_loss(
    raw: Float[Tensor, "samples 4"],
    samples: PackedSamples,
    target: Float[Tensor, "rays 3"],
    background: Float[Tensor, "rays 3"],
    counted: Bool[Tensor, " rays"] | None = None,
    extra: Extra = NOTHING,
) -> PixelLoss:
    """Mean squared pixel error and its gradient at the raw outputs; nothing is read back.

    No graph: with the pixel gain colour + offset opacity + (1 - opacity) background and
    e = dL/dpixel = 2 (pixel - target) / (3 rays), the gradients at colour and opacity are gain e
    and (offset - background) . e. Only the rays `counted` make up the mean, all where none are
    named.
    """
    pixels, tape = composite_forward(raw, samples.t, samples.dt, samples.spans)
    seen, solid = pixels.colour, pixels.opacity[:, None]
    if extra.gain is not None:
        seen = extra.gain * seen
    if extra.offset is not None:
        seen = seen + extra.offset * solid
    error = seen + (1 - solid) * background - target
    if counted is None:
        share: Tensor | float = 1 / max(error.numel(), 1)
    else:
        error = torch.where(counted[:, None], error, 0.0)
        share = 1 / (3 * counted.sum()).clamp(min=1)
    e = error * (2 * share)
    colour = e if extra.gain is None else extra.gain * e
    behind = background if extra.offset is None else background - extra.offset
    opacity = -(e * behind).sum(1)
    depth = None
    if extra.depth > 0 and extra.measured is not None:
        _, depth, solid_grad = depth_error(pixels.depth, pixels.opacity, extra.measured)
        depth, opacity = extra.depth * depth, opacity + extra.depth * solid_grad
    weights = _spread(samples, tape.weights, extra.distortion) if extra.distortion > 0 else None
    grad = composite_backward(tape, raw, samples.t, samples.spans, colour, opacity, depth, weights)
    squared = error.square().sum(1)
    return PixelLoss(squared.sum() * share, grad, squared, e, pixels, tape.behind)


def _spread(
    samples: PackedSamples, weights: Float[Tensor, " samples"], distortion: float
) -> Float[Tensor, " samples"]:
    """The distortion loss's gradient at the weights."""
    half = torch.minimum(samples.dt, samples.t) / 2  # the last interval may never end
    low, high = spacing(samples.t - half), spacing(samples.t + half)
    return distortion * spread((low + high) / 2, high - low, weights, samples.spans)[1]
