"""Laws of the first forward: looking ahead leaves out only what does not matter."""

import torch

from orefield.config import FieldConfig, SamplerConfig
from orefield.fields import make_field
from orefield.rendering.density_pass import (
    FIRST_OUTLOOK,
    bright,
    look_ahead,
    look_everywhere,
    outlook,
)
from orefield.ops.backend import using
from orefield.ops.density_pass import DensityPass
from orefield.samplers import OccupancySampler
from orefield.types import Rays
from strategies import seeded

FAINTEST = 1e-3


def scene() -> tuple:
    """A field with walls in it, a full grid, and rays through both."""
    small = FieldConfig(
        levels=4,
        log2_hashmap_size=9,
        base_resolution=4,
        max_resolution=40,
        width=16,
        precision="fp32",
    )
    field = make_field(small, 0)
    field.table.data.mul_(1e4)
    field.density2.data[0] *= 20
    generator = seeded(0)
    directions = torch.nn.functional.normalize(torch.randn(200, 3, generator=generator))
    rays = Rays(torch.rand(200, 3, generator=generator) - 1.5 * directions, directions)
    return field, OccupancySampler(SamplerConfig(resolution=8, steps=64), 0.0), rays


def key(look: DensityPass) -> list[tuple[int, float]]:
    return list(zip(look.samples.ray.tolist(), look.samples.t.tolist(), strict=True))


def test_looking_ahead_finds_the_bright_samples_of_looking_everywhere():
    """In one kernel or in stretches, in ray order; the outlook changes nothing but the time."""
    field, sampler, rays = scene()
    everywhere = look_everywhere(field, sampler, rays, seeded(1))
    want = bright(everywhere, FAINTEST)
    assert 100 < len(want.samples) < 0.7 * len(everywhere.samples)
    found = []
    for twin in ("cpu", "definition"):
        for expectation in (FIRST_OUTLOOK, outlook(want)):
            with using(twin):
                found.append(look_ahead(field, sampler, rays, seeded(1), FAINTEST, expectation))
    for one in found:
        assert len(set(key(one)) ^ set(key(want))) <= 2  # on the very edge
        assert key(one) == sorted(key(one))
        assert one.asked <= everywhere.asked
        ends = one.samples.spans.sum(1)
        assert ends.tolist() == one.samples.spans[:, 1].cumsum(0).tolist()


def test_bright_keeps_each_samples_own_numbers():
    field, sampler, rays = scene()
    everywhere = look_everywhere(field, sampler, rays, seeded(1))
    kept = bright(everywhere)
    assert kept.asked == len(everywhere.samples)
    again = field.encode_positions(kept.samples.positions)
    torch.testing.assert_close(kept.features, again)
    torch.testing.assert_close(kept.shape, field.density_and_geometry(again), rtol=1e-5, atol=1e-5)
