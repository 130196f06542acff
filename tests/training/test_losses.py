"""Laws of the loss: closed forms against plain definitions under autograd, term by term."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from orefield.ops.volume_rendering import definition
from orefield.samplers.proposal import spacing
from orefield.training.losses import (
    TERMS,
    Exposure,
    LossWeights,
    PixelLoss,
    RenderedBatch,
    Target,
    Term,
    depth_error,
    distortion,
    pixel_loss,
)
from orefield.types import PackedSamples
from strategies import SEEDS, packed, seeded

COUNTS = [3, 0, 1, 5, 0, 12]
RAYS = len(COUNTS)


def case(seed: int, masked: bool = False, exposed: bool = False):
    """Raw outputs, samples and a target with a third of the depths unknown, in float64."""
    raw, t, dt, spans = packed(COUNTS, "thin", seed=seed).double()
    ray = torch.repeat_interleave(spans[:, 1]).int()
    samples = PackedSamples(torch.zeros(3, len(ray)), t, dt, ray, spans)
    generator = seeded(seed)
    color, background, gain, offset = torch.rand(
        4, RAYS, 3, generator=generator, dtype=torch.float64
    )
    depth = 2 * torch.rand(RAYS, generator=generator, dtype=torch.float64)
    depth[::3] = 0
    exposure = Exposure(gain + 0.5, offset - 0.5) if exposed else None
    complete = torch.tensor([True, False, True, True, True, False]) if masked else None
    return raw, samples, Target(color, background, depth, exposure, complete)


def plain_terms(raw, samples, target: Target, weights: LossWeights) -> dict[str, torch.Tensor]:
    """Each term by its formula, ray by ray."""
    rendering = definition(raw, samples.t, samples.dt, samples.spans)
    color, through = rendering.color, (1 - rendering.opacity)[:, None]
    if target.exposure is not None:
        gain, offset = target.exposure
        color = gain * color + offset * rendering.opacity[:, None]
    counts = torch.ones(RAYS).bool() if target.complete is None else target.complete
    error = (color + through * target.background - target.color)[counts]
    terms = {"color": error.square().mean()}
    if weights.depth > 0:
        residual = rendering.depth - target.depth * rendering.opacity
        known = counts & (target.depth > 0)
        terms["depth"] = weights.depth * residual[known].square().sum() / RAYS
    if weights.distortion > 0:
        half = torch.minimum(samples.dt, samples.t) / 2
        low, high = spacing(samples.t - half), spacing(samples.t + half)
        middle, length = (low + high) / 2, high - low
        total = double_sum(middle, length, rendering.weights, samples.spans)
        terms["distortion"] = weights.distortion * total
    return terms


def double_sum(s, length, weights, spans) -> torch.Tensor:
    total = weights.new_zeros(())
    for first, count in spans.tolist():
        part = slice(first, first + count)
        w, apart = weights[part], (s[part, None] - s[part]).abs()
        total = total + w @ apart @ w + (w * w * length[part]).sum() / 3
    return total / len(spans)


@given(
    SEEDS, st.sampled_from([0.0, 0.3]), st.sampled_from([0.0, 0.2]), st.booleans(), st.booleans()
)
def test_every_term_and_its_gradient_is_that_of_autograd(
    seed: int, depth: float, apart: float, masked: bool, exposed: bool
) -> None:
    weights = LossWeights(depth, apart)
    raw, samples, target = case(seed, masked, exposed)
    found = pixel_loss(raw, samples, target, weights)
    raw.requires_grad_()
    want = plain_terms(raw, samples, target, weights)
    assert list(found.terms) == list(want)
    for name, value in want.items():
        torch.testing.assert_close(found.terms[name], value.detach(), rtol=1e-6, atol=0)
    sum(want.values()).backward()
    torch.testing.assert_close(found.grad, raw.grad, rtol=1e-6, atol=1e-9)  # 1 / rays is in fp32


def test_errors_are_those_of_rays_and_pixels() -> None:
    raw, samples, target = case(1, masked=True)
    found: PixelLoss = pixel_loss(raw, samples, target)
    assert not found.error[~target.complete].any()
    torch.testing.assert_close(found.error.sum() / 12, found.terms["color"])
    nothing = torch.zeros(0, 4), PackedSamples(*torch.zeros(4, 3, 0)[:1], *torch.zeros(2, 0),
              torch.zeros(0).int(), torch.zeros(2, 2).int())  # fmt: skip
    gray, black = torch.full((2, 3), 0.5), torch.zeros(2, 3)
    half = pixel_loss(*nothing, Target(gray, black))
    assert half.error.tolist() == [0.75, 0.75]
    assert half.terms["color"] == 0.25
    torch.testing.assert_close(half.at_pixels, torch.full((2, 3), -0.5 / 3))


def test_a_new_term_is_a_function_and_a_name(make, monkeypatch) -> None:
    """It is reported by its name and its gradients at all that is rendered add up."""

    def see_through(batch: RenderedBatch) -> Term:
        opacity, weights = batch.rendering.opacity, batch.rendering.weights
        value = opacity.sum() + (weights * weights).sum() + batch.rendering.color.sum()
        return Term(value, torch.ones(len(opacity), 3), torch.ones_like(opacity), None, 2 * weights)

    raw, samples, target = case(2)
    before = pixel_loss(raw, samples, target, LossWeights(0.3, 0.2))
    monkeypatch.setitem(TERMS, "see_through", see_through)
    found = pixel_loss(raw, samples, target, LossWeights(0.3, 0.2))
    raw.requires_grad_()
    color, opacity, _, weights = definition(raw, samples.t, samples.dt, samples.spans)
    value = opacity.sum() + weights.square().sum() + color.sum()
    (grad,) = torch.autograd.grad(value, raw)
    torch.testing.assert_close(found.terms["see_through"], value.detach())
    torch.testing.assert_close(found.grad - before.grad, grad)
    for fixed in ("never", "always"):
        assert make(f"fixed_shapes.use={fixed}").advance().losses.keys() == {"color", "see_through"}


@given(SEEDS)
def test_distortion_is_its_double_sum_and_so_is_its_gradient(seed: int) -> None:
    generator = seeded(seed)
    counts = torch.tensor([5, 0, 1, 12])
    parts = [torch.rand(n, generator=generator, dtype=torch.float64) for n in counts]
    s = torch.cat([part.sort().values for part in parts])
    length, weights = torch.rand(2, len(s), generator=generator, dtype=torch.float64)
    spans = torch.stack([counts.cumsum(0) - counts, counts], 1)
    loss, grad = distortion(s, 0.1 * length, weights, spans)
    weights.requires_grad_()
    want = double_sum(s, 0.1 * length, weights, spans)
    (wanted,) = torch.autograd.grad(want, weights)
    torch.testing.assert_close(loss, want.detach())
    torch.testing.assert_close(grad, wanted)


def test_weight_in_one_place_is_distorted_least_and_nothing_not_at_all() -> None:
    s, length = torch.tensor([0.2, 0.3, 0.8]), torch.full((3,), 0.01)
    spans = torch.tensor([[0, 3]])
    close, far = torch.tensor([0.5, 0.5, 0.0]), torch.tensor([0.5, 0.0, 0.5])
    assert distortion(s, length, close, spans)[0] < distortion(s, length, far, spans)[0]
    empty = torch.zeros(0)
    loss, grad = distortion(empty, empty, empty, torch.zeros(3, 2, dtype=torch.int64))
    assert float(loss) == 0
    assert grad.shape == (0,)


@given(SEEDS)
def test_depth_error_has_the_gradients_of_autograd(seed: int) -> None:
    depth, opacity, measured = torch.rand(3, 9, generator=seeded(seed), dtype=torch.float64)
    measured[::3] = 0
    loss, at_depth, at_opacity = depth_error(depth, opacity, measured)
    depth.requires_grad_()
    opacity.requires_grad_()
    residual = (depth - measured * opacity)[measured > 0]
    want = (residual**2).sum() / 9
    wanted = torch.autograd.grad(want, (depth, opacity))
    torch.testing.assert_close(loss, want.detach())
    torch.testing.assert_close((at_depth, at_opacity), wanted)
    assert (at_depth[::3] == 0).all()
