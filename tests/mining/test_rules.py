"""Laws of hardness, budget and selection."""

import itertools
import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from orefield.config import MiningConfig
from orefield.mining import (
    effective_sample_size,
    hardness,
    imbalance,
    initial_tau,
    keep_mask,
    kept_indices,
    paper_budget,
    select,
)
from orefield.mining.rules import hsm, importance, poisson_probability

BY_HARDNESS = ["hsm", "importance", "threshold", "topk", "poisson"]
ALL_RULES = ["plain", "pruned", *BY_HARDNESS, "uniform"]
UNWEIGHTED = ["plain", "pruned", "hsm", "threshold", "topk"]
HOST_READS = ("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim")
"""Operations whose result the host must wait for."""


def seeded(seed: int = 1000) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def long_tailed(samples: int, seed: int = 0) -> torch.Tensor:
    """Hardness as in a NeRF batch: log-normal, three tenths exactly zero."""
    g = torch.randn(samples, generator=seeded(seed)).mul(2).exp()
    return g * (torch.rand(samples, generator=seeded(seed + 1)) > 0.3)


def running(tau: float) -> torch.Tensor:
    return torch.tensor(tau, dtype=torch.float64)


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
    tau = float(imbalance(g))
    assert tau == pytest.approx(brute_imbalance(g), rel=1e-6)
    assert float(imbalance(g * 1e-30)) == pytest.approx(tau, rel=1e-5)


def test_equal_hardness_is_worth_every_sample_and_a_single_one_just_one():
    assert effective_sample_size(torch.full((7,), 0.3)) == pytest.approx(7)
    assert effective_sample_size(torch.tensor([0.0, 5.0, 0.0])) == pytest.approx(1)
    assert effective_sample_size(torch.zeros(3)) == 0
    assert imbalance(torch.zeros(3)) == 1


def test_budget_reproduces_worked_numbers():
    # g = (3, 1, 0, ..., 0) of 16: tau_new = sqrt(16 * 10) / 4 = 3.1623; 0.99 * 3 + 0.031623.
    g = torch.zeros(16)
    g[:2] = torch.tensor([3.0, 1.0])
    tau, b = paper_budget(running(3.0), g, 0.05, 0.5)
    assert float(tau) == pytest.approx(3.0016228, abs=1e-6)
    assert b == 5  # 16 / 3.0016 = 5.33
    assert paper_budget(initial_tau(), g, 0.05, 0.5)[1] == 8  # tau near 1: the upper clamp
    assert paper_budget(running(100.0), g, 0.25, 0.5)[1] == 4  # the lower clamp
    tau, b = paper_budget(None, g, 0.05, 0.5)
    assert float(tau) == pytest.approx(3.1622777)
    assert b == 5


def test_running_tau_ignores_batches_without_imbalance():
    assert paper_budget(running(3.0), torch.zeros(8), 0.05, 0.5)[0] == 3.0


def test_running_tau_survives_json_exactly():
    tau, _ = paper_budget(running(1.234), long_tailed(100), 0.05, 0.5)
    assert tau.dtype == torch.float64
    assert running(json.loads(json.dumps(float(tau)))) == tau


def sequential_inclusion(g: list[float], b: int) -> list[float]:
    """Probability that a sample is among b drawn one by one, by enumerating all orders."""
    inclusion = [0.0] * len(g)
    for order in itertools.permutations(range(len(g)), b):
        probability, left = 1.0, sum(g)
        for i in order:
            probability, left = probability * g[i] / left, left - g[i]
        for i in order:
            inclusion[i] += probability
    return inclusion


def test_hsm_draws_with_the_frequencies_of_sequential_drawing():
    g, b, draws = [5.0, 2.0, 1.0, 1.0, 0.5, 0.0], 3, 10_000
    generator = seeded()
    counts = torch.zeros(len(g))
    population, budget = torch.tensor(g), torch.tensor(b)
    for _ in range(draws):
        counts += hsm(population, budget, b, generator)
    expected = torch.tensor(sequential_inclusion(g, b))
    assert expected.sum() == pytest.approx(b)
    sd = (draws * expected * (1 - expected)).sqrt()
    z = (counts - draws * expected)[:5] / sd[:5]
    assert z.abs().max() < 4
    assert counts[5] == 0


def test_threshold_is_its_definition():
    g = long_tailed(500)
    kept = select(MiningConfig(rule="threshold", threshold=0.7), g)[0].kept
    mean = sum(g.tolist()) / 500
    assert kept.tolist() == [i for i, h in enumerate(g.tolist()) if h > 0.7 * mean]


def test_zero_threshold_keeps_whatever_has_a_gradient():
    g = long_tailed(500)
    selection, _ = select(MiningConfig(rule="threshold", threshold=0.0), g)
    assert torch.equal(selection.kept, g.nonzero().squeeze(1))


def test_threshold_does_not_see_a_loss_scale():
    g = long_tailed(500)
    kept = [select(MiningConfig(rule="threshold"), g * scale)[0].kept for scale in (1.0, 2.0**16)]
    assert torch.equal(*kept)


@pytest.mark.parametrize("saturation", [1.0, 4.0, 20.0])
def test_importance_keeps_each_sample_as_often_as_its_hardness_says(saturation):
    """Over many draws, within five standard deviations; whatever reaches the limit, always."""
    g = long_tailed(500)
    p = (g / (saturation * g.mean())).clamp(max=1.0)
    config = MiningConfig(rule="importance", saturation=saturation)
    draws, often = 400, torch.zeros(500)
    generator = seeded(1)
    for _ in range(draws):
        often[select(config, g, generator)[0].kept] += 1
    assert (often[p == 1] == draws).all()
    deviation = (draws * p * (1 - p)).sqrt()
    assert ((often - draws * p).abs() <= 5 * deviation + 1).all()


@pytest.mark.parametrize("rule", ["threshold", "importance"])
def test_evaluated_samples_that_g_lacks_count_in_the_mean(rule):
    g = long_tailed(500)
    padded = torch.cat([g, torch.zeros(1500)])
    config = MiningConfig(rule=rule)
    whole = select(config, padded, seeded(2))[0].kept
    part = select(config, g, seeded(2), evaluated=2000)[0].kept
    if rule == "threshold":
        assert torch.equal(whole, part)
    assert abs(len(whole) - len(part)) <= 5 * len(part) ** 0.5
    assert len(select(config, g, seeded(2))[0].kept) < len(part)


def test_what_is_harder_than_the_saturation_has_probability_and_weight_one():
    g = torch.tensor([100.0, 1.0, 1.0, 0.0])
    assert importance(g, 0.5)[0] == 1
    selection, _ = select(MiningConfig(rule="importance", saturation=0.5), g, seeded())
    assert selection.kept[0] == 0
    assert selection.weight[0] == 1


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
    p = poisson_probability(g, torch.tensor(b))
    assert p.sum() == pytest.approx(b, rel=1e-3)
    below = p < 1
    assert torch.allclose(
        p[below] / g[below], (p[below] / g[below])[0]
    )  # proportional where not certain
    assert g[~below].numel() == 0 or g[~below].min() >= g[below].max()


def test_poisson_keeps_everything_when_fewer_have_a_gradient_than_the_budget():
    g = torch.tensor([0.0, 2.0, 0.0, 1e-9, 3.0])
    assert poisson_probability(g, torch.tensor(4)).tolist() == [0, 1, 0, 1, 1]


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
        (kept, weight), _ = select(config, g, generator)
        estimates.append(float((values[kept] * weight).sum()))
    mean = sum(estimates) / len(estimates)
    sd = math.sqrt(sum((e - mean) ** 2 for e in estimates)) / len(estimates)
    assert abs(mean - float(values.sum())) < 4 * sd
    assert abs(mean) > 20 * sd  # the test could tell the truth from zero


def test_poisson_weight_is_p_to_the_minus_alpha():
    g = long_tailed(300)
    p = poisson_probability(g, torch.tensor(30))
    for alpha in (0.5, 1.0):
        config = MiningConfig(rule="poisson", alpha=alpha, budget=0.1)
        (kept, weight), _ = select(config, g, seeded())
        torch.testing.assert_close(weight, p[kept] ** -alpha)
    assert select(MiningConfig(rule="poisson", alpha=0.0, budget=0.1), g)[0].weight is None


@pytest.mark.parametrize("rule", ["hsm", "topk", "uniform", "poisson"])
def test_kept_share_follows_the_papers_budget(rule):
    g, before = long_tailed(20_000), running(4.0)
    after, b = paper_budget(before, g, 0.05, 0.5)
    (kept, _), returned = select(MiningConfig(rule=rule), g, seeded(), before)
    assert returned == after
    assert 0.05 * 20_000 < b < 0.5 * 20_000
    if rule == "poisson":
        assert abs(len(kept) - b) < 4 * math.sqrt(b)
    else:
        assert len(kept) == b


@pytest.mark.parametrize("rule", ["topk", "uniform", "poisson"])
def test_fixed_share_leaves_the_running_tau_alone(rule):
    tau, config = running(2.5), MiningConfig(rule=rule, budget=0.2)
    (kept, _), after = select(config, long_tailed(1000), seeded(), tau)
    assert after is tau
    assert len(kept) == pytest.approx(200, abs=0 if rule != "poisson" else 4 * math.sqrt(200))


@pytest.mark.parametrize("rule", ALL_RULES)
def test_same_seed_same_selection_sorted_unique_and_in_range(rule):
    g = long_tailed(1000)
    first, second = (
        select(MiningConfig(rule=rule), g, seeded(9), running(3.0))[0] for _ in range(2)
    )
    assert torch.equal(first.kept, second.kept)
    assert first.kept.dtype == torch.int64
    assert (first.kept.diff() > 0).all()
    assert first.kept[0] >= 0
    assert first.kept[-1] < 1000
    assert first.weight is None or torch.equal(first.weight, second.weight)


def test_plain_keeps_all_and_pruned_what_has_a_gradient():
    g = long_tailed(50)
    assert select(MiningConfig(rule="plain"), g)[0].kept.tolist() == list(range(50))
    assert torch.equal(select(MiningConfig(rule="pruned"), g)[0].kept, g.nonzero().squeeze(1))


@pytest.mark.parametrize("rule", BY_HARDNESS)
def test_nothing_hard_nothing_kept(rule):
    (kept, _), tau = select(MiningConfig(rule=rule), torch.zeros(40), seeded(), running(2.0))
    assert kept.shape == (0,)
    assert tau == 2.0


@pytest.mark.parametrize("rule", ["hsm", "topk", "poisson"])
def test_fewer_hard_samples_than_the_budget_are_all_kept(rule):
    g = torch.zeros(40)
    g[[3, 17]] = torch.tensor([1e-6, 1.0])
    assert select(MiningConfig(rule=rule), g, seeded(), initial_tau())[0].kept.tolist() == [3, 17]


@pytest.mark.parametrize("rule", ALL_RULES)
def test_no_samples_no_selection(rule):
    (kept, _), tau = select(MiningConfig(rule=rule), torch.zeros(0), seeded(), running(2.0))
    assert kept.shape == (0,)
    assert tau == 2.0


@pytest.mark.parametrize("rule", ALL_RULES)
@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_broken_hardness_is_always_kept_and_otherwise_counts_as_zero(rule, broken):
    healthy = long_tailed(400)
    healthy[[7, 99]] = 0.0
    damaged = healthy.clone()
    damaged[[7, 99]] = broken
    (expected, _), tau = select(MiningConfig(rule=rule), healthy, seeded(), running(3.0))
    (kept, weight), damaged_tau = select(MiningConfig(rule=rule), damaged, seeded(), running(3.0))
    assert set(kept.tolist()) == {*expected.tolist(), 7, 99}
    assert damaged_tau == tau
    assert weight is None or weight.isfinite().all()


@pytest.mark.parametrize("rule", ALL_RULES)
def test_mask_and_indices_are_two_halves_of_a_selection(rule):
    g, config = long_tailed(400), MiningConfig(rule=rule)
    choice, tau = keep_mask(config, g, seeded(3), running(3.0))
    (kept, weight), selected_tau = select(config, g, seeded(3), running(3.0))
    assert choice.keep.tolist() == [i in set(kept.tolist()) for i in range(400)]
    assert (choice.weight is None) == (weight is None) == (rule in UNWEIGHTED)
    if weight is not None:
        assert choice.weight.shape == g.shape
        assert torch.equal(choice.weight[choice.keep], weight)
    again = kept_indices(choice)
    assert torch.equal(again.kept, kept)
    assert tau == selected_tau


class HostReads(TorchDispatchMode):
    """Records what the host would wait for."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.__name__.split(".")[0]
        if name in HOST_READS:
            self.found.append(name)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("rule", ALL_RULES)
@pytest.mark.parametrize("share", [0.0, 0.1])
def test_choosing_reads_nothing_from_the_device(rule, share):
    """But for the budget of hsm and topk, which a CPU reads."""
    config, g, tau = MiningConfig(rule=rule, budget=share), long_tailed(400), running(3.0)
    with HostReads() as reads:
        choice, _ = keep_mask(config, g, seeded(), tau, torch.tensor(500))
    assert reads.found == (["_local_scalar_dense"] if rule in ("hsm", "topk") else [])
    with HostReads() as reads:
        kept_indices(choice)
    assert reads.found == ["nonzero"]


@given(seed=st.integers(0, 100), padding=st.integers(0, 300))
def test_padding_with_zeros_changes_nothing_where_the_number_evaluated_is_given(seed, padding):
    """As in buffers of fixed size, whose number of samples is a tensor."""
    g, number = long_tailed(200, seed), torch.tensor(200)
    padded = torch.cat([g, torch.zeros(padding)])
    config = MiningConfig(rule="threshold", threshold=0.7)
    assert torch.equal(
        select(config, padded, None, None, number)[0].kept, select(config, g)[0].kept
    )
    p = importance(padded, 4.0, number)
    torch.testing.assert_close(p[:200], importance(g, 4.0))
    assert (p[200:] == 0).all()
    # More were evaluated than have a slot: a tensor and a plain number say the same.
    torch.testing.assert_close(
        importance(padded, 4.0, 2 * number + 600), importance(padded, 4.0, 1000)
    )
