"""Laws of the proposal networks."""

import dataclasses

import pytest
import torch

from closed_forms import uncontract
from orefield.config import ProposalConfig
from orefield.ops.march import ENDED, entry_and_exit
from orefield.ops.proposal_weights import definition, distance, proposal_weights, spacing
from orefield.ops.volume_rendering import (
    volume_rendering_backward,
    volume_rendering_forward,
)
from orefield.samplers import ProposalSampler
from orefield.samplers.density_network import DensityNetwork
from orefield.samplers.proposal import ENDLESS
from orefield.types import PackedSamples, Rays
from strategies import seeded

CONFIG = ProposalConfig(
    num_proposal_samples=(24, 16),
    num_samples=12,
    log2_hashmap_size=10,
    max_resolution=64,
    anneal=40,
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
    t = samples.t.view(30, CONFIG.num_samples)
    assert (t.diff(dim=1) > 0).all()
    assert (t >= entry[:, None] - 1e-5).all()
    assert (t <= leave[:, None] + 1e-4).all()
    assert (samples.spans[:, 1] == CONFIG.num_samples).all()
    points = (
        rays.origins[samples.ray.long()] + samples.t[:, None] * rays.directions[samples.ray.long()]
    )
    found = (
        samples.positions
        if background_extent == 1
        else uncontract(samples.positions.double()).float()
    )
    torch.testing.assert_close(found.T, points, rtol=1e-3, atol=1e-3)


def test_rays_that_miss_have_no_samples():
    rays = bundle(4)
    away = Rays(rays.origins.clone(), rays.directions.clone())
    away.origins[1] += 9.0
    samples = ProposalSampler(CONFIG, 0.0)(away, None)
    assert samples.spans[:, 1].tolist() == [
        CONFIG.num_samples,
        0,
        CONFIG.num_samples,
        CONFIG.num_samples,
    ]
    assert set(samples.ray.tolist()) == {0, 2, 3}


def test_the_last_interval_never_ends_in_unbounded_scenes_and_its_gradients_are_finite():
    rays = bundle(6)
    bounded, unbounded = (
        ProposalSampler(CONFIG, 0.0, background_extent)(rays, None) for background_extent in (1, 4)
    )
    assert (unbounded.dt.view(6, -1)[:, -1] == ENDLESS).all()
    assert (unbounded.dt.view(6, -1)[:, :-1] < 10).all()
    assert (bounded.dt < 1).all()
    for log_density in (-8.0, 0.0, 14.0):
        raw = torch.full((len(unbounded), 4), log_density)
        rendering, tape = volume_rendering_forward(raw, unbounded.t, unbounded.dt, unbounded.spans)
        assert rendering.opacity.tolist() == pytest.approx([1.0] * 6)
        ones = torch.ones(6, 3)
        grad = volume_rendering_backward(tape, raw, unbounded.t, unbounded.spans, ones, ones[:, 0])
        assert torch.isfinite(grad).all()


def shell_weights(samples: PackedSamples) -> torch.Tensor:
    """Of an opaque ball of radius 0.2 in the middle, in closed form along each ray."""
    inside = (samples.positions.T - 0.5).norm(dim=1) < 0.2
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
    for step in range(80):
        sampler.update(step, lambda p: p[0], seeded(step))
        samples = sampler(bundle(64, step), seeded(step), training=True)
        sampler.accumulate_grad(samples, shell_weights(samples))
        adam.step()
        adam.zero_grad()
    assert near_the_surface(999) < 0.5 * before


def test_networks_learn_in_every_first_step_and_then_now_and_then():
    config = ProposalConfig(
        num_proposal_samples=(8, 6),
        num_samples=4,
        log2_hashmap_size=8,
        max_resolution=64,
        warmup=3,
        update_every=5,
    )
    sampler, learned = ProposalSampler(config, 0.0), []
    for step in range(12):
        sampler.update(step, lambda p: p[0], seeded(step))
        samples = sampler(bundle(4, step), seeded(step), training=True)
        loss = sampler.accumulate_grad(samples, torch.ones(len(samples)) / 4)
        learned.append(loss is not None)
        assert learned[-1] == any(p.grad is not None for p in sampler.parameters())
        for p in sampler.parameters():
            p.grad = None
    assert [step for step in range(12) if learned[step]] == [0, 1, 2, 5, 10]


def test_networks_learn_from_a_share_of_the_rays_as_from_those_alone():
    one, other = (
        ProposalSampler(dataclasses.replace(CONFIG, learn_share=share), 0.0, 4)
        for share in (0.25, 1.0)
    )
    weights, gradients = torch.rand(8 * CONFIG.num_samples, generator=seeded()), []
    for sampler, rays in ((one, bundle(8)), (other, bundle(8)[:2])):
        samples = sampler(rays, None, training=True)
        assert len(samples) == len(rays) * CONFIG.num_samples
        loss = sampler.accumulate_grad(samples, weights[: len(samples)])
        gradients.append([loss, *(p.grad for p in sampler.parameters())])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_without_training_nothing_is_pending():
    """Also where a pass for training came before, whose samples are not the last any more."""
    sampler = ProposalSampler(CONFIG, 0.0)
    samples = sampler(bundle(3), None)
    assert sampler.accumulate_grad(samples, torch.ones(len(samples))) is None
    sampler(bundle(3), seeded(), training=True)
    samples = sampler(bundle(3), None)
    assert sampler.accumulate_grad(samples, torch.ones(len(samples))) is None
    assert all(p.grad is None for p in sampler.parameters())


def test_accumulate_grad_returns_the_loss_and_consumes_what_was_pending():
    sampler = ProposalSampler(CONFIG, 0.0)
    samples = sampler(bundle(3), seeded(), training=True)
    weights = shell_weights(samples)
    loss = sampler.accumulate_grad(samples, weights)
    assert float(loss) > 0
    assert not loss.requires_grad
    gradients = [p.grad.clone() for p in sampler.parameters()]
    assert any(g.abs().sum() > 0 for g in gradients)
    assert sampler.accumulate_grad(samples, weights) is None
    for p, g in zip(sampler.parameters(), gradients, strict=True):
        assert torch.equal(p.grad, g)


def test_weights_that_the_networks_allow_for_have_no_loss():
    sampler = ProposalSampler(CONFIG, 0.0)
    samples = sampler(bundle(3), seeded(), training=True)
    assert sampler.accumulate_grad(samples, torch.zeros(len(samples))) == 0


def test_a_chunk_is_everything():
    sampler, rays = ProposalSampler(CONFIG, 0.0), bundle(5)
    chunk, following = sampler.sample_chunk(rays, torch.zeros(5, dtype=torch.int32), 3)
    assert (following == ENDED).all()
    assert torch.equal(chunk.t, sampler(rays, None).t)


def test_seeds_decide_everything():
    rays = bundle(7)
    one, same = (ProposalSampler(CONFIG, 0.0, seed=2)(rays, seeded(5)).t for _ in range(2))
    other = ProposalSampler(CONFIG, 0.0, seed=2)(rays, seeded(6)).t
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_state_survives_a_round_trip_and_another_size_is_refused():
    one, other = ProposalSampler(CONFIG, 0.0, seed=1), ProposalSampler(CONFIG, 0.0, seed=2)
    for p in one.parameters():
        p.data.add_(0.3)  # so that the annealing shows
    fresh = one(bundle(3), None).t
    one.update(17, lambda p: p[0], seeded())
    other.load_state_dict({name: value.clone() for name, value in one.state_dict().items()})
    assert other.step == int(other.steps) == 17
    assert torch.equal(one(bundle(3), None).t, other(bundle(3), None).t)
    other.update(0, lambda p: p[0], seeded())
    assert torch.equal(other(bundle(3), None).t, fresh)
    assert not torch.equal(one(bundle(3), None).t, fresh)
    small = ProposalSampler(dataclasses.replace(CONFIG, log2_hashmap_size=8), 0.0)
    with pytest.raises(RuntimeError, match="size mismatch for nets"):
        other.load_state_dict(small.state_dict())


def test_density_is_finite_however_large_its_logarithm():
    net = DensityNetwork(2, 8, 64, seeded())
    net.table.data.fill_(1.0)
    net.hidden.data.fill_(10.0)
    net.out.data.fill_(10.0)
    rays, edges = bundle(5), torch.linspace(0.1, 0.4, 4).expand(5, 4).contiguous()
    for weights_of in (proposal_weights, definition):
        weights = weights_of(rays.origins, rays.directions, edges, net.net, False)
        assert torch.equal(weights, torch.eye(3)[:1].expand(5, 3))
