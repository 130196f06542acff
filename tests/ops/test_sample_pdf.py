"""Laws of samples drawn from histograms along rays."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from orefield.ops.backend import using
from orefield.ops.sample_pdf import PADDING, definition, sample_pdf
from strategies import SEEDS, seeded
from twins import run

BOTH = ["cpu", "definition"]


def histogram(rays: int, bins: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Edges from 0.5 on, and weights of which some are zero."""
    generator = seeded(seed)
    widths = torch.rand(rays, bins, generator=generator) + 0.01
    weights = torch.rand(rays, bins, generator=generator) - 0.3
    return torch.nn.functional.pad(widths.cumsum(1), (1, 0)) + 0.5, weights.clamp(min=0)


@given(
    rays=st.sampled_from([0, 1, 63, 64, 65, 300]),
    bins=st.sampled_from([1, 2, 33, 64]),
    number=st.sampled_from([1, 7, 48]),
    seed=SEEDS,
)
def test_twin_equals_definition(rays, bins, number, seed):
    edges, weights = histogram(rays, bins, seed)
    jitter = torch.rand(rays, generator=seeded(seed))
    got = run("cpu", sample_pdf, edges, weights, number, jitter)
    want = definition(edges.double(), weights.double(), number, jitter.double()).float()
    assert got.shape == (rays, number + 1)
    # A sum of n weights errs by n eps of itself, and the inverse is at most as steep as a bin of
    # the least weight.
    width, total = edges.diff(dim=1).amax(1), (weights + PADDING).sum(1)
    slope = width * total / PADDING
    assert ((got - want).abs() <= 2 * bins * 2**-23 * (slope[:, None] + want)).all()


@pytest.mark.parametrize("twin", BOTH)
def test_all_weight_in_one_bin_draws_nearly_all_edges_into_it(twin):
    edges = torch.linspace(0, 1, 11)[None]
    weights = torch.zeros(1, 10)
    weights[0, 3] = 100.0
    found = run(twin, sample_pdf, edges, weights, 19)[0]
    # u = (i + 1/2) / 20, and the bin's share of the CDF is all but 0.1 of 100.1.
    inside = (found > 0.3) & (found < 0.4)
    assert int(inside.sum()) == 20
    want = [0.3 + 0.1 * (i + 0.5) / 20 for i in range(20)]
    assert found[inside].tolist() == pytest.approx(want, abs=2e-4)


@pytest.mark.parametrize("twin", BOTH)
def test_even_weights_give_even_edges(twin):
    edges = torch.linspace(2, 4, 9)[None]
    found = run(twin, sample_pdf, edges, torch.ones(1, 8), 4)[0]
    assert found.tolist() == pytest.approx([2 + 2 * (i + 0.5) / 5 for i in range(5)])


@pytest.mark.parametrize("twin", BOTH)
@given(SEEDS)
def test_edges_ascend_within_the_ray_and_jitter_stays_in_its_stratum(twin, seed):
    edges, weights = histogram(5, 12, seed)
    jitter = torch.rand(5, generator=seeded(seed))
    with using(twin):
        low, high = (sample_pdf(edges, weights, 8, torch.full((5,), x)) for x in (0.0, 1.0))
        found = sample_pdf(edges, weights, 8, jitter)
    assert (found.diff(dim=1) >= -1e-6).all()
    assert (found >= edges[:, :1] - 1e-6).all()
    assert (found <= edges[:, -1:] + 1e-6).all()
    assert (found >= low - 1e-5).all()
    assert (found <= high + 1e-5).all()


def test_contradicting_shapes_are_refused():
    with pytest.raises(ValueError, match="one edge more than bins"):
        sample_pdf(torch.zeros(2, 3), torch.zeros(2, 3), 4)
    with pytest.raises(ValueError, match="a bin or more"):
        sample_pdf(torch.zeros(2, 1), torch.zeros(2, 0), 4)
