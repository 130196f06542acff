"""Laws of histograms along rays."""

import pytest
import torch
from hypothesis import given

from orefield.ops.pdf import interlevel_loss, render_weights
from orefield.ops.volume_rendering import volume_rendering
from strategies import SEEDS, seeded


def histogram(rays: int, bins: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = seeded(seed)
    widths = torch.rand(rays, bins, generator=generator, dtype=torch.float64) + 0.01
    edges = torch.nn.functional.pad(widths.cumsum(1), (1, 0)) + 0.5
    return edges, torch.rand(rays, bins, generator=generator, dtype=torch.float64)


def test_weights_are_those_of_volume_rendering():
    edges, density = histogram(3, 7, 1)
    t, dt = ((edges[:, 1:] + edges[:, :-1]) / 2).flatten(), edges.diff(dim=1).flatten()
    raw = torch.cat([density.reshape(-1, 1).log(), torch.zeros(21, 3)], 1)
    spans = torch.tensor([[0, 7], [7, 7], [14, 7]], dtype=torch.int32)
    want = volume_rendering(raw.float(), t.float(), dt.float(), spans).weights
    torch.testing.assert_close(render_weights(density, edges).flatten().float(), want)


@given(SEEDS)
def test_a_histogram_allows_for_itself_and_for_what_is_below_it(seed):
    edges, weights = histogram(4, 9, seed)
    assert float(interlevel_loss(edges, weights, edges, weights)) == pytest.approx(0, abs=1e-12)
    coarse_edges = edges[:, ::3].contiguous()
    coarse = weights.view(4, 3, 3).sum(2)
    assert float(interlevel_loss(edges, weights, coarse_edges, coarse)) == pytest.approx(
        0, abs=1e-12
    )
    assert float(interlevel_loss(edges, weights, coarse_edges, coarse * 0.3)) > 0


@given(SEEDS)
def test_interlevel_loss_of_one_bin_in_closed_form_and_its_gradient(seed):
    edges, weights = histogram(1, 1, seed)
    coarse = (weights * 0.25).requires_grad_()
    w = float(weights)
    loss = interlevel_loss(edges, weights, edges, coarse)
    assert float(loss.detach()) == pytest.approx((0.75 * w) ** 2 / (w + 1e-7))
    thrice = (x.expand(3, -1).contiguous() for x in (edges, weights, edges, coarse))
    assert float(interlevel_loss(*thrice).detach()) == pytest.approx(float(loss.detach()))
    (grad,) = torch.autograd.grad(loss, coarse)
    assert float(grad) == pytest.approx(-2 * 0.75 * w / (w + 1e-7))


def test_a_bin_is_allowed_all_that_it_touches():
    """Half a bin on either side of an edge: the weight of both."""
    coarse_edges, coarse = torch.tensor([[0.0, 1.0, 2.0]]), torch.tensor([[0.2, 0.3]])
    fine = torch.tensor([[0.5, 1.5]])
    assert float(interlevel_loss(fine, torch.tensor([[0.5]]), coarse_edges, coarse)) == 0
    assert float(interlevel_loss(fine, torch.tensor([[0.6]]), coarse_edges, coarse)) > 0
