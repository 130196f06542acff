"""Laws of the density pass: early termination leaves out only what does not matter."""

import pytest
import torch

from orefield.config import FieldConfig, SamplerConfig
from orefield.fields import make_field
from orefield.ops.backend import using
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
from orefield.types import Rays
from strategies import seeded

MIN_WEIGHT = 1e-3


def scene() -> tuple:
    """A field with walls in it, a full grid, and rays through both."""
    small = FieldConfig(
        levels=4,
        log2_hashmap_size=9,
        base_resolution=4,
        max_resolution=40,
        width=16,
        init_density=1.0,
        precision="fp32",
    )
    field = make_field(small, 0)
    field.table.data.mul_(1e4)
    field.density2.data[0] *= 20
    generator = seeded(0)
    directions = torch.nn.functional.normalize(torch.randn(200, 3, generator=generator))
    rays = Rays(torch.rand(200, 3, generator=generator) - 1.5 * directions, directions)
    settings = SamplerConfig("occupancy", resolution=8, steps_per_diagonal=64, cone_angle=0.0)
    return field, OccupancySampler(settings, 0.0), rays


def key(found: DensityPass, number: int | None = None) -> list[tuple[int, float]]:
    samples = found.samples
    return list(zip(samples.ray[:number].tolist(), samples.t[:number].tolist(), strict=True))


def test_early_termination_finds_the_visible_samples_of_all() -> None:
    """In one kernel or in chunks, in ray order; hints change nothing but the time."""
    field, sampler, rays = scene()
    everything = density_pass(field, sampler, rays, seeded(1))
    want = drop_occluded(everything, MIN_WEIGHT)
    assert 100 < len(want.samples) < 0.7 * len(everything.samples)
    found = []
    for twin in ("cpu", "definition"):
        for hints in (BufferHints(), next_hints(want)):
            with using(twin):
                found.append(density_pass(field, sampler, rays, seeded(1), MIN_WEIGHT, hints))
    for one in found:
        assert len(set(key(one)) ^ set(key(want))) <= 2  # on the very edge
        assert key(one) == sorted(key(one))
        assert one.visible_only
        assert one.evaluated == one.marched <= everything.evaluated
        ends = one.samples.spans.sum(1)
        assert ends.tolist() == one.samples.spans[:, 1].cumsum(0).tolist()
        assert drop_occluded(one, MIN_WEIGHT) is one


def test_a_field_without_a_kernel_of_its_own_terminates_early_too() -> None:
    _, sampler, rays = scene()
    field = make_field(FieldConfig(kind="nerf", nerf_width=16, precision="fp32"), 0)
    field.log_density.bias.data.fill_(3.0)
    everything = density_pass(field, sampler, rays, seeded(1))
    want = drop_occluded(everything, MIN_WEIGHT)
    found = density_pass(field, sampler, rays, seeded(1), MIN_WEIGHT)
    assert len(set(key(found)) ^ set(key(want))) <= 2
    assert len(want.samples) < len(everything.samples)


def test_each_sample_keeps_its_own_numbers() -> None:
    field, sampler, rays = scene()
    everything = density_pass(field, sampler, rays, seeded(1))
    kept = drop_occluded(everything)
    assert kept.evaluated == len(everything.samples)
    again = field.encode_positions(kept.samples.positions)
    assert kept.features is None  # they stayed in the kernel
    room = len(kept.samples)
    fixed = fixed_density_pass(field, sampler, rays, seeded(1), kept.evaluated)
    torch.testing.assert_close(drop_occluded(fixed, 0.0, room).features, again)
    geometry = field.density_and_geometry(again)
    torch.testing.assert_close(kept.geometry, geometry, rtol=1e-5, atol=1e-5)
    encoded = field.encode_directions(rays.directions)
    want = field(kept.samples.positions, encoded, kept.samples.ray)
    torch.testing.assert_close(color_pass(field, kept, encoded), want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("share", [0.4, 1.0, 1.5])
def test_buffers_hold_the_first_samples_and_say_which_rays_are_complete(share: float) -> None:
    """Of all samples, and of the visible ones; complete: none of its own is missing."""
    field, sampler, rays = scene()
    free = density_pass(field, sampler, rays, seeded(1))
    capacity = int(share * free.evaluated)
    fixed = fixed_density_pass(field, sampler, rays, seeded(1), capacity)
    number = min(capacity, free.evaluated)
    assert (int(fixed.evaluated), int(fixed.marched)) == (number, free.evaluated)
    assert fixed.filled().sum() == number
    assert key(fixed, number) == key(free, number)
    assert key(fixed, number)[: int(fixed.samples.spans[:, 1].sum())] == key(free, number)
    ends = free.samples.spans.sum(1)
    assert not (fixed.complete & (ends > capacity)).any()
    assert torch.equal(fixed.complete, (ends < capacity) | (share >= 1))

    visible = drop_occluded(free, MIN_WEIGHT)
    room = int(share * len(visible.samples))
    whole = fixed_density_pass(field, sampler, rays, seeded(1), free.evaluated)
    kept = drop_occluded(whole, MIN_WEIGHT, room)
    number = min(room, len(visible.samples))
    assert int(kept.number) == number
    assert len(kept.samples) == room
    assert key(kept, number) == key(visible, number)
    features = field.encode_positions(visible.samples.positions[:, :number])
    torch.testing.assert_close(kept.features[:, :number], features)
    torch.testing.assert_close(kept.geometry[:number], visible.geometry[:number])
    assert torch.equal(kept.complete, visible.samples.spans.sum(1) <= room)
    assert kept.samples.spans[:, 1].sum() == number
    held = visible.samples.spans[kept.complete]
    assert torch.equal(kept.samples.spans[kept.complete][:, 1], held[:, 1])
