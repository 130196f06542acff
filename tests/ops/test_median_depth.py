"""Laws of the median depth."""

import math

import pytest
import torch
from hypothesis import given

from orefield.ops.median_depth import median_depth
from strategies import SEEDS, seeded


def along(counts: list[int], seed: int) -> tuple[torch.Tensor, ...]:
    generator, number = seeded(seed), torch.tensor(counts)
    samples = int(number.sum())
    s = torch.randn(samples, generator=generator, dtype=torch.float64) + 1
    dt = torch.rand(samples, generator=generator, dtype=torch.float64) * 0.3 + 0.01
    t = dt.cumsum(0) - dt / 2
    return s, t, dt, torch.stack([number.cumsum(0) - number, number], 1)


@pytest.mark.parametrize("stopped", [0.5, 0.95])
def test_in_a_homogeneous_medium_it_is_where_so_much_light_is_stopped(stopped):
    sigma, dt = 2.0, 0.01
    t = (torch.arange(200) + 0.5) * dt + 1
    s = torch.full_like(t, math.log(sigma))
    found = median_depth(s, t, torch.full_like(t, dt), torch.tensor([[0, 200]]), None, stopped)
    assert float(found) == pytest.approx(1 - math.log(1 - stopped) / sigma, rel=1e-5)


def test_where_transmittance_stays_above_one_half_it_is_zero():
    t, spans = torch.tensor([1.0, 2.0]), torch.tensor([[0, 1], [1, 0], [1, 1]])
    s = torch.tensor([math.log(0.5), math.log(5.0)])
    found = median_depth(s, t, torch.ones(2), spans)
    assert found[:2].tolist() == [0, 0]
    assert float(found[2]) == pytest.approx(1.5 + math.log(2) / 5)


@given(SEEDS)
def test_gradients_are_those_of_finite_differences(seed):
    s, t, dt, spans = along([6, 0, 1, 9], seed)
    s.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: median_depth(x, t, dt, spans), (s,), eps=1e-7)


@given(SEEDS)
def test_in_chunks_it_is_that_of_the_whole(seed):
    s, t, dt, _ = along([10], seed)
    whole = median_depth(s, t, dt, torch.tensor([[0, 10]]))
    x, parts = s.exp() * dt, 0.0
    for first in range(0, 10, 3):
        part = slice(first, min(first + 3, 10))
        before = x[:first].sum()[None]
        spans = torch.tensor([[0, len(s[part])]])
        parts = parts + median_depth(s[part], t[part], dt[part], spans, before)
    torch.testing.assert_close(parts, whole)
