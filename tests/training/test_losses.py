"""Laws of the losses beside the pixels' own: closed forms against their definitions."""

import torch
from hypothesis import given

from orefield.training.losses import depth_error, distortion
from strategies import SEEDS, seeded


def rays_of(counts: list[int], seed: int) -> tuple[torch.Tensor, ...]:
    """Samples in order along each ray, with lengths and weights, float64."""
    generator, parts = seeded(seed), []
    for count in counts:
        s = torch.rand(count, generator=generator, dtype=torch.float64).sort().values
        length = torch.rand(count, generator=generator, dtype=torch.float64) * 0.1
        weights = torch.rand(count, generator=generator, dtype=torch.float64)
        parts.append((s, length, weights))
    s, length, weights = (torch.cat(values) for values in zip(*parts, strict=True))
    number = torch.tensor(counts)
    return s, length, weights, torch.stack([number.cumsum(0) - number, number], 1)


def double_sum(s, length, weights, spans) -> torch.Tensor:
    total = weights.new_zeros(())
    for first, count in spans.tolist():
        part = slice(first, first + count)
        w, apart = weights[part], (s[part, None] - s[part]).abs()
        total = total + w @ apart @ w + (w * w * length[part]).sum() / 3
    return total / len(spans)


@given(SEEDS)
def test_distortion_is_its_double_sum_and_so_is_its_gradient(seed):
    s, length, weights, spans = rays_of([5, 0, 1, 12], seed)
    loss, grad = distortion(s, length, weights, spans)
    weights.requires_grad_()
    want = double_sum(s, length, weights, spans)
    (wanted,) = torch.autograd.grad(want, weights)
    torch.testing.assert_close(loss, want.detach())
    torch.testing.assert_close(grad, wanted)


def test_weight_in_one_place_is_distorted_least():
    s, length = torch.tensor([0.2, 0.3, 0.8]), torch.full((3,), 0.01)
    spans = torch.tensor([[0, 3]])
    close, far = torch.tensor([0.5, 0.5, 0.0]), torch.tensor([0.5, 0.0, 0.5])
    assert distortion(s, length, close, spans)[0] < distortion(s, length, far, spans)[0]


def test_nothing_is_not_distorted():
    empty = torch.zeros(0)
    loss, grad = distortion(empty, empty, empty, torch.zeros(3, 2, dtype=torch.int64))
    assert float(loss) == 0
    assert grad.shape == (0,)


@given(SEEDS)
def test_depth_error_has_the_gradients_of_autograd(seed):
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
