"""Laws of the proposal networks."""

import pytest
import torch

from orefield.config import ProposalConfig
from orefield.ops.volume_rendering import volume_rendering_backward, volume_rendering_forward
from orefield.ops.contraction import expand
from orefield.ops.march import ENDED, entry_and_exit
from orefield.samplers import ProposalSampler
from orefield.samplers.proposal import ENDLESS, distance, spacing
from orefield.types import PackedSamples, Rays
from strategies import seeded

CONFIG = ProposalConfig(
    first=24, second=16, last=12, log2_hashmap_size=10, max_resolution=64, anneal=40
)


def bundle(n: int, seed: int = 0) -> Rays:
    generator = seeded(seed)
    directions = torch.nn.functional.normalize(torch.randn(n, 3, generator=generator))
    inside = 0.3 + 0.4 * torch.rand(n, 3, generator=generator)
    return Rays(inside - 1.5 * directions, directions)


def test_spacing_and_distance_are_inverse_and_smooth():
    t = torch.tensor([0.0, 0.3, 0.999, 1.0, 1.001, 5.0, 100.0], dtype=torch.float64)
    torch.testing.assert_close(distance(spacing(t)), t)
    slope = (spacing(t[2:5] + 1e-6) - spacing(t[2:5] - 1e-6)) / 2e-6
    assert slope.tolist() == pytest.approx([0.5, 0.5, 0.5], abs=2e-3)


@pytest.mark.parametrize("background_extent", [1, 8])
@pytest.mark.parametrize("seed", [None, 3])
def test_samples_lie_in_order_between_entry_and_exit(background_extent, seed):
    rays = bundle(30)
    sampler = ProposalSampler(CONFIG, 0.2, background_extent)
    samples = sampler(rays, None if seed is None else seeded(seed))
    entry, leave = entry_and_exit(rays, 0.2, background_extent)
    t = samples.t.view(30, CONFIG.last)
    assert (t.diff(dim=1) > 0).all()
    assert (t >= entry[:, None] - 1e-5).all()
    assert (t <= leave[:, None] + 1e-4).all()
    assert (samples.spans[:, 1] == CONFIG.last).all()
    places = (
        rays.origins[samples.ray.long()] + samples.t[:, None] * rays.directions[samples.ray.long()]
    )
    where = (
        samples.positions if background_extent == 1 else expand(samples.positions.double()).float()
    )
    torch.testing.assert_close(where.T, places, rtol=1e-3, atol=1e-3)


def test_rays_that_miss_have_no_samples():
    rays = bundle(4)
    away = Rays(rays.origins.clone(), rays.directions.clone())
    away.origins[1] += 9.0
    samples = ProposalSampler(CONFIG, 0.0)(away, None)
    assert samples.spans[:, 1].tolist() == [CONFIG.last, 0, CONFIG.last, CONFIG.last]
    assert set(samples.ray.tolist()) == {0, 2, 3}


def test_the_last_interval_ends_nowhere_among_surroundings_and_its_numbers_are_fine():
    rays = bundle(6)
    inside, around = (
        ProposalSampler(CONFIG, 0.0, background_extent)(rays, None) for background_extent in (1, 4)
    )
    assert (around.dt.view(6, -1)[:, -1] == ENDLESS).all()
    assert (around.dt.view(6, -1)[:, :-1] < 10).all()
    assert (inside.dt < 1).all()
    for loud in (-8.0, 0.0, 14.0):
        raw = torch.full((len(around), 4), loud)
        pixels, tape = volume_rendering_forward(raw, around.t, around.dt, around.spans)
        assert pixels.opacity.tolist() == pytest.approx([1.0] * 6)
        ones = torch.ones(6, 3)
        grad = volume_rendering_backward(tape, raw, around.t, around.spans, ones, ones[:, 0])
        assert torch.isfinite(grad).all()


def shell_weights(samples: PackedSamples, places: torch.Tensor) -> torch.Tensor:
    """Of an opaque ball of radius 0.2 in the middle, in closed form along each ray."""
    inside = (places - 0.5).norm(dim=1) < 0.2
    raw = torch.zeros(len(samples), 4)
    raw[:, 0] = torch.where(inside, 5.0, -9.0)
    return volume_rendering_forward(raw, samples.t, samples.dt, samples.spans)[0].weights


def test_samples_gather_where_the_field_says_that_weight_is():
    sampler = ProposalSampler(CONFIG, 0.0, seed=1)
    adam = torch.optim.Adam(sampler.parameters(), lr=2e-2)

    def near_the_surface(seed: int) -> float:
        rays = bundle(200, seed)
        samples = sampler(rays, None)
        away = (samples.positions.T - 0.5).norm(dim=1)
        meets = torch.linalg.cross(rays.origins - 0.5, rays.directions).norm(dim=1) < 0.15
        return float((away - 0.2).abs()[meets[samples.ray.long()]].mean())

    before = near_the_surface(999)
    for step in range(150):
        sampler.update(step, lambda p: p[0], seeded(step))
        samples = sampler(bundle(128, step), seeded(step))
        sampler.accumulate_grad(samples, shell_weights(samples, samples.positions.T))
        adam.step()
        adam.zero_grad()
    assert near_the_surface(999) < 0.5 * before


def test_networks_learn_in_every_first_step_and_then_now_and_then():
    config = ProposalConfig(
        first=8, second=6, last=4, log2_hashmap_size=8, warmup=3, update_every=5
    )
    sampler, learned = ProposalSampler(config, 0.0), []
    for step in range(12):
        sampler.update(step, lambda p: p[0], seeded(step))
        samples = sampler(bundle(4, step), seeded(step))
        sampler.accumulate_grad(samples, torch.ones(len(samples)) / 4)
        learned.append(any(p.grad is not None for p in sampler.parameters()))
        for p in sampler.parameters():
            p.grad = None
    assert [step for step in range(12) if learned[step]] == [0, 1, 2, 5, 10]


def test_a_look_without_learning_leaves_nothing_behind():
    sampler = ProposalSampler(CONFIG, 0.0)
    samples = sampler(bundle(3), None)
    assert sampler.pending is None
    sampler.accumulate_grad(samples, torch.ones(len(samples)))
    assert all(p.grad is None for p in sampler.parameters())


def test_a_piece_is_everything():
    sampler, rays = ProposalSampler(CONFIG, 0.0), bundle(5)
    piece, following = sampler.sample_chunk(rays, torch.zeros(5, dtype=torch.int32), 3)
    assert (following == ENDED).all()
    assert torch.equal(piece.t, sampler(rays, None).t)


def test_seeds_decide_everything():
    rays = bundle(7)
    one, same = (ProposalSampler(CONFIG, 0.0, seed=2)(rays, seeded(5)).t for _ in range(2))
    other = ProposalSampler(CONFIG, 0.0, seed=2)(rays, seeded(6)).t
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_state_survives_a_round_trip_and_another_size_is_refused():
    one, other = ProposalSampler(CONFIG, 0.0, seed=1), ProposalSampler(CONFIG, 0.0, seed=2)
    one.update(17, lambda p: p[0], seeded())
    other.restore({name: value.clone() for name, value in one.state().items()})
    assert other.step == 17
    assert torch.equal(one(bundle(3), None).t, other(bundle(3), None).t)
    small = ProposalSampler(ProposalConfig(log2_hashmap_size=8), 0.0)
    with pytest.raises(ValueError, match="sampler state"):
        other.restore(small.state())
