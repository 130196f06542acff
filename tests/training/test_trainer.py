"""Laws of training, on a scene of a few hundred pixels."""

import dataclasses
import importlib
import itertools
import json
import math
from collections.abc import Callable
from typing import get_args

import pytest
import torch

from orefield.training.batches import pixel_loss
from orefield.config import CalibrationConfig, MiningConfig, Rule, RunConfig
from orefield.mining import Selection
from orefield.ops.volume_rendering import Pixels, composite
from orefield.scenes import Scene
from orefield.training.trainer import StepStats, Trainer, fit, warm_up
from orefield.types import PackedSamples
from strategies import packed, seeded

RULES = get_args(Rule)
Make = Callable[..., Trainer]


@pytest.fixture
def make(tiny_scene: Scene, tiny_config: RunConfig) -> Make:
    """Trainers on the tiny scene; what is given differs from the tiny configuration."""

    def trainer(
        rule: Rule = "threshold", optim: dict | None = None, precision: str = "auto", **changes
    ) -> Trainer:
        changes = {"steps": 200, "mining": MiningConfig(rule=rule), **changes}
        field = dataclasses.replace(tiny_config.field, precision=precision)
        optimizer = dataclasses.replace(tiny_config.optim, **(optim or {}))
        config = dataclasses.replace(tiny_config, field=field, optim=optimizer, **changes)
        return Trainer(tiny_scene, config)

    return trainer


def run(trainer: Trainer, steps: int) -> list[StepStats]:
    return [trainer.advance() for _ in range(steps)]


def snapshot(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in trainer.state()[0].items()}


def parameters(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {n: v for n, v in snapshot(trainer).items() if n.startswith("field.")}


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


@pytest.mark.parametrize("rule", RULES)
def test_the_seed_decides_the_run(make: Make, rule: Rule) -> None:
    states = []
    for seed in (3, 3, 4):
        trainer = make(rule, seed=seed)
        run(trainer, 30)
        states.append(snapshot(trainer))
    assert equal(states[0], states[1])
    assert not equal(states[0], states[2])


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_trains(make: Make, rule: Rule) -> None:
    stats = run(make(rule, seed=1), 120)
    early, late = (sum(s.loss for s in part) / 10 for part in (stats[:10], stats[-10:]))
    assert late < 0.5 * early
    assert all(0 < s.kept <= s.marched for s in stats)
    if rule not in ("plain", "pruned"):
        assert stats[-1].kept < 0.9 * stats[-1].marched


def test_keeping_everything_is_plain_training_bit_for_bit(make: Make) -> None:
    """While light reaches every sample, `pruned` keeps them all."""
    trainers = make("plain"), make("pruned")
    for _ in range(5):
        plain, pruned = (trainer.advance() for trainer in trainers)
        assert pruned.kept == pruned.marched
        assert plain.loss == pruned.loss
    assert equal(*(parameters(trainer) for trainer in trainers))


def one_step(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> tuple[StepStats, dict[str, torch.Tensor]]:
    """A step whose gradients are handed out and not applied."""
    monkeypatch.setattr(trainer.optimizer, "step", lambda lr: None)
    stats, named = trainer.advance(), dict(trainer.field.named_parameters())
    return stats, {name: p.grad for name, p in named.items()}


def test_dropping_samples_without_a_gradient_changes_none(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for rounding: the sums have fewer terms."""
    grads = []
    kept_all = MiningConfig(rule="threshold", c=0.0, early_termination="all", rays="even")
    for mining in (MiningConfig(rule="plain"), kept_all):
        trainer = with_walls(make(mining=mining, precision="fp32"))
        stats, grad = one_step(trainer, monkeypatch)
        grads.append(grad)
    assert 0.1 < stats.kept / stats.marched < 0.9
    for name, grad in grads[0].items():
        close = 1e-4 * float(grad.abs().max())
        torch.testing.assert_close(grads[1][name], grad, rtol=0, atol=close)


def with_walls(trainer: Trainer) -> Trainer:
    """Walls of matter: no light gets behind them."""
    trainer.field.table.data *= 1e4
    trainer.field.density2.data[0] *= 20
    return trainer


@pytest.mark.parametrize(("rule", "wanted"), [("importance", True), ("hsm", False)])
def test_it_looks_ahead_once_much_lies_in_the_dark(make: Make, rule: Rule, wanted: bool) -> None:
    """Not in fog; from then on for good; the published rules never."""
    trainer = make(rule, precision="fp32")
    trainer.advance()
    assert not trainer.dynamic.ahead
    with_walls(trainer).advance()
    assert trainer.dynamic.ahead is wanted
    other = make(rule, precision="fp32")
    other.restore(*trainer.state())
    assert other.dynamic.ahead is wanted


def test_weights_of_kept_samples_multiply_their_gradient(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, plain = one_step(make("plain", precision="fp32"), monkeypatch)

    def all_twice(config, g, budget, generator, of):
        return Selection(torch.arange(len(g)), torch.full_like(g, 2.0)), budget

    monkeypatch.setattr("orefield.training.step.select", all_twice)
    _, twice = one_step(make("hsm", precision="fp32"), monkeypatch)
    for name, grad in plain.items():
        torch.testing.assert_close(twice[name], 2 * grad)


@pytest.mark.parametrize("rule", RULES)
def test_rays_through_empty_cells_alone_teach_nothing_and_break_nothing(
    make: Make, rule: Rule
) -> None:
    trainer = make(rule)
    run(trainer, 1)
    occupied = trainer.sampler.occupied
    trainer.sampler.occupy(torch.zeros_like(occupied))
    stats = trainer.advance()
    assert stats.marched == stats.kept == 0
    assert math.isfinite(stats.loss)
    trainer.sampler.occupy(occupied)
    assert all(math.isfinite(s.loss) and s.kept > 0 for s in run(trainer, 3))


@pytest.mark.parametrize("rule", ["plain", "hsm", "threshold", "poisson"])
def test_stop_and_resume_equals_an_uninterrupted_run(make: Make, rule: Rule) -> None:
    whole = make(rule)
    run(whole, 13)
    tensors, facts = snapshot(whole), json.loads(json.dumps(whole.state()[1]))
    rest = run(whole, 13)
    resumed = make(rule, seed=99)
    resumed.restore(tensors, facts)
    assert resumed.step == 13
    assert [s._replace(seconds=0) for s in run(resumed, 13)] == [
        s._replace(seconds=0) for s in rest
    ]
    assert equal(snapshot(whole), snapshot(resumed))
    one, other = (trainer.state()[1] for trainer in (whole, resumed))
    assert one["budget"] == other["budget"]
    assert resumed.seconds > facts["seconds"]


@pytest.mark.parametrize("rule", ["plain", "threshold"])
def test_a_step_that_is_not_finite_is_skipped_and_counted(make: Make, rule: Rule) -> None:
    trainer = make(rule)
    run(trainer, 3)
    trainer.field.density1.data[0, 0] = torch.nan
    before = parameters(trainer)
    stats = trainer.advance()
    assert math.isnan(stats.loss)
    assert math.isnan(stats.psnr)
    assert stats.kept == 0
    assert trainer.skipped == 1
    after = parameters(trainer)
    assert all(torch.equal(before[n].nan_to_num(), after[n].nan_to_num()) for n in before)
    assert sum(int(v.isnan().sum()) for v in after.values()) == 1


def test_training_goes_on_after_a_skipped_step(make: Make) -> None:
    """One photograph's worth of bad luck is not the end: no NaN is left in any state."""
    trainer = make()
    run(trainer, 3)
    good = float(trainer.field.color3.data[0, 0])
    trainer.field.color3.data[0, 0] = torch.inf
    trainer.advance()
    trainer.field.color3.data[0, 0] = good
    stats = run(trainer, 40)
    assert all(math.isfinite(s.loss) for s in stats)
    assert stats[-1].loss < stats[0].loss


def test_learning_rate_warms_up_and_ends_where_it_should_by_steps(make: Make) -> None:
    trainer = make(steps=40, optim={"lr": 0.02, "lr_final": 0.25, "warmup": 8})
    rates = [stats.lr for stats in fit(trainer)]
    assert len(rates) == 40
    decay = [0.25 ** (step / 40) for step in range(40)]
    rise = [min((step + 1) / 8, 1) for step in range(40)]
    assert rates == pytest.approx([0.02 * a * b for a, b in zip(rise, decay, strict=True)])
    assert trainer.lr() == pytest.approx(0.02 * 0.25)


def test_learning_rate_follows_the_clock_where_the_budget_is_time(make: Make) -> None:
    trainer = make(steps=0, seconds=100.0, optim={"lr": 0.02, "lr_final": 0.25, "warmup": 1})
    for seconds, want in [(0.0, 0.02), (50.0, 0.01), (100.0, 0.005), (170.0, 0.005)]:
        trainer.seconds = seconds
        assert trainer.lr() == pytest.approx(want)
        assert trainer.progress() == min(seconds / 100, 1)
    assert list(fit(trainer)) == []


def test_fit_ends_with_the_time(make: Make) -> None:
    trainer = make(steps=0, seconds=0.3)
    stats = list(fit(trainer))
    assert stats[-2].seconds < 0.3 <= stats[-1].seconds
    assert [s.step for s in stats] == list(range(1, len(stats) + 1))
    assert sum(trainer.watch.seconds.values()) <= trainer.seconds


def test_rays_adapt_to_the_target_number_of_samples(make: Make) -> None:
    for target in (3000, 9000):
        stats = run(make(optim={"samples": target}), 40)
        late = [s.marched for s in stats[-20:]]
        assert sum(late) / 20 == pytest.approx(target, rel=0.25)
        for s, following in itertools.pairwise(stats):
            assert s.rays / 2 <= following.rays <= 2 * s.rays


@pytest.mark.parametrize("background", ["random", "white", "black"])
def test_pixel_loss_equals_autograd(background: str) -> None:
    case = packed([3, 0, 1, 5, 0], "fog").double()
    raw = case.raw.requires_grad_()
    target = torch.rand(5, 3, generator=seeded(), dtype=torch.float64)
    behind = {"random": torch.rand_like(target)}.get(background, torch.ones_like(target))
    behind = behind * (background != "black")
    ray = torch.repeat_interleave(case.spans[:, 1])
    samples = PackedSamples(torch.zeros(3, len(ray)), case.t, case.dt, ray, case.spans)
    loss, grad, *_ = pixel_loss(raw.detach(), samples, target, behind)

    pixels: Pixels = composite(*case)
    rendered = pixels.color + (1 - pixels.opacity)[:, None] * behind
    error = (rendered - target).square().mean()
    error.backward()
    assert loss == pytest.approx(error.item(), rel=1e-12)
    torch.testing.assert_close(grad, raw.grad, rtol=1e-12, atol=1e-14)


def test_warming_up_meets_what_comes_late_in_a_run(
    tiny_scene: Scene, tiny_config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or its compilation would count as training time."""
    met = []
    for name in (
        "orefield.training.step.look_ahead",
        "orefield.fields.ngp.hash_grid_positions_backward",
    ):
        module, _, function = name.rpartition(".")
        real = getattr(importlib.import_module(module), function)

        def noted(*args, real=real):
            met.append(real)
            return real(*args)

        monkeypatch.setattr(name, noted)
    learns = CalibrationConfig(poses=True)
    warm_up(tiny_scene, dataclasses.replace(tiny_config, calibration=learns))
    assert {real.__name__ for real in met} == {"look_ahead", "hash_grid_positions_backward"}


def test_warming_up_leaves_no_trace(tiny_scene: Scene, tiny_config: RunConfig) -> None:
    assert warm_up(tiny_scene, tiny_config) > 0
    state = torch.get_rng_state()
    trainers = [Trainer(tiny_scene, tiny_config)]
    run(trainers[0], 5)
    warm_up(tiny_scene, tiny_config)
    trainers.append(Trainer(tiny_scene, tiny_config))
    run(trainers[1], 5)
    assert equal(*(snapshot(trainer) for trainer in trainers))
    assert torch.equal(torch.get_rng_state(), state)
