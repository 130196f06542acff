"""Laws of hardness, budget and selection."""

import itertools
import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from orefield.config import MiningConfig
from orefield.mining import Budget, effective_sample_size, hardness, imbalance, paper_budget, select
from orefield.mining.rules import hsm, poisson_probability

BY_HARDNESS = ["hsm", "importance", "threshold", "topk", "poisson"]
ALL_RULES = ["plain", "pruned", *BY_HARDNESS, "uniform"]


def seeded(seed: int = 1000) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def long_tailed(samples: int, seed: int = 0) -> torch.Tensor:
    """Hardness as in a NeRF batch: log-normal, three tenths exactly zero."""
    g = torch.randn(samples, generator=seeded(seed)).mul(2).exp()
    return g * (torch.rand(samples, generator=seeded(seed + 1)) > 0.3)


def brute_imbalance(g: torch.Tensor) -> float:
    """tau as the paper writes it, with g normalized."""
    g = g.double() / g.double().sum()
    return float((1 - (g - 1 / len(g)).square().sum() / g.square().sum()) ** -0.5)


def test_hardness_is_the_length_of_each_row():
    grad = torch.tensor([[3.0, 0.0, 4.0, 0.0], [0.0, 0.0, 0.0, 0.0]], dtype=torch.bfloat16)
    assert hardness(grad).tolist() == [5.0, 0.0]
    assert hardness(grad).dtype == torch.float32


def test_imbalance_is_the_papers_tau():
    g = long_tailed(1000)
    assert imbalance(g) == pytest.approx(brute_imbalance(g), rel=1e-6)
    assert imbalance(g * 1e-30) == pytest.approx(imbalance(g), rel=1e-5)


def test_equal_hardness_is_worth_every_sample_and_a_single_one_just_one():
    assert effective_sample_size(torch.full((7,), 0.3)) == pytest.approx(7)
    assert effective_sample_size(torch.tensor([0.0, 5.0, 0.0])) == pytest.approx(1)
    assert effective_sample_size(torch.zeros(3)) == 0
    assert imbalance(torch.zeros(3)) == 1


def test_budget_reproduces_worked_numbers():
    # g = (3, 1, 0, ..., 0) of 16: tau_new = sqrt(16 * 10) / 4 = 3.1623; 0.99 * 3 + 0.031623.
    g = torch.zeros(16)
    g[:2] = torch.tensor([3.0, 1.0])
    budget, b = paper_budget(Budget(3.0), g, 0.05, 0.5)
    assert budget.tau == pytest.approx(3.0016228, abs=1e-6)
    assert b == 5  # 16 / 3.0016 = 5.33
    assert paper_budget(Budget(), g, 0.05, 0.5)[1] == 8  # tau near 1: the upper clamp
    assert paper_budget(Budget(100.0), g, 0.25, 0.5)[1] == 4  # the lower clamp
    assert paper_budget(None, g, 0.05, 0.5) == (Budget(pytest.approx(3.1622777)), 5)


def test_running_tau_ignores_batches_without_imbalance():
    assert paper_budget(Budget(3.0), torch.zeros(8), 0.05, 0.5)[0] == Budget(3.0)


def test_budget_survives_json_exactly():
    budget, _ = paper_budget(Budget(1.234), long_tailed(100), 0.05, 0.5)
    assert Budget(**json.loads(json.dumps(budget._asdict()))) == budget


def sequential_inclusion(g: list[float], b: int) -> list[float]:
    """Probability that a sample is among b drawn one by one, by enumerating all orders."""
    inclusion = [0.0] * len(g)
    for order in itertools.permutations(range(len(g)), b):
        chance, left = 1.0, sum(g)
        for i in order:
            chance, left = chance * g[i] / left, left - g[i]
        for i in order:
            inclusion[i] += chance
    return inclusion


def test_hsm_draws_with_the_frequencies_of_sequential_drawing():
    g, b, draws = [5.0, 2.0, 1.0, 1.0, 0.5, 0.0], 3, 10_000
    generator = seeded()
    counts = torch.zeros(len(g))
    population = torch.tensor(g)
    for _ in range(draws):
        counts += hsm(population, b, generator)
    expected = torch.tensor(sequential_inclusion(g, b))
    assert expected.sum() == pytest.approx(b)
    sd = (draws * expected * (1 - expected)).sqrt()
    z = (counts - draws * expected)[:5] / sd[:5]
    assert z.abs().max() < 4
    assert counts[5] == 0


def test_threshold_is_its_definition():
    g = long_tailed(500)
    kept = select(MiningConfig(rule="threshold", c=0.7), g)[0].kept
    mean = sum(g.tolist()) / 500
    assert kept.tolist() == [i for i, h in enumerate(g.tolist()) if h > 0.7 * mean]


def test_zero_threshold_keeps_whatever_has_a_gradient():
    g = long_tailed(500)
    selection, _ = select(MiningConfig(rule="threshold", c=0.0), g)
    assert torch.equal(selection.kept, g.nonzero().squeeze(1))


def test_threshold_does_not_see_a_loss_scale():
    g = long_tailed(500)
    kept = [select(MiningConfig(rule="threshold"), g * scale)[0].kept for scale in (1.0, 2.0**16)]
    assert torch.equal(*kept)


@pytest.mark.parametrize("sure", [1.0, 4.0, 20.0])
def test_chance_keeps_each_sample_as_often_as_its_hardness_says(sure):
    """Over many draws, within five standard deviations; whatever reaches the limit, always."""
    g = long_tailed(500)
    p = (g / (sure * g.mean())).clamp(max=1.0)
    draws, often = 400, torch.zeros(500)
    generator = seeded(1)
    for _ in range(draws):
        kept = select(MiningConfig(rule="importance", sure=sure), g, None, generator)[0].kept
        often[kept] += 1
    assert (often[p == 1] == draws).all()
    deviation = (draws * p * (1 - p)).sqrt()
    assert ((often - draws * p).abs() <= 5 * deviation + 1).all()


@pytest.mark.parametrize("rule", ["threshold", "importance"])
def test_samples_left_out_for_lack_of_hardness_count_in_the_mean(rule):
    g = long_tailed(500)
    padded = torch.cat([g, torch.zeros(1500)])
    config = MiningConfig(rule=rule)
    whole = select(config, padded, None, seeded(2))[0].kept
    part = select(config, g, None, seeded(2), of=2000)[0].kept
    if rule == "threshold":
        assert torch.equal(whole, part)
    assert abs(len(whole) - len(part)) <= 5 * len(part) ** 0.5
    assert len(select(config, g, None, seeded(2))[0].kept) < len(part)


def test_topk_keeps_the_hardest():
    g = long_tailed(500)
    kept = select(MiningConfig(rule="topk", budget=0.1), g)[0].kept
    assert len(kept) == 50
    dropped = torch.ones(500, dtype=torch.bool).index_fill_(0, kept, False)
    assert g[kept].min() >= g[dropped].max()


def test_topk_of_equals_keeps_just_the_budget():
    assert len(select(MiningConfig(rule="topk", budget=0.1), torch.ones(500))[0].kept) == 50


@given(b=st.integers(1, 200), seed=st.integers(0, 100), tail=st.floats(0.1, 4))
def test_poisson_probabilities_sum_to_the_budget(b, seed, tail):
    g = torch.randn(1000, generator=seeded(seed)).mul(tail).exp()
    p = poisson_probability(g, b)
    assert p.sum() == pytest.approx(b, rel=1e-3)
    below = p < 1
    assert torch.allclose(
        p[below] / g[below], (p[below] / g[below])[0]
    )  # proportional where not certain
    assert g[~below].numel() == 0 or g[~below].min() >= g[below].max()


def test_poisson_keeps_everything_when_fewer_have_a_gradient_than_the_budget():
    g = torch.tensor([0.0, 2.0, 0.0, 1e-9, 3.0])
    assert poisson_probability(g, 4).tolist() == [0, 1, 0, 1, 1]


@pytest.mark.parametrize(("rule", "alpha"), [("poisson", 1.0), ("uniform", 0.5)])
def test_weighted_estimate_is_unbiased(rule, alpha):
    config = MiningConfig(rule=rule, alpha=alpha, budget=0.2)
    g = long_tailed(200).sqrt()
    values = g * torch.rand(
        200, generator=seeded(5)
    )  # any per-sample gradient of at most that length
    generator = seeded()
    estimates = []
    for _ in range(2000):
        (kept, weight), _ = select(config, g, None, generator)
        estimates.append(float((values[kept] * weight).sum()))
    mean = sum(estimates) / len(estimates)
    sd = math.sqrt(sum((e - mean) ** 2 for e in estimates)) / len(estimates)
    assert abs(mean - float(values.sum())) < 4 * sd
    assert abs(mean) > 20 * sd  # the test could tell the truth from zero


def test_poisson_weight_is_p_to_the_minus_alpha():
    g = long_tailed(300)
    p = poisson_probability(g, 30)
    for alpha in (0.5, 1.0):
        config = MiningConfig(rule="poisson", alpha=alpha, budget=0.1)
        (kept, weight), _ = select(config, g, None, seeded())
        torch.testing.assert_close(weight, p[kept] ** -alpha)
    assert select(MiningConfig(rule="poisson", alpha=0.0, budget=0.1), g)[0].weight is None


@pytest.mark.parametrize("rule", ["hsm", "topk", "uniform", "poisson"])
def test_kept_share_follows_the_papers_budget(rule):
    g, before = long_tailed(20_000), Budget(4.0)
    after, b = paper_budget(before, g, 0.05, 0.5)
    (kept, _), returned = select(MiningConfig(rule=rule), g, before, seeded())
    assert returned == after
    assert 0.05 * 20_000 < b < 0.5 * 20_000
    if rule == "poisson":
        assert abs(len(kept) - b) < 4 * math.sqrt(b)
    else:
        assert len(kept) == b


@pytest.mark.parametrize("rule", ["topk", "uniform", "poisson"])
def test_fixed_share_leaves_the_running_budget_alone(rule):
    budget = Budget(2.5)
    (kept, _), after = select(
        MiningConfig(rule=rule, budget=0.2), long_tailed(1000), budget, seeded()
    )
    assert after is budget
    assert len(kept) == pytest.approx(200, abs=0 if rule != "poisson" else 4 * math.sqrt(200))


@pytest.mark.parametrize("rule", ALL_RULES)
def test_same_seed_same_selection_sorted_unique_and_in_range(rule):
    g = long_tailed(1000)
    first, second = (
        select(MiningConfig(rule=rule), g, Budget(3.0), seeded(9))[0] for _ in range(2)
    )
    assert torch.equal(first.kept, second.kept)
    assert first.kept.dtype == torch.int64
    assert (first.kept.diff() > 0).all()
    assert first.kept[0] >= 0
    assert first.kept[-1] < 1000
    assert first.weight is None or torch.equal(first.weight, second.weight)


def test_plain_keeps_all_and_pruned_what_light_reaches():
    g = long_tailed(50)
    assert select(MiningConfig(rule="plain"), g)[0].kept.tolist() == list(range(50))
    visible = torch.rand(50) > 0.5
    kept = select(MiningConfig(rule="pruned"), g, visible=visible)[0].kept
    assert torch.equal(kept, visible.nonzero().squeeze(1))
    assert torch.equal(select(MiningConfig(rule="pruned"), g)[0].kept, g.nonzero().squeeze(1))


@pytest.mark.parametrize("rule", BY_HARDNESS)
def test_nothing_hard_nothing_kept(rule):
    (kept, _), budget = select(MiningConfig(rule=rule), torch.zeros(40), Budget(2.0), seeded())
    assert kept.shape == (0,)
    assert budget == Budget(2.0)


@pytest.mark.parametrize("rule", ["hsm", "topk", "poisson"])
def test_fewer_hard_samples_than_the_budget_are_all_kept(rule):
    g = torch.zeros(40)
    g[[3, 17]] = torch.tensor([1e-6, 1.0])
    assert select(MiningConfig(rule=rule), g, Budget(), seeded())[0].kept.tolist() == [3, 17]


@pytest.mark.parametrize("rule", ALL_RULES)
def test_no_samples_no_selection(rule):
    (kept, _), budget = select(MiningConfig(rule=rule), torch.zeros(0), Budget(2.0), seeded())
    assert kept.shape == (0,)
    assert budget == Budget(2.0)


@pytest.mark.parametrize("rule", ALL_RULES)
@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_broken_hardness_is_always_kept_and_otherwise_counts_as_zero(rule, broken):
    healthy = long_tailed(400)
    healthy[[7, 99]] = 0.0
    damaged = healthy.clone()
    damaged[[7, 99]] = broken
    (expected, _), budget = select(MiningConfig(rule=rule), healthy, Budget(3.0), seeded())
    (kept, weight), damaged_budget = select(MiningConfig(rule=rule), damaged, Budget(3.0), seeded())
    assert set(kept.tolist()) == {*expected.tolist(), 7, 99}
    assert damaged_budget == budget
    assert weight is None or weight.isfinite().all()
