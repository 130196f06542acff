"""The first half of a forward pass: densities along rays, without a graph, then who is visible.

`density_pass` evaluates every marched sample, as published, or ends each ray once its transmittance
is below MIN_TRANSMITTANCE (early termination): what lies behind a surface is not evaluated, and
nothing is left out on a guess. `drop_occluded` leaves out samples that cannot matter for
their pixel, so that `color_pass`, the second half, evaluates colors at the others alone.

With a `capacity` all shapes are fixed and nothing is read from the device: samples lie in the first
slots of buffers, and their number is a tensor.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from orefield.fields import NgpField
from orefield.ops.backend import pick
from orefield.ops.compact import compact
from orefield.ops.density_network import density_network
from orefield.ops.density_pass import pack, terminated_density_pass, visible_mask
from orefield.ops.march import ENDED
from orefield.ops.transmittance import MIN_TRANSMITTANCE, transmittance
from orefield.samplers import OccupancySampler
from orefield.types import Field, PackedSamples, Rays, Sampler

_CHUNK = 8
"""Samples of a ray in the first chunk; each further one is twice as long."""


class DensityPass(NamedTuple):
    """Samples in ray order, and the field's density and geometry at them."""

    samples: PackedSamples
    geometry: Float[Tensor, "samples geometry"]
    """Of each sample: the log density, and what colors are made from."""
    evaluated: int | Int[Tensor, ""]
    """Samples at which the density was evaluated, those left out since included."""
    marched: int | Int[Tensor, ""]
    """Samples found by marching, those beyond the capacity included."""
    features: Float[Tensor, "features samples"] | None = None
    """From `encode_positions`; None where the pass did not keep them."""
    visible_only: bool = False
    """Whether the occluded samples are left out already."""
    number: Int[Tensor, ""] | None = None
    """Slots that hold a sample, the first ones; None where all do."""
    complete: Bool[Tensor, " rays"] | None = None
    """Rays whose samples all found a slot; None where all did."""

    def filled(self) -> Bool[Tensor, " samples"] | None:
        """Which slots hold a sample; None where all do."""
        if self.number is None:
            return None
        return torch.arange(len(self.samples), device=self.number.device) < self.number


class BufferHints(NamedTuple):
    """What to expect of a pass with early termination; right or wrong, its samples are the same."""

    samples: int = 0
    """Samples that will be returned."""
    stretch: int = 64
    """Samples of a ray between two looks at its transmittance: half of what a ray holds, for in the
    thin medium of the first steps rays do not end."""


def next_hints(last: DensityPass) -> BufferHints:
    """Hints for the next pass, along other rays of the same scene."""
    rays = int((last.samples.spans[:, 1] > 0).sum())
    return BufferHints(len(last.samples), min(max(len(last.samples) // max(2 * rays, 1), 4), 64))


@torch.no_grad()
def density_pass(
    field: Field,
    sampler: Sampler,
    rays: Rays,
    generator: torch.Generator,
    min_weight: float | None = None,
    hints: BufferHints = BufferHints(),  # noqa: B008  (immutable)
    training: bool = False,
) -> DensityPass:
    """Densities at every sample of the rays, or, given a `min_weight`, with early termination.

    Then the samples are those of `drop_occluded(density_pass(...), min_weight)`, found without
    evaluating the others where the sampler can end rays on the way; where it cannot, all samples
    are returned. `training` is the sampler's.
    """
    if min_weight is None or not isinstance(sampler, OccupancySampler):
        samples = sampler(rays, generator, training)
        (geometry, features), number = _geometry(field, samples.positions), len(samples)
        return DensityPass(samples, geometry, number, number, features)
    jitter = torch.rand(len(rays), generator=generator, device=generator.device)
    if pick("density_pass", rays.origins) is None or not isinstance(field, NgpField):
        return _in_chunks(field, sampler, rays, jitter, min_weight)
    lines = sampler.cube_rays(rays).lines
    found = terminated_density_pass(
        lines, sampler.grid, jitter, field.density_net, min_weight, *hints
    )
    return DensityPass(*found, marched=found.evaluated, visible_only=True)


def _geometry(
    field: Field, positions: Float[Tensor, "3 samples"]
) -> tuple[Float[Tensor, "samples geometry"], Float[Tensor, "features samples"] | None]:
    """The density MLP's outputs, and the features where those were written down on the way."""
    if isinstance(field, NgpField) and positions.device.type == "cpu":
        return density_network(positions, field.density_net), None
    features = field.encode_positions(positions)
    return field.density_and_geometry(features), features


@torch.no_grad()
def fixed_density_pass(
    field: Field,
    sampler: OccupancySampler,
    rays: Rays,
    generator: torch.Generator,
    capacity: int,
) -> DensityPass:
    """Densities at the first `capacity` samples of the rays; nothing is read from the device."""
    samples, total = sampler.sample_fixed(rays, generator, capacity)
    count = total.clamp(max=capacity)
    # A ray cut off by the buffer's end shows its background where there may be a surface.
    complete = (samples.spans.sum(1) < capacity) | (total <= capacity)
    features = field.encode_positions(samples.positions)
    geometry = field.density_and_geometry(features)
    return DensityPass(samples, geometry, count, total, features, False, count, complete)


@torch.no_grad()
def drop_occluded(
    found: DensityPass, min_weight: float = 0.0, capacity: int | None = None
) -> DensityPass:
    """Samples with T >= MIN_TRANSMITTANCE and w >= min_weight.

    With a `capacity`, which a pass of fixed shapes needs, the first so many of them.
    """
    if found.visible_only:
        return found
    samples = found.samples
    visible = visible_mask(
        transmittance(found.geometry[:, 0], samples.dt, samples.spans), min_weight
    )
    if capacity is None:
        assert found.number is None
        index = visible.nonzero()[:, 0]
        kept, count, complete = pack([samples], index, len(samples.spans)), None, None
    else:
        assert found.number is not None
        assert found.complete is not None
        visible &= torch.arange(len(samples), device=visible.device) < found.number
        index, count = compact(visible, capacity)
        kept, fits = _pack_fixed(samples, visible, index)
        complete = found.complete & fits
    return found._replace(
        samples=kept,
        geometry=found.geometry.index_select(0, index),
        features=None if found.features is None else found.features.index_select(1, index),
        visible_only=True,
        number=count,
        complete=complete,
    )


@torch.no_grad()
def color_pass(
    field: Field, found: DensityPass, encoded_directions: Float[Tensor, "rays encoded"]
) -> Float[Tensor, "samples 4"]:
    """The field's raw outputs at the samples of a density pass: log density and color logits."""
    logits = field.color_logits(found.geometry, encoded_directions, found.samples.ray)
    return torch.cat([found.geometry[:, :1], logits], 1)


def _pack_fixed(
    samples: PackedSamples, visible: Bool[Tensor, " samples"], index: Int[Tensor, " capacity"]
) -> tuple[PackedSamples, Bool[Tensor, " rays"]]:
    """The samples at `index`, with spans of their own, and which rays have all their visible ones.

    Slots past the last visible sample repeat sample 0 and belong to no span.
    """
    counts = samples.spans.new_zeros(len(samples.spans), dtype=torch.int64)
    counts.index_add_(0, samples.ray.long(), visible.long())
    ends, capacity = counts.cumsum(0), len(index)
    first = (ends - counts).clamp(max=capacity)
    spans = torch.stack([first, ends.clamp(max=capacity) - first], 1).int()
    kept = samples.gather(index)
    packed = PackedSamples(kept.positions, kept.t, kept.dt, kept.ray, spans)
    return packed, ends <= capacity


def _in_chunks(
    field: Field,
    sampler: Sampler,
    rays: Rays,
    jitter: Float[Tensor, " rays"],
    min_weight: float,
) -> DensityPass:
    """Early termination for any field: chunk by chunk along the rays that have not ended."""
    remaining, limit = torch.ones_like(jitter), _CHUNK
    active = torch.arange(len(rays), dtype=torch.int32, device=jitter.device)
    first = torch.zeros_like(active)
    chunks, geometries, masks = [], [], []
    while True:
        samples, following = sampler.sample_chunk(rays[active], first, limit, jitter[active])
        geometry = field.density_and_geometry(field.encode_positions(samples.positions))
        along = transmittance(geometry[:, 0], samples.dt, samples.spans, remaining)
        masks.append(visible_mask(along, min_weight))
        samples.ray.copy_(active[samples.ray])
        chunks.append(samples)
        geometries.append(geometry)
        going = (following != ENDED) & (along.after >= MIN_TRANSMITTANCE)
        active, first, remaining = active[going], following[going], along.after[going]
        limit *= 2
        if len(active) == 0:
            break
    index = torch.cat(masks).nonzero()[:, 0]
    order = torch.cat([chunk.ray for chunk in chunks])[index].sort(stable=True).indices
    index, evaluated = index[order], sum(map(len, chunks))
    geometry = torch.cat(geometries)[index]
    packed = pack(chunks, index, len(rays))
    return DensityPass(packed, geometry, evaluated, evaluated, visible_only=True)
